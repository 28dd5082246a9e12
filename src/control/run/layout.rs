//! Which worker has which queue of a port. A port with fewer queues than workers is polled by some and served by all.

/// The worker whose queue this is, of a port with so many. Ports with few queues begin with different workers.
pub fn worker_of(device: usize, queue: usize, queues: usize, workers: usize) -> usize {
    let first = if queues >= workers { 0 } else { device };
    (first + queue) % workers
}

/// The queue by which a worker sends that has none of its own.
pub fn queue_for(worker: usize, queues: usize) -> usize {
    worker % queues
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_worker_has_a_queue_of_a_port_with_enough() {
        for device in 0..3 {
            let workers: Vec<_> = (0..4).map(|queue| worker_of(device, queue, 4, 4)).collect();
            assert_eq!(workers, [0, 1, 2, 3]);
        }
    }

    #[test]
    fn ports_with_one_queue_are_spread_over_the_workers() {
        let workers: Vec<_> = (0..5).map(|device| worker_of(device, 0, 1, 3)).collect();
        assert_eq!(workers, [0, 1, 2, 0, 1]);
    }

    #[test]
    fn workers_without_a_queue_of_their_own_share_those_there_are() {
        let queues: Vec<_> = (0..5).map(|worker| queue_for(worker, 2)).collect();
        assert_eq!(queues, [0, 1, 0, 1, 0]);
    }
}
