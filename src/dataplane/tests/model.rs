//! NAT against a naive oracle: maps, linear scans, no timers but a deadline.

use super::lab::*;
use super::packets::*;
use crate::dataplane::tcp::{Side, next_state};
use crate::model::state::TcpState;
use crate::model::{DestId, Forward, Protocol, ServiceId, Time};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use std::collections::HashMap;
use std::net::SocketAddrV4;

const SERVERS: [&str; 3] = ["10.0.0.1:8080", "10.0.0.2:80", "10.0.0.3:8080"];
/// Of IPVS, in seconds: by state of this model.
const SYN_RECV_S: u64 = 60;
const UDP_S: u64 = 300;

#[derive(Clone, Debug)]
enum Event {
    Client { client: u16, tcp: bool, flags: u8, data: Vec<u8> },
    Server { client: u16, tcp: bool, flags: u8, data: Vec<u8> },
    Wait(u64),
    Weight { server: usize, weight: u32 },
    Remove(usize),
    Revive(usize),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let flags = prop::sample::select(vec![SYN, ACK, SYN | ACK, FIN | ACK, RST, RST | ACK, 0]);
    let data = prop::collection::vec(any::<u8>(), 0..40);
    let packet = (0_u16..12, any::<bool>(), flags, data);
    let event = prop_oneof![
        8 => packet.clone().prop_map(|(client, tcp, flags, data)| Event::Client { client, tcp, flags, data }),
        5 => packet.prop_map(|(client, tcp, flags, data)| Event::Server { client, tcp, flags, data }),
        2 => (0_u64..40_000).prop_map(Event::Wait),
        1 => (0_usize..3, 0_u32..3).prop_map(|(server, weight)| Event::Weight { server, weight }),
        1 => (0_usize..3).prop_map(Event::Remove),
        1 => (0_usize..3).prop_map(Event::Revive),
    ];
    prop::collection::vec(event, 1..120)
}

/// What the oracle knows of a connection.
#[derive(Clone, Copy, Debug)]
struct Known {
    server: usize,
    state: TcpState,
    deadline_ms: u64,
}

struct Oracle {
    connections: HashMap<(u16, bool), Known>,
    weights: [u32; 3],
    removed: [bool; 3],
    /// As schedulers see them: the one added last stands first.
    order: Vec<usize>,
    now_ms: u64,
}

/// What becomes of a packet.
#[derive(Debug, PartialEq)]
enum Fate {
    To(usize),
    Back,
    Told,
    Dropped,
}

impl Oracle {
    fn new() -> Self {
        Self { connections: HashMap::new(), weights: [1; 3], removed: [false; 3], order: vec![2, 1, 0], now_ms: 0 }
    }

    fn expire(&mut self) {
        let now = self.now_ms;
        self.connections.retain(|_, known| now < known.deadline_ms);
    }

    /// Least connections by IPVS's overhead; of equals the one added last.
    fn schedule(&self, tcp: bool) -> Option<usize> {
        let load = |server: usize| -> usize {
            let of_it = self.connections.iter().filter(|((_, t), known)| *t == tcp && known.server == server);
            of_it.map(|(_, known)| if tcp && known.state.is_active() { 256 } else { 1 }).sum()
        };
        let usable = self.order.iter().copied().filter(|&s| self.weights[s] > 0 && !self.removed[s]);
        usable.min_by_key(|&s| load(s))
    }

    fn client_sends(&mut self, client: u16, tcp: bool, flags: u8) -> Fate {
        self.expire();
        if tcp && flags & SYN != 0 {
            let is_over = |k: &Known| matches!(k.state, TcpState::TimeWait | TcpState::Close);
            if self.connections.get(&(client, tcp)).is_some_and(is_over) {
                self.connections.remove(&(client, tcp));
            }
        }
        if let Some(known) = self.connections.get(&(client, tcp)).copied() {
            if self.removed[known.server] {
                return Fate::Dropped;
            }
            self.advance(client, tcp, flags, Side::Input);
            return Fate::To(known.server);
        }
        if tcp && (flags & SYN == 0 || flags & RST != 0) {
            return Fate::Dropped;
        }
        let Some(server) = self.schedule(tcp) else { return Fate::Told };
        self.connections.insert((client, tcp), Known { server, state: TcpState::None, deadline_ms: 0 });
        self.advance(client, tcp, flags, Side::Input);
        Fate::To(server)
    }

    fn server_sends(&mut self, client: u16, tcp: bool, flags: u8) -> Fate {
        self.expire();
        if !self.connections.contains_key(&(client, tcp)) {
            return Fate::Dropped;
        }
        self.advance(client, tcp, flags, Side::Output);
        Fate::Back
    }

    fn advance(&mut self, client: u16, tcp: bool, flags: u8, side: Side) {
        let known = self.connections.get_mut(&(client, tcp)).unwrap();
        let timeout_s = if tcp {
            known.state = next_state(false, side, known.state as u8, flags);
            match known.state {
                TcpState::Established => 900,
                TcpState::SynRecv | TcpState::CloseWait => SYN_RECV_S,
                TcpState::None => 2,
                TcpState::Close => 10,
                TcpState::LastAck => 30,
                _ => 120,
            }
        } else {
            UDP_S
        };
        known.deadline_ms = self.now_ms + timeout_s * 1000;
    }
}

struct Bench {
    lab: Lab,
    tcp: [DestId; 3],
    udp: [DestId; 3],
    oracle: Oracle,
    began: Time,
}

impl Bench {
    fn new() -> Self {
        let mut lab = Lab::new();
        let mut add = |protocol| {
            let service: ServiceId = lab.service(protocol, VIP, "lc");
            SERVERS.map(|server| lab.add(service, server, Forward::Nat, 1))
        };
        let (tcp, udp) = (add(Protocol::Tcp), add(Protocol::Udp));
        lab.publish();
        lab.quiet();
        let began = lab.now;
        Self { lab, tcp, udp, oracle: Oracle::new(), began }
    }

