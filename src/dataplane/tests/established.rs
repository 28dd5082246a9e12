//! The common path: that it does what the stages do that know every case, and sees in time that something has changed.

use super::lab::*;
use super::packets::*;
use crate::dataplane::vec_frame::VecFrame;
use crate::model::state::TcpState;
use crate::model::{DropReason, Forward, PortId, Protocol, Tick, Tunnel};
use arrayvec::ArrayVec;
use proptest::prelude::*;
use std::net::SocketAddrV4;

/// What comes next.
#[derive(Clone, Debug)]
enum Step {
    /// Packets of clients, or of servers to them, in one burst.
    Packets(Vec<Packet>),
    Wait(u64),
    /// Another MAC address of server 10.0.0.`n`.
    Move(u8, u8),
    Weight(usize, u32),
    Remove(usize),
    Revive(usize),
    Mtu(u16),
    /// How many seconds established connections last.
    Timeouts(u32),
}

#[derive(Clone, Debug)]
struct Packet {
    client: u16,
    from_server: bool,
    is_udp: bool,
    flags: u8,
    ttl: u8,
    len: usize,
    dont_fragment: bool,
    with_checksum: bool,
    padding: usize,
    is_spoilt: bool,
}

fn packet() -> impl Strategy<Value = Packet> {
    // most are what the common path is for
    let flags = prop_oneof![8 => Just(ACK), 2 => Just(SYN), 1 => Just(ACK | FIN), 1 => Just(RST), 1 => Just(0), 1 => Just(ACK | 8)];
    let ttl = prop_oneof![9 => Just(64_u8), 1 => 0..3_u8];
    let len = prop_oneof![8 => 0..40_usize, 1 => 1300..1480_usize];
    (
        (0..4_u16, any::<bool>(), any::<bool>(), flags),
        (ttl, len, any::<bool>(), prop::bool::weighted(0.8)),
        (0..8_usize, prop::bool::weighted(0.1)),
    )
        .prop_map(
            |((client, from_server, is_udp, flags), (ttl, len, dont_fragment, with_checksum), (padding, is_spoilt))| {
                Packet {
                    client,
                    from_server,
                    is_udp,
                    flags,
                    ttl,
                    len,
                    dont_fragment,
                    with_checksum,
                    padding,
                    is_spoilt,
                }
            },
        )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => prop_oneof![3 => prop::collection::vec(packet(), 1..12), 1 => prop::collection::vec(packet(), 30..65)]
            .prop_map(Step::Packets),
        2 => (1..2000_u64).prop_map(Step::Wait),
        1 => (1..4_u8, any::<u8>()).prop_map(|(server, mac)| Step::Move(server, mac)),
        1 => (0..6_usize, 0..3_u32).prop_map(|(dest, weight)| Step::Weight(dest, weight)),
        1 => (0..6_usize).prop_map(Step::Remove),
        1 => (0..6_usize).prop_map(Step::Revive),
        1 => prop_oneof![Just(1500_u16), Just(1400)].prop_map(Step::Mtu),
        1 => (1..900_u32).prop_map(Step::Timeouts),
    ]
}

fn method() -> impl Strategy<Value = Forward> {
    prop_oneof![Just(Forward::Nat), Just(Forward::Dr), Just(Forward::Tun(Tunnel::default()))]
}

/// Of the six destinations: all the same, or any mix.
fn methods() -> impl Strategy<Value = Vec<Forward>> {
    prop_oneof![2 => method().prop_map(|method| vec![method; 6]), 1 => prop::collection::vec(method(), 6)]
}

struct Play {
    lab: Lab,
    dests: Vec<crate::model::DestId>,
    removed: [bool; 6],
}

