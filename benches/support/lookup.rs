//! The connection table by itself, looked up as a burst does it.

use arrayvec::ArrayVec;
use pollux::model::limits::BURST;
use pollux::model::{DestId, Tick, Time};
use pollux::tables::connections::{Conn, Connections, Key, ports};
use pollux::wire::address::Address;
use pollux::wire::ip_protocol::TCP;

/// Of client number `flow`.
pub fn key<A: Address>(flow: u32) -> Key<A> {
    let [a, b, c, d] = flow.to_be_bytes();
    Key {
        source: address([10, a, b, c]),
        destination: address([192, 0, 2, 1]),
        ports: ports([4, d], [0, 80]),
        kind: TCP.into(),
    }
}

fn address<A: Address>(last: [u8; 4]) -> A {
    let mut bytes = [0x20; 16];
    bytes[A::LEN - 4..A::LEN].copy_from_slice(&last);
    A::read(&bytes)
}

/// With connections of clients 0 to `flows`, by direct routing.
pub fn table<A: Address>(flows: u32) -> Connections<A> {
    let now = Time::from_s(1).tick();
    let mut table = Connections::new(flows, [11, 22, 33, 44], now).expect("enough memory");
    for flow in 0..flows {
        table.insert(connection(key(flow)), now).expect("there is room");
    }
    table
}

fn connection<A: Address>(key: Key<A>) -> Conn<A> {
    let [a, b, c, d] = key.ports.to_ne_bytes();
    Conn {
        client: key.source,
        virt: key.destination,
        server: address([10, 1, 0, 1]),
        client_port: [a, b],
        virtual_port: [c, d],
        server_port: [0, 80],
        protocol: TCP,
        dest: DestId(0),
        timeout: 900 * Tick::PER_S,
        ..Conn::default()
    }
}

/// How many of the packets have a connection.
#[inline(never)]
pub fn find_all<A: Address>(table: &Connections<A>, keys: &[Key<A>]) -> u32 {
    let hashes: ArrayVec<u64, BURST> =
        keys.iter().map(|key| table.hash(key)).inspect(|&hash| table.prefetch(hash)).collect();
    let guesses: ArrayVec<_, BURST> = hashes.iter().map(|&hash| table.guess(hash)).collect();
    let found =
        keys.iter().zip(hashes).zip(guesses).filter(|((key, hash), guess)| table.confirm(*guess, key, *hash).is_some());
    found.count() as u32
}
