//! Marks of packets: the first rule that fits gives it, in the order of the configuration.
//!
//! The kernel has its firewall for this; here it is a list of rules over what a packet is told by anyway. They are looked
//! at for packets that no connection is known for, so a list, bounded, is fast enough.

use crate::model::limits::MARK_RULES_MAX;
use crate::model::{Family, InterfaceId, MarkRule};
use crate::wire::address::Address;
use ipnet::IpNet;
use std::ops::RangeInclusive;

/// The rules, made ready to be compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    rules: Vec<Rule>,
}

/// What rules can ask of a packet.
#[derive(Clone, Copy, Debug)]
pub struct Headers<A> {
    /// Where it came in.
    pub interface: InterfaceId,
    /// IP protocol number.
    pub protocol: u8,
    pub source: A,
    pub destination: A,
    /// Source and destination; `None` without ports.
    pub ports: Option<(u16, u16)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    mark: u32,
    /// `None`: both.
    is_v6: Option<bool>,
    interface: Option<InterfaceId>,
    protocol: Option<u8>,
    source: Prefix,
    destination: Prefix,
    /// Source and destination; `None`: packets without ports fit as well.
    ports: Option<[RangeInclusive<u16>; 2]>,
}

/// Bits of an address, which begins at the highest one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Prefix {
    bits: u128,
    mask: u128,
}

impl Marks {
    /// Rules beyond [`MARK_RULES_MAX`] are left out: the configuration does not have them.
    pub fn new(rules: &[MarkRule]) -> Self {
        debug_assert!(rules.len() <= MARK_RULES_MAX, "refused by the configuration");
        Self { rules: rules.iter().take(MARK_RULES_MAX).map(Rule::new).collect() }
    }

    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// 0: none.
    pub fn find<A: Address>(&self, headers: &Headers<A>) -> u32 {
        if self.rules.is_empty() {
            return 0;
        }
        let (source, destination) = (bits(headers.source), bits(headers.destination));
        let fits = |rule: &&Rule| {
            rule.is_v6.is_none_or(|is_v6| is_v6 == A::IS_V6)
                && rule.protocol.is_none_or(|protocol| protocol == headers.protocol)
                && rule.interface.is_none_or(|interface| interface == headers.interface)
                && rule.destination.contains(destination)
                && rule.source.contains(source)
                && rule.fits_ports(headers.ports)
        };
        self.rules.iter().find(fits).map_or(0, |rule| rule.mark)
    }
}

impl Rule {
    fn new(rule: &MarkRule) -> Self {
        let MarkRule { mark, protocol, source, destination, source_ports, destination_ports, interface } = rule;
        let is_v6 = source.or(*destination).map(|net| Family::of(net.addr()) == Family::V6);
        let all = |ports: &Option<RangeInclusive<u16>>| ports.clone().unwrap_or(0..=u16::MAX);
        let has_ports = source_ports.is_some() || destination_ports.is_some();
        Self {
            mark: *mark,
            is_v6,
            interface: *interface,
            protocol: *protocol,
            source: source.map(Prefix::new).unwrap_or_default(),
            destination: destination.map(Prefix::new).unwrap_or_default(),
            ports: has_ports.then(|| [all(source_ports), all(destination_ports)]),
        }
    }

    fn fits_ports(&self, ports: Option<(u16, u16)>) -> bool {
        match (&self.ports, ports) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some([sources, destinations]), Some((source, destination))) => {
                sources.contains(&source) && destinations.contains(&destination)
            }
        }
    }
}

impl Prefix {
    fn new(net: IpNet) -> Self {
        let bits = match net {
            IpNet::V4(net) => u128::from(net.network().to_bits()) << 96,
            IpNet::V6(net) => net.network().to_bits(),
        };
        Self { bits, mask: u128::MAX.checked_shl(128 - u32::from(net.prefix_len())).unwrap_or(0) }
    }

    fn contains(self, address: u128) -> bool {
        address & self.mask == self.bits
    }
}