impl Play {
    fn new(methods: &[Forward]) -> Self {
        let mut lab = Lab::new();
        let (mut dests, mut methods) = (vec![], methods.iter());
        for (protocol, virt) in [(Protocol::Tcp, VIP), (Protocol::Udp, "192.0.2.10:53")] {
            let service = lab.service(protocol, virt, "rr");
            // one of them behind a VLAN
            for server in ["10.0.0.1:8080", "10.0.0.2:80", "10.1.0.3:80"] {
                dests.push(lab.add(service, server, *methods.next().expect("one each"), 1));
            }
        }
        lab.settings(|s| s.forward = true);
        lab.publish();
        lab.quiet();
        Self { lab, dests, removed: [false; 6] }
    }

    fn bytes(packet: &Packet, reply_from: SocketAddrV4) -> Vec<u8> {
        let (client, virt) = (client(packet.client), if packet.is_udp { at("192.0.2.10:53") } else { vip() });
        let (from, to) = if packet.from_server { (reply_from, client) } else { (client, virt) };
        let data = vec![0x5a; packet.len];
        let mut datagram = if packet.is_udp { udp(from, to, &data) } else { tcp(from, to, packet.flags).data(&data) };
        if let Load::Udp { with_checksum, .. } = &mut datagram.load {
            *with_checksum = packet.with_checksum;
        }
        (datagram.ttl, datagram.dont_fragment, datagram.padding) = (packet.ttl, packet.dont_fragment, packet.padding);
        let datagram = if packet.from_server { datagram.at_server_side() } else { datagram };
        let mut bytes = datagram.bytes();
        if packet.is_spoilt {
            let at = bytes.len() - packet.padding - 1;
            bytes[at] ^= 1;
        }
        bytes
    }

    /// What is sent because of it.
    fn step(&mut self, step: &Step) -> Vec<(PortId, Vec<u8>)> {
        match step {
            Step::Packets(packets) => {
                for side in [false, true] {
                    let of_side = packets.iter().filter(|packet| packet.from_server == side);
                    let mut burst: ArrayVec<VecFrame, 64> =
                        of_side.map(|p| VecFrame::new(&Self::bytes(p, self.reply_from(p)))).collect();
                    let port = if side { SERVER_SIDE } else { CLIENT_SIDE };
                    let now = self.lab.now;
                    self.lab.director.process(port, &mut burst, now, &mut self.lab.out);
                }
            }
            Step::Wait(ms) => self.lab.wait_ms(*ms),
            Step::Move(server, mac) => self.lab.network(|n| {
                let of = n
                    .neighbours
                    .iter_mut()
                    .filter(|entry| entry.address == std::net::IpAddr::from([10, 0, 0, *server]));
                of.for_each(|entry| entry.mac[5] = *mac);
            }),
            Step::Weight(dest, weight) if !self.removed[*dest] => {
                self.lab.edit(self.dests[*dest], |d| d.weight = *weight)
            }
            Step::Remove(dest) if !self.removed[*dest] => {
                self.removed[*dest] = true;
                self.lab.remove(self.dests[*dest]);
            }
            Step::Revive(dest) if self.removed[*dest] => {
                self.removed[*dest] = false;
                self.lab.revive(self.dests[*dest]);
            }
            Step::Mtu(mtu) => self.lab.network(|n| n.interfaces.iter_mut().for_each(|i| i.mtu = *mtu)),
            Step::Timeouts(seconds) => self.lab.timeouts(|timeouts| {
                timeouts.tcp[TcpState::Established as usize] = seconds * Tick::PER_S;
                timeouts.udp = (seconds + 1) * Tick::PER_S;
            }),
            _ => {}
        }
        if !matches!(step, Step::Packets(_) | Step::Wait(_)) {
            self.lab.publish();
        }
        self.lab.out.sent.drain(..).map(|(port, frame)| (port, frame.bytes())).collect()
    }

    /// Where the answer to a client's connection comes from, if it has one.
    fn reply_from(&self, packet: &Packet) -> SocketAddrV4 {
        let (protocol, virt) = if packet.is_udp { (17, at("192.0.2.10:53")) } else { (6, vip()) };
        match self.lab.connection(protocol, client(packet.client), virt) {
            Some(conn) => SocketAddrV4::new(conn.server.into(), u16::from_be_bytes(conn.server_port)),
            None => at("10.0.0.1:8080"),
        }
    }

