//! Why a packet was not forwarded: one enum, one counter each, explained here and nowhere else.

macro_rules! drop_reasons {
    ($($variant:ident $name:literal $explanation:literal;)*) => {
        /// Why a packet was not forwarded.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum DropReason { $($variant),* }

        impl DropReason {
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The counter's name in every output.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// One line for an operator.
            pub const fn explanation(self) -> &'static str {
                match self { $(Self::$variant => $explanation),* }
            }
        }
    };
}

drop_reasons! {
    Truncated "truncated" "the frame ends inside its Ethernet or IP header";
    NotOurMac "not_our_mac" "addressed to another station (the port is in promiscuous mode)";
    UnknownVlan "unknown_vlan" "its VLAN tag belongs to no port of the configuration";
    UnknownEthertype "unknown_ethertype" "neither IP nor ARP";
    IpHeaderBad "ip_header_bad" "IP version or header length makes no sense";
    IpChecksumBad "ip_checksum_bad" "the IP header checksum is wrong";
    IpLengthBad "ip_length_bad" "the IP length is shorter than its header or longer than the frame";
    IpOptionsBad "ip_options_bad" "an IP option makes no sense; the sender was told by ICMP";
    SourceRoute "source_route" "an IP option asks for a route through other hosts";
    L4Truncated "l4_truncated" "too short for its ports or its ICMP header";
    FragmentBad "fragment_bad" "a fragment whose length, offset or ECN field contradicts itself or the others of its packet";
    FragmentOverlap "fragment_overlap" "fragments of one packet that overlap: all of them are dropped (RFC 5722)";
    FragmentDuplicate "fragment_duplicate" "a fragment that came before";
    FragmentTimeout "fragment_timeout" "a fragment whose packet was not complete in time";
    FragmentsTooMany "fragments_too_many" "fragments of a packet that came in more pieces than are put together";
    ReassemblyFull "reassembly_full" "a fragment, when as many as may be were already waiting for others";
    SourceBad "source_bad" "the source address is multicast, broadcast, loopback or the director's own";
    Multicast "multicast" "addressed to a multicast or broadcast address nothing listens on";
    ArpBad "arp_bad" "an ARP packet that is not Ethernet and IPv4, or contradicts itself";
    ArpNotOurs "arp_not_ours" "an ARP request for an address that is not answered on this port";
    NdBad "nd_bad" "a neighbour solicitation or advertisement that RFC 4861 §7.1 calls invalid";
    NdNotOurs "nd_not_ours" "a neighbour solicitation for an address that is not answered on this port";
    AddressConflict "address_conflict" "an ARP or ND packet in which another station claims an address of ours";
    NoService "no_service" "addressed to a virtual or own address, but no service has this protocol and port";
    FtpChecksumBad "ftp_checksum_bad" "on an FTP control connection behind NAT, with a wrong TCP checksum";
    NotSyn "not_syn" "TCP or SCTP without a connection, and neither a SYN nor an INIT that could start one";
    NoDestination "no_destination" "the service has no destination that may take it; the client was told by ICMP";
    NoCallId "no_call_id" "the service tells clients apart by the Call-ID of SIP, and it has none";
    TableFull "table_full" "the connection table is full (capacity_per_worker); existing connections go on";
    DropPacket "drop_packet" "one of those that would begin a connection, as `drop_packet` asks for";
    DestinationGone "destination_gone" "its connection's destination was removed";
    TtlExceeded "ttl_exceeded" "its TTL ran out here; the sender was told by ICMP";
    MtuExceeded "mtu_exceeded" "longer than the MTU of its way and must not be fragmented; the sender was told by ICMP";
    NoRoute "no_route" "no route to its destination";
    ForwardOff "forward_off" "no service's, and routing is off ([ip] forward)";
    NeighbourQueueFull "neighbour_queue_full" "too many packets wait for the next hop's MAC address";
    NeighbourFailed "neighbour_failed" "the next hop did not answer ARP";
    IcmpUnrelated "icmp_unrelated" "an ICMP message about no connection of ours, or of a type not handled";
    IcmpChecksumBad "icmp_checksum_bad" "an ICMP error about a connection's packet, with a wrong checksum";
    TunnelError "tunnel_error" "an ICMP error about a packet in a tunnel of ours; the client was told instead, where it wants to be";
    Unasked "unasked" "from a NAT destination's port, but of no connection; it was told by ICMP (`nat_icmp_send`)";
    NoHeadroom "no_headroom" "no room in its buffer for the outer header";
    NoBuffer "no_buffer" "the memory pool had no buffer for a packet of the director's own";
    RingFull "ring_full" "for another worker, which does not keep up: the ring to it was full";
    Stray "stray" "handed over by a worker that followed another steering, while that was changing";
    TxFull "tx_full" "the port's transmit queue was full";
    Internal "internal" "the director met a state it should not be in; please report it";
}

impl DropReason {
    pub const COUNT: usize = Self::ALL.len();
}
