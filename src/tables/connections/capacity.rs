//! Tests of the table at its capacity: what is there is found as ever, and what it takes.

use super::tests::conn;
use super::*;

#[test]
fn a_full_table_finds_its_connections_as_fast_as_before_and_refuses_others_without_a_trace() {
    let capacity = 50_000;
    let mut table = Connections::<Ip4>::new(capacity, [1, 2, 3, 4], Tick(0)).unwrap();
    let ids: Vec<ConnId> = (0..capacity).map(|n| table.insert(conn(n, true), Tick(0)).unwrap()).collect();
    let visited = |table: &Connections<Ip4>| -> Vec<usize> {
        let of = |id: &ConnId| {
            let conn = table.get(*id);
            let [to, from] = [table.hash(&conn.key_in()), table.hash(&conn.key_out())];
            [table.index.visited(to, id.0), table.index.visited(from, id.0 | OUT)]
        };
        ids.iter().flat_map(of).collect()
    };
    let before = visited(&table);
    let mean = before.iter().sum::<usize>() as f64 / before.len() as f64;
    assert!(mean < 1.25, "{mean} buckets a search at the load at which the table is full");
    for n in capacity..3 * capacity {
        assert_eq!(table.insert(conn(n, true), Tick(0)), Err(Full));
    }
    assert_eq!(visited(&table), before);
    table.remove(ids[7]);
    assert!(table.insert(conn(3 * capacity, true), Tick(0)).is_ok(), "one that goes makes room for another");
}

#[test]
fn memory_a_connection_stays_within_80_bytes_for_ipv4_and_144_for_ipv6() {
    let table = Connections::<Ip4>::new(10_000_000, [1, 2, 3, 4], Tick(0)).unwrap();
    let bytes = table.areas().iter().map(Area::bytes).sum::<usize>() as f64 / 1e7;
    assert!(bytes <= 80.0, "{bytes}");
    let table = Connections::<Ip6>::new_sparse(10_000_000, [1, 2, 3, 4], Tick(0)).unwrap();
    let bytes = table.areas().iter().map(Area::bytes).sum::<usize>() as f64 / 1e7;
    assert!(bytes <= 144.0, "{bytes}");
}