    fn tables(&self) -> impl PartialEq + std::fmt::Debug + use<> {
        let conns: Vec<_> = (0..4)
            .flat_map(|n| {
                [(6, vip()), (17, at("192.0.2.10:53"))]
                    .map(|(protocol, virt)| self.lab.connection(protocol, client(n), virt))
            })
            .map(|conn| conn.map(|c| (c.state, c.flags, c.timer.deadline, c.timeout, c.in_packets, c.server)))
            .collect();
        let counters = self.lab.director.counters().1;
        let counts: Vec<_> = self
            .dests
            .iter()
            .map(|dest| {
                let c = &counters[dest.index()];
                [
                    c.in_packets.get(),
                    c.in_bytes.get(),
                    c.out_packets.get(),
                    c.out_bytes.get(),
                    c.active.get().into(),
                    c.inactive.get().into(),
                ]
            })
            .collect();
        (conns, counts, self.lab.drops())
    }
}

proptest! {
    #[test]
    fn it_does_what_the_other_stages_do(
        methods in methods(),
        steps in prop::collection::vec(step(), 1..40),
        ahead in 1..20_usize,
    ) {
        let (mut common, mut without) = (Play::new(&methods), Play::new(&methods));
        common.lab.director.ask_ahead(ahead);
        without.lab.director.without_common_path = true;
        for step in &steps {
            prop_assert_eq!(common.step(step), without.step(step));
            prop_assert_eq!(common.tables(), without.tables());
        }
    }
}

#[test]
fn a_server_that_moves_gets_the_next_packet_at_its_new_mac_address() {
    let (mut lab, _) = Lab::with_servers(Forward::Dr, &["10.0.0.9:80"]);
    let learn =
        |lab: &mut Lab, mac| lab.feed(SERVER_SIDE, &arp_reply(SERVER_SIDE_MAC, None, mac, "10.0.0.9", "10.0.0.254"));
    lab.client_sends(&tcp(client(1), vip(), SYN));
    learn(&mut lab, server_mac(9));
    let ack = tcp(client(1), vip(), ACK);
    for _ in 0..3 {
        assert_eq!(lab.relay_in(&ack).to_mac, server_mac(9));
    }
    learn(&mut lab, server_mac(77));
    assert_eq!(lab.relay_in(&ack).to_mac, server_mac(77));
}

#[test]
fn a_server_that_is_sent_to_is_asked_again_and_given_up_when_it_is_silent() {
    let (mut lab, _) = Lab::with_servers(Forward::Dr, &["10.0.0.9:80"]);
    lab.client_sends(&tcp(client(1), vip(), SYN));
    lab.feed(SERVER_SIDE, &arp_reply(SERVER_SIDE_MAC, None, server_mac(9), "10.0.0.9", "10.0.0.254"));
    let mut questions = 0;
    for _ in 0..400 {
        lab.wait_ms(100);
        questions += lab.sent().iter().filter(|seen| seen.is_about_neighbours()).count();
        if lab.dropped(DropReason::NeighbourFailed) == 0 {
            lab.client_sends(&tcp(client(1), vip(), ACK));
        }
    }
    assert_eq!(questions, 3, "packets that take the common path keep their next hop in use");
    assert_eq!(lab.dropped(DropReason::NeighbourFailed), 1);
}

#[test]
fn a_connection_whose_time_is_up_is_not_followed() {
    let (mut lab, _) = Lab::with_servers(Forward::Dr, &["10.0.0.1:80"]);
    lab.connect(1);
    let ack = tcp(client(1), vip(), ACK);
    lab.relay_in(&ack);
    lab.relay_in(&ack);
    // without housekeeping in between
    lab.now = lab.now.plus_ms(900_000);
    lab.refuse(DropReason::NotSyn, &ack);
}