fn bits<A: Address>(address: A) -> u128 {
    let mut octets = [0; 16];
    address.write(&mut octets);
    u128::from_be_bytes(octets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::address::{Ip4, Ip6};
    use proptest::prelude::*;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    fn headers(destination: &str, port: u16) -> Headers<Ip4> {
        let address = |text: &str| Ip4::from(text.parse::<Ipv4Addr>().unwrap());
        let (source, destination) = (address("203.0.113.1"), address(destination));
        Headers { interface: InterfaceId(0), protocol: 6, source, destination, ports: Some((40_000, port)) }
    }

    fn to(destination: &str, mark: u32) -> MarkRule {
        MarkRule { mark, destination: Some(destination.parse().unwrap()), ..MarkRule::default() }
    }

    #[test]
    fn the_first_rule_that_fits_gives_the_mark() {
        let marks = Marks::new(&[to("192.0.2.1/32", 0), to("192.0.2.0/24", 1), to("192.0.0.0/16", 2), to("::/0", 3)]);
        let mark = |destination| marks.find(&headers(destination, 80));
        assert_eq!(["192.0.2.1", "192.0.2.2", "192.0.3.1", "192.1.0.0"].map(mark), [0, 1, 2, 0]);
    }

    #[test]
    fn a_rule_with_a_port_fits_no_packet_without() {
        let marks = Marks::new(&[MarkRule { mark: 1, destination_ports: Some(80..=81), ..MarkRule::default() }]);
        assert_eq!([79, 80, 81, 82].map(|port| marks.find(&headers("192.0.2.1", port))), [0, 1, 1, 0]);
        assert_eq!(marks.find(&Headers { ports: None, ..headers("192.0.2.1", 80) }), 0);
    }

    fn any_rule() -> impl Strategy<Value = MarkRule> {
        let v4 = (any::<u32>(), 0..=32u8).prop_map(|(bits, length)| {
            IpNet::new(Ipv4Addr::from_bits(bits & 0xc000_0003).into(), length).unwrap().trunc()
        });
        let v6 = (any::<u128>(), 0..=128u8)
            .prop_map(|(bits, length)| IpNet::new(Ipv6Addr::from_bits(bits & 3).into(), length).unwrap().trunc());
        let nets = prop_oneof![
            (proptest::option::of(v4.clone()), proptest::option::of(v4)),
            (proptest::option::of(v6.clone()), proptest::option::of(v6)),
        ];
        let ports = || proptest::option::of((0..4u16, 0..4u16).prop_map(|(a, b)| a..=b));
        let rest = (1..9u32, proptest::option::of(6..8u8), ports(), ports(), proptest::option::of(0..2u16));
        (nets, rest).prop_map(|((source, destination), (mark, protocol, source_ports, destination_ports, at))| {
            let interface = at.map(InterfaceId);
            MarkRule { mark, protocol, source, destination, source_ports, destination_ports, interface }
        })
    }

    /// The rule read aloud.
    fn fits<A: Address>(rule: &MarkRule, headers: &Headers<A>) -> bool {
        let within = |net: Option<IpNet>, address: IpAddr| net.is_none_or(|net| net.contains(&address));
        let range = |range: &Option<RangeInclusive<u16>>, port: Option<u16>| {
            range.as_ref().is_none_or(|range| port.is_some_and(|port| range.contains(&port)))
        };
        within(rule.source, headers.source.to_ip())
            && within(rule.destination, headers.destination.to_ip())
            && rule.protocol.is_none_or(|protocol| protocol == headers.protocol)
            && rule.interface.is_none_or(|interface| interface == headers.interface)
            && range(&rule.source_ports, headers.ports.map(|ports| ports.0))
            && range(&rule.destination_ports, headers.ports.map(|ports| ports.1))
    }

    fn check<A: Address>(rules: &[MarkRule], headers: &Headers<A>) -> Result<(), TestCaseError> {
        let expected = rules.iter().find(|rule| fits(rule, headers)).map_or(0, |rule| rule.mark);
        prop_assert_eq!(Marks::new(rules).find(headers), expected);
        Ok(())
    }

    proptest! {
        #[test]
        fn marks_are_what_the_rules_say_read_aloud(
            rules in prop::collection::vec(any_rule(), 0..8),
            (source, destination) in (any::<u128>(), any::<u128>()),
            ports in proptest::option::of((0..4u16, 0..4u16)),
            (protocol, interface) in (6..8u8, 0..2u16),
        ) {
            let interface = InterfaceId(interface);
            let v4 = |bits: u128| Ip4::from(Ipv4Addr::from_bits(bits as u32 & 0xc000_0003));
            check(&rules, &Headers { interface, protocol, source: v4(source), destination: v4(destination), ports })?;
            let v6 = |bits: u128| Ip6::from(Ipv6Addr::from_bits(bits & 3));
            check(&rules, &Headers { interface, protocol, source: v6(source), destination: v6(destination), ports })?;
        }
    }
}