    fn datagram(from: SocketAddrV4, to: SocketAddrV4, is_tcp: bool, flags: u8, data: &[u8]) -> Datagram {
        if is_tcp { tcp(from, to, flags).data(data) } else { udp(from, to, data) }
    }

    fn play(&mut self, event: &Event) -> TestCaseResult {
        match event {
            Event::Wait(ms) => self.wait(*ms),
            Event::Weight { server, weight } if !self.oracle.removed[*server] => {
                self.oracle.weights[*server] = *weight;
                for ids in [self.tcp, self.udp] {
                    self.lab.edit(ids[*server], |d| d.weight = *weight);
                }
                self.lab.publish();
            }
            Event::Remove(server) if !self.oracle.removed[*server] => {
                self.oracle.removed[*server] = true;
                self.oracle.order.retain(|s| s != server);
                for ids in [self.tcp, self.udp] {
                    self.lab.remove(ids[*server]);
                }
                self.lab.publish();
            }
            Event::Revive(server) if self.oracle.removed[*server] => self.revive(*server),
            Event::Weight { .. } | Event::Remove(_) | Event::Revive(_) => {}
            Event::Client { client, tcp, flags, data } => self.client(*client, *tcp, *flags, data)?,
            Event::Server { client, tcp, flags, data } => self.server(*client, *tcp, *flags, data)?,
        }
        self.compare_counts()
    }

    fn client(&mut self, n: u16, is_tcp: bool, flags: u8, data: &[u8]) -> TestCaseResult {
        let sent = Self::datagram(client(n), vip(), is_tcp, flags, data);
        let mut seen = self.lab.client_sends(&sent);
        let fate = match &seen[..] {
            [] => Fate::Dropped,
            [told] if told.port == 0 => Fate::Told,
            [seen] => Fate::To(SERVERS.iter().position(|s| at(s) == seen.destination()).expect("a server")),
            more => panic!("{more:?}"),
        };
        let expected = self.oracle.client_sends(n, is_tcp, flags);
        prop_assert!(
            fate == expected || (fate == Fate::Dropped && expected == Fate::Told),
            "{fate:?}, not {expected:?}"
        );
        if let Fate::To(server) = fate {
            let seen = seen.remove(0);
            seen.assert_checksums();
            // the same packet but for TTL and destination, as if it had been sent so
            let direct = Self::datagram(client(n), at(SERVERS[server]), is_tcp, flags, data);
            prop_assert_eq!(seen.packet, Datagram { ttl: 63, ..direct }.packet());
        }
        Ok(())
    }

    fn server(&mut self, n: u16, is_tcp: bool, flags: u8, data: &[u8]) -> TestCaseResult {
        let server = self.oracle.connections.get(&(n, is_tcp)).map_or(0, |known| known.server);
        let sent = Self::datagram(at(SERVERS[server]), client(n), is_tcp, flags, data);
        let seen = self.lab.server_sends(&sent);
        let fate = if seen.is_empty() { Fate::Dropped } else { Fate::Back };
        prop_assert_eq!(fate, self.oracle.server_sends(n, is_tcp, flags));
        if let [seen] = &seen[..] {
            seen.assert_checksums();
            let direct = Self::datagram(vip(), client(n), is_tcp, flags, data);
            prop_assert_eq!(&seen.packet, &Datagram { ttl: 63, ..direct }.packet());
        }
        Ok(())
    }

    /// Time passes; no connection's time ends within the last ticks, which the timers may be late by.
    fn wait(&mut self, ms: u64) {
        let oracle = &mut self.oracle;
        oracle.now_ms += ms / 10 * 10;
        let is_close = |now: u64, known: &Known| known.deadline_ms <= now && now < known.deadline_ms + 50;
        while oracle.connections.values().any(|known| is_close(oracle.now_ms, known)) {
            oracle.now_ms += 50;
        }
        self.lab.now = self.began.plus_ms(oracle.now_ms);
        self.lab.director.set_time(self.lab.now);
        self.lab.director.expire(1000, &mut self.lab.out);
    }

    fn compare_counts(&mut self) -> TestCaseResult {
        self.oracle.expire();
        for server in 0..3 {
            let (tcp, udp) = (self.lab.load(self.tcp[server]), self.lab.load(self.udp[server]));
            let of_it = self.oracle.connections.iter().filter(|(_, known)| known.server == server);
            let (active, all) = of_it.fold((0, 0), |(active, all), ((_, tcp), known)| {
                (active + u32::from(*tcp && known.state.is_active()), all + 1)
            });
            prop_assert_eq!((tcp.0, udp.0, tcp.0 + tcp.1 + udp.1), (active, 0, all), "of server {}", server);
        }
        prop_assert_eq!(self.lab.director.connections().len() as usize, self.oracle.connections.len());
        Ok(())
    }

    fn revive(&mut self, server: usize) {
        self.oracle.removed[server] = false;
        self.oracle.order.insert(0, server);
        for ids in [self.tcp, self.udp] {
            self.lab.revive(ids[server]);
        }
        self.lab.publish();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn every_packet_goes_where_a_naive_director_would_send_it(events in events()) {
        let mut bench = Bench::new();
        for event in &events {
            bench.play(event)?;
        }
        // and when all is over nothing is left
        bench.lab.wait_s(1000);
        prop_assert_eq!(bench.lab.director.connections().len(), 0);
        for id in bench.tcp.into_iter().chain(bench.udp) {
            prop_assert_eq!(bench.lab.load(id), (0, 0));
        }
    }
}
