//! The table beside an oracle, and what its parts promise each other.

use super::*;
use std::collections::HashMap;

pub(super) fn conn(client: u32, nat: bool) -> Conn<Ip4> {
    Conn {
        client: Ip4::read(&client.to_be_bytes()),
        virt: Ip4::read(&[192, 0, 2, 1]),
        server: Ip4::read(&[10, 0, 0, 1]),
        client_port: [4, 0],
        virtual_port: [0, 80],
        server_port: [31, 144],
        protocol: 6,
        flags: if nat { flags::NAT } else { 0 },
        timeout: 100 + client % 300,
        ..Conn::default()
    }
}

#[test]
fn both_directions_of_a_nat_connection_find_one_entry() {
    let mut table = Connections::<Ip4>::new(10, [1, 2, 3, 4], Tick(0)).unwrap();
    let c = conn(7, true);
    let id = table.insert(c, Tick(0)).unwrap();
    assert_eq!(table.find(&c.key_in()), Some((id, Direction::In)));
    assert_eq!(table.find(&c.key_out()), Some((id, Direction::Out)));
    let dr = conn(8, false);
    let id = table.insert(dr, Tick(0)).unwrap();
    assert_eq!(table.find(&dr.key_in()), Some((id, Direction::In)));
    assert_eq!(table.find(&dr.key_out()), None, "a DR reply never passes the director");
}

#[test]
fn a_hidden_connection_is_not_guessed_whatever_its_bucket_counts() {
    let (mut guessed, mut nobody) = (0, 0);
    for seed in 1..300_u64 {
        let seeds = [7, 21, 35, 49].map(|bits| seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(bits));
        let mut table = Connections::<Ip4>::new(24, seeds, Tick(0)).unwrap();
        // in so small a table some find no bucket
        let ids: Vec<_> = (0..24).filter_map(|client| table.insert(conn(client, true), Tick(0)).ok()).collect();
        for id in ids {
            table.hide(id);
            let conn = *table.get(id);
            for key in [conn.key_in(), conn.key_out()] {
                let hash = table.hash(&key);
                let guess = table.guess(hash);
                assert_eq!(table.confirm(guess, &key, hash), None);
                assert!(table.entries().guessed(guess, &key).is_none_or(|(conn, _)| !conn.is_of(&key, 0)));
                if guess.is_some() { guessed += 1 } else { nobody += 1 }
            }
        }
    }
    assert!(guessed > 1000 && nobody > 1000, "{guessed} {nobody}");
}

#[test]
fn it_agrees_with_a_hash_map_under_churn_expiry_and_a_full_table() {
    let capacity = 2000;
    let mut table = Connections::<Ip4>::new(capacity, [1, 2, 3, 4], Tick(0)).unwrap();
    let mut oracle: HashMap<u32, (ConnId, u32)> = HashMap::new();
    let mut state = 3_u64;
    let mut refused = 0;
    for now in 0..4000_u32 {
        for _ in 0..20 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let client = (state >> 33) as u32 % 5000;
            let c = conn(client, client.is_multiple_of(2));
            match (table.find(&c.key_in()), oracle.get(&client).copied()) {
                (Some((id, _)), Some((oracle_id, _))) => {
                    assert_eq!(id, oracle_id);
                    table.touch(id, c.timeout, Tick(now));
                    oracle.insert(client, (id, now + c.timeout));
                }
                (None, None) if oracle.len() as u32 == capacity => {
                    refused += 1;
                    assert_eq!(table.insert(c, Tick(now)), Err(Full));
                }
                (None, None) => {
                    let id = table.insert(c, Tick(now)).unwrap();
                    oracle.insert(client, (id, now + c.timeout));
                }
                (found, known) => panic!("table says {found:?}, oracle {known:?}"),
            }
        }
        loop {
            match table.next_due(Tick(now)) {
                Due::Nothing => break,
                Due::Later => {}
                Due::Now(id) => {
                    let gone = table.remove_unlinked(table.removal(id));
                    let client = u32::from_be_bytes(gone.client.octets());
                    assert!(oracle.remove(&client).unwrap().1 <= now);
                }
            }
        }
        assert!(oracle.values().all(|(_, due)| *due + 1 >= now), "nothing stays beyond its deadline");
        assert_eq!(table.len() as usize, oracle.len());
    }
    assert!(refused > 0, "the test has filled the table");
    let mut listed = 0;
    let mut cursor = 1;
    while cursor != 0 {
        cursor = table.page(cursor, 64, |_, _| listed += 1);
    }
    assert_eq!(listed, oracle.len());
}

#[test]
fn a_wrong_guess_is_bettered_if_there_is_a_connection_at_all() {
    // full, so that tags of a bucket are often the same, and many keys are not in their first one
    const CAPACITY: u32 = 20_000;
    let mut table = Connections::<Ip4>::new(CAPACITY, [1, 2, 3, 4], Tick(0)).unwrap();
    let (mut wrong, mut handles) = (0, HashMap::new());
    for client in 0..CAPACITY {
        let c = conn(client, client % 2 == 0);
        handles.insert(client, table.insert(c, Tick(0)).unwrap());
    }
    for client in 0..CAPACITY {
        let c = conn(client, client % 2 == 0);
        for (key, direction) in [(c.key_in(), Direction::In), (c.key_out(), Direction::Out)] {
            let hash = table.hash(&key);
            let guess = table.guess(hash);
            let better = table.better_guess(guess, &key, hash);
            if direction == Direction::Out && !c.has(flags::NAT) {
                assert!(better.is_none(), "{client}: there is none");
                continue;
            }
            let is_right = guess.is_some() && table.is_key_of(guess.0, &key);
            assert_eq!(better.is_none(), is_right, "{client}");
            wrong += u32::from(!is_right);
            assert_eq!(split(better.unwrap_or(guess).0), (handles[&client], direction));
        }
    }
    assert!(wrong > CAPACITY / 100, "{wrong}");
}
