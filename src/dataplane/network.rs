//! Layers 2 and 3 of one worker: interfaces, own addresses, routes, next hops, and the frames that wait for one.

use super::destinations::{Hop, Way};
use super::frame::Frame;
use super::outlet::Outlet;
use super::path::Path;
use super::path_mtu::PathMtus;
use super::reach::{Local, LocalAddress, Reach};
use super::snapshot::{Interface, Network};
use super::{arp, nd};
use crate::model::limits::{HELD_MAX, HELD_PER_NEIGHBOUR_MAX};
use crate::model::{DropReason, InterfaceId, PortId, Time, WorkerCounters};
use crate::tables::memory::NoMemory;
use crate::tables::neighbours::{Due, NeighbourId, Neighbours};
use crate::wire::Header;
use crate::wire::address::{Ip4, Ip6};
use crate::wire::ethernet::{EthernetHeader, VlanTag};
use crate::wire::ip::{Either, Ip};
use arrayvec::ArrayVec;
use hashbrown::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// Ethernet's with a tag.
pub const LINK_HEADER_LEN_MAX: usize = EthernetHeader::LEN + VlanTag::LEN;
/// How long a path is used before its neighbour is marked as in use again: a fraction of what neighbours are kept unused.
const PATHS_RENEWED_NS: u64 = 1_000_000_000;
/// Addresses announced between two bursts.
const ANNOUNCED_PER_POLL: usize = 4;
/// Addresses that wait to be announced; who has more goes on when there is room.
const ANNOUNCEMENTS_MAX: usize = 64;
/// Ports whose link came up at the same time, more than a machine has.
const LINKS_UP_MAX: usize = 32;

/// What a worker has found out about a way of the network.
#[derive(Clone, Copy, Debug, Default)]
struct Gateway {
    /// As found in this epoch of the neighbours.
    found: Option<(u32, NeighbourId)>,
    path: Path,
}

/// A frame that waits, complete but for its destination MAC address.
struct Held<F> {
    frame: F,
    next: u16,
}

/// Which interface a VLAN of a port is; 0 for untagged frames.
#[derive(Clone, Debug)]
struct PortVlans {
    untagged: Option<InterfaceId>,
    /// Its MAC address as a [word](mac_word).
    untagged_mac: u64,
    tagged: HashMap<u16, InterfaceId>,
}

impl Default for PortVlans {
    fn default() -> Self {
        Self { untagged: None, untagged_mac: NOBODY, tagged: HashMap::default() }
    }
}

/// Instead of the [word](mac_word) of an Ethernet address: no frame begins with it.
const NOBODY: u64 = 1;

/// An Ethernet address as the upper bytes of a word.
fn mac_word(mac: [u8; 6]) -> u64 {
    let [a, b, c, d, e, f] = mac;
    u64::from_le_bytes([0, 0, a, b, c, d, e, f])
}

/// What one worker knows of the network.
pub struct NetworkState<F> {
    pub interfaces: Vec<Interface>,
    ports: Vec<PortVlans>,
    reach: Arc<Reach>,
    /// Of the ways in `reach`.
    gateways: Vec<Gateway>,
    pub neighbours: Neighbours,
    held: Vec<Option<Held<F>>>,
    held_free: Vec<u16>,
    /// Counts changes of the configured network and of path MTUs.
    pub(super) epoch: u32,
    pub(super) path_mtus: PathMtus,
    /// Counts what may make a [`Path`] another one, and seconds.
    path_epoch: u32,
    /// The epochs that it has counted.
    path_epoch_of: (u32, u32, u32),
    paths_renewed: Time,
    /// Addresses to be announced: virtual ones that have just appeared, and all of a port whose link came up.
    pub announcements: ArrayVec<(InterfaceId, IpAddr), ANNOUNCEMENTS_MAX>,
    /// Ports whose link came up, with the first address that has not been looked at.
    links_up: ArrayVec<(PortId, usize), LINKS_UP_MAX>,
    maintained: Time,
}

impl<F: Frame> NetworkState<F> {
    /// `seed` should be random, as for connections.
    pub fn new(seed: u64) -> Result<Self, NoMemory> {
        Ok(Self {
            interfaces: vec![],
            ports: vec![],
            reach: Arc::default(),
            gateways: vec![],
            neighbours: Neighbours::new(seed)?,
            held: (0..HELD_MAX).map(|_| None).collect(),
            held_free: (1..HELD_MAX as u16).rev().collect(),
            epoch: 1,
            path_mtus: PathMtus::default(),
            path_epoch: 1,
            path_epoch_of: (1, 0, 0),
            paths_renewed: Time(0),
            announcements: ArrayVec::new(),
            links_up: ArrayVec::new(),
            maintained: Time(0),
        })
    }
}

/// The interface's address in the subnet of `towards`, else its first one: the source of packets of our own.
fn source_on<A: Ip>(interface: &Interface, towards: IpAddr) -> Option<A> {
    let own = || interface.addresses.iter().filter_map(|net| Some((net, A::from_ip(net.addr())?)));
    own().find(|(net, _)| net.contains(&towards)).or_else(|| own().next()).map(|(_, address)| address)
}

impl<F: Frame> NetworkState<F> {
    /// Takes over the configured network but for static neighbours ([`Neighbours::set_static`]). Those that were learnt
    /// stay where their interface stays.
    pub fn set(&mut self, network: &Network, counters: &WorkerCounters) {
        if self.interfaces != network.interfaces {
            self.set_interfaces(&network.interfaces, counters);
        }
        self.gateways.clear();
        self.gateways.resize(network.reach.ways.len(), Gateway::default());
        self.reach = network.reach.clone();
        self.links_up.iter_mut().for_each(|(_, next)| *next = 0);
        self.epoch = self.epoch.wrapping_add(1);
    }

    fn set_interfaces(&mut self, interfaces: &[Interface], counters: &WorkerCounters) {
        let before = std::mem::replace(&mut self.interfaces, interfaces.to_vec());
        let is_new =
            |interface: &&Interface| !before.get(interface.id.index()).is_some_and(|b| b.is_same_link(interface));
        let is_gone = |id: InterfaceId| interfaces.get(id.index()).as_ref().is_none_or(is_new);
        // does not happen but at start: links are not changed at run time
        if before.len() > interfaces.len() || interfaces.iter().any(|interface| is_new(&interface)) {
            for gone in self.neighbours.forget(is_gone) {
                let dropped = self.release(gone.held_first, |_| {});
                counters.drops[DropReason::NeighbourFailed as usize].add(dropped);
            }
        }
        self.set_ports();
    }

    fn set_ports(&mut self) {
        self.ports.clear();
        for interface in &self.interfaces {
            let port = interface.port.index();
            if self.ports.len() <= port {
                self.ports.resize(port + 1, PortVlans::default());
            }
            match interface.vlan {
                None => {
                    self.ports[port].untagged = Some(interface.id);
                    self.ports[port].untagged_mac = mac_word(interface.mac);
                }
                Some(vlan) => {
                    self.ports[port].tagged.insert(vlan, interface.id);
                }
            }
        }
    }

    /// A port has a link again: its neighbours are asked, and told where the director's addresses are.
    pub fn link_up(&mut self, port: PortId, now: Time) {
        for interface in self.interfaces.iter().filter(|interface| interface.port == port) {
            self.neighbours.doubt(interface.id, now);
        }
        self.links_up.retain(|(other, _)| *other != port);
        // one more than there is room for costs announcements, not packets: who wants the addresses asks for them
        let _ = self.links_up.try_push((port, 0));
    }

    /// Goes on with the addresses of ports whose link came up, as far as there is room for announcements.
    #[cold]
    fn look_for_announcements(&mut self) {
        let Some((port, next)) = self.links_up.last_mut() else { return };
        let addresses = self.reach.answered.get(*next..).unwrap_or_default();
        let room = self.announcements.remaining_capacity();
        let is_here = |id: InterfaceId| self.interfaces.get(id.index()).is_some_and(|i| i.port == *port);
        let looked_at = &addresses[..room.min(addresses.len())];
        self.announcements.extend(looked_at.iter().copied().filter(|(id, _)| is_here(*id)));
        *next += looked_at.len();
        if looked_at.len() == addresses.len() {
            self.links_up.pop();
        }
    }

    /// What the first eight bytes of an untagged frame to us on this port are, but for the two that are shifted out: as a
    /// word whose first byte is the lowest, 16 bits further up.
    #[inline(always)]
    pub fn start_of_ours(&self, port: PortId) -> u64 {
        self.ports.get(port.index()).map_or(NOBODY, |vlans| vlans.untagged_mac)
    }

    /// The interface a frame came in on.
    #[inline(always)]
    pub fn interface_of(&self, port: PortId, vlan: u16) -> Option<&Interface> {
        let vlans = self.ports.get(port.index())?;
        let id = if vlan == 0 { vlans.untagged } else { vlans.tagged.get(&vlan).copied() }?;
        self.interfaces.get(id.index())
    }

    #[inline]
    pub fn local(&self, address: IpAddr) -> Option<Local> {
        self.reach.locals.get(&LocalAddress::from(address)).copied()
    }

    /// Whether the address is the broadcast address of a subnet of ours.
    pub fn is_subnet_broadcast(&self, address: IpAddr) -> bool {
        let nets = self.interfaces.iter().flat_map(|i| &i.addresses);
        nets.filter(|net| net.prefix_len() < 31).any(|net| net.broadcast() == address)
    }

    /// Whether the address is in a subnet of this interface.
    pub fn is_connected(&self, interface: InterfaceId, address: IpAddr) -> bool {
        self.interfaces.get(interface.index()).is_some_and(|i| i.addresses.iter().any(|net| net.contains(&address)))
    }

    /// Changes when a way found earlier may no longer be right.
    #[inline(always)]
    pub fn epoch(&self) -> (u32, u32) {
        (self.epoch, self.neighbours.epoch())
    }

    /// Changes when a [`Path`] made earlier may no longer be right; and every second, so that who is sent to is known to be
    /// in use.
    #[inline(always)]
    pub fn path_epoch(&mut self) -> u32 {
        let now = (self.epoch, self.neighbours.epoch(), self.neighbours.reach_epoch());
        if now != self.path_epoch_of {
            self.path_epoch_of = now;
            self.end_path_epoch();
        }
        self.path_epoch
    }

    /// Paths are made anew.
    pub fn end_path_epoch(&mut self) {
        self.path_epoch = Path::epoch_after(self.path_epoch);
    }

    /// The path of frames to a next hop; `None` while they have to wait for its MAC address.
    pub fn path_to(&mut self, hop: Hop) -> Option<Path> {
        let epoch = self.path_epoch();
        let entry = self.neighbours.get_mut(hop.neighbour).filter(|entry| entry.is_usable())?;
        entry.used = true;
        let mac = entry.mac;
        let interface = self.interfaces.get(entry.interface.index())?;
        Some(Path::new(epoch, mac, interface, hop.mtu))
    }

    /// The path to the gateway that packets to `destination` are routed by, if it is known and of this epoch.
    #[inline(always)]
    pub fn path_by_route<A: Ip>(&self, destination: A, epoch: u32) -> Option<&Path> {
        let mut bytes = [0; 16];
        destination.write(&mut bytes);
        let route = self.reach.routes.of::<A>().find(&bytes[..A::LEN])?;
        self.gateways.get(route as usize).map(|gateway| &gateway.path).filter(|path| path.is_of(epoch))
    }

    /// Makes the path for [`NetworkState::path_by_route`].
    #[cold]
    pub fn renew_path_by_route<A: Ip>(&mut self, destination: A, hop: Hop) {
        let mut bytes = [0; 16];
        destination.write(&mut bytes);
        let Some(route) = self.reach.routes.of::<A>().find(&bytes[..A::LEN]) else { return };
        let has_gateway = self.reach.ways.get(route as usize).is_some_and(|way| way.via.is_some());
        let path = self.path_to(hop);
        if let (Some(gateway), Some(path)) = (self.gateways.get_mut(route as usize), path)
            && has_gateway
        {
            gateway.path = path;
        }
    }

    /// The next hop towards `destination`.
    #[inline]
    pub fn next_hop<A: Ip>(&mut self, destination: A, now: Time) -> Result<NeighbourId, DropReason> {
        let mut bytes = [0; 16];
        destination.write(&mut bytes);
        let route = self.reach.routes.of::<A>().find(&bytes[..A::LEN]).ok_or(DropReason::NoRoute)? as usize;
        let way = self.reach.ways[route];
        let Some(via) = way.via else {
            let found = self.neighbours.find_or_add(way.interface, destination.to_ip(), now);
            return found.ok_or(DropReason::NeighbourQueueFull);
        };
        if let Some((epoch, id)) = self.gateways[route].found
            && epoch == self.neighbours.epoch()
        {
            return Ok(id);
        }
        let found = self.neighbours.find_or_add(way.interface, via, now);
        let id = found.ok_or(DropReason::NeighbourQueueFull)?;
        self.gateways[route].found = Some((self.neighbours.epoch(), id));
        Ok(id)
    }

    /// The next hop, MTU and own address on the way to `destination`.
    pub fn way_to_ip(&mut self, destination: IpAddr, now: Time) -> Result<Way, DropReason> {
        match destination.into() {
            Either::V4(destination) => self.way_to::<Ip4>(destination, now),
            Either::V6(destination) => self.way_to::<Ip6>(destination, now),
        }
    }

    /// As [`NetworkState::way_to_ip`].
    pub fn way_to<A: Ip>(&mut self, destination: A, now: Time) -> Result<Way, DropReason> {
        let neighbour = self.next_hop(destination, now)?;
        let entry = self.neighbours.get(neighbour).ok_or(DropReason::Internal)?;
        let interface = self.interfaces.get(entry.interface.index()).ok_or(DropReason::NoRoute)?;
        let elsewhere = || self.interfaces.iter().find_map(|other| source_on::<A>(other, entry.address));
        let source = source_on::<A>(interface, entry.address).or_else(elsewhere).unwrap_or_default();
        let mtu = self.path_mtus.clamp(destination.to_ip(), interface.mtu);
        Ok(Way { neighbour, mtu, source: source.to_ip() })
    }

    /// The interface packets to a next hop leave by.
    pub fn interface_towards(&self, next_hop: NeighbourId) -> Option<&Interface> {
        self.interfaces.get(self.neighbours.get(next_hop)?.interface.index())
    }

    /// Whether the port towards a next hop fills in UDP checksums.
    pub fn offloads_udp_checksum(&self, next_hop: NeighbourId) -> bool {
        self.interface_towards(next_hop).is_some_and(|i| i.udp_checksum_offload)
    }

    /// Bytes in front of the IP packet in frames to a next hop.
    pub fn link_header_len(&self, next_hop: NeighbourId) -> Option<usize> {
        self.interface_towards(next_hop).map(|i| if i.vlan.is_some() { 18 } else { 14 })
    }

    /// The MTU towards a next hop.
    #[inline(always)]
    pub fn mtu_of(&self, neighbour: NeighbourId) -> u16 {
        let interface = self.neighbours.get(neighbour).and_then(|n| self.interfaces.get(n.interface.index()));
        interface.map_or(0, |i| i.mtu)
    }

    /// Sends the IP packet that begins `l3` bytes into the frame to a next hop; what is in front of it is replaced.
    #[inline(always)]
    pub fn emit<A: Ip>(
        &mut self,
        mut frame: F,
        l3: usize,
        neighbour: NeighbourId,
        now: Time,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        let entry = self.neighbours.get_mut(neighbour).ok_or(DropReason::Internal)?;
        if !entry.is_usable() {
            return self.hold::<A>(frame, l3, neighbour, now, out);
        }
        entry.used = true;
        let mac = entry.mac;
        let interface = self.interfaces.get(entry.interface.index()).ok_or(DropReason::Internal)?;
        write_link_header(&mut frame, l3, mac, interface, A::ETHERTYPE)?;
        out.transmit(interface.port, frame);
        Ok(())
    }

    /// Sends a frame that begins with the whole link header of `port`, as [`link_header`] makes it, but for the next hop's
    /// MAC address.
    #[inline(always)]
    pub fn emit_framed<A: Ip>(
        &mut self,
        mut frame: F,
        l3: usize,
        (neighbour, port): (NeighbourId, PortId),
        now: Time,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        let entry = self.neighbours.get_mut(neighbour).ok_or(DropReason::Internal)?;
        if !entry.is_usable() {
            return self.hold::<A>(frame, l3, neighbour, now, out);
        }
        entry.used = true;
        *frame.head_mut().first_chunk_mut().ok_or(DropReason::Internal)? = entry.mac;
        out.transmit(port, frame);
        Ok(())
    }

    #[cold]
    fn hold<A: Ip>(
        &mut self,
        mut frame: F,
        l3: usize,
        id: NeighbourId,
        now: Time,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        let entry = self.neighbours.get_mut(id).ok_or(DropReason::Internal)?;
        if entry.state == crate::tables::neighbours::State::Failed {
            return Err(DropReason::NeighbourFailed);
        }
        if entry.held >= HELD_PER_NEIGHBOUR_MAX {
            return Err(DropReason::NeighbourQueueFull);
        }
        let interface = self.interfaces.get(entry.interface.index()).ok_or(DropReason::Internal)?;
        // now, as a frame without room for it must not be lost later without a reason
        write_link_header(&mut frame, l3, [0; 6], interface, A::ETHERTYPE)?;
        let slot = self.held_free.pop().ok_or(DropReason::NeighbourQueueFull)?;
        self.held[slot as usize] = Some(Held { frame, next: 0 });
        let last = std::mem::replace(&mut entry.held_last, slot);
        entry.held += 1;
        if entry.held > 1 {
            if let Some(last) = self.held[last as usize].as_mut() {
                last.next = slot;
            }
            return Ok(());
        }
        entry.held_first = slot;
        if !entry.was_asked() {
            let (interface, address) = (entry.interface, entry.address);
            self.neighbours.asked(id, now);
            self.ask(interface, address, None, out);
        }
        Ok(())
    }

    /// Asks for a neighbour's MAC address; directly `mac` if given.
    fn ask(&self, interface: InterfaceId, address: IpAddr, mac: Option<[u8; 6]>, out: &mut impl Outlet<F>) {
        let Some(interface) = self.interfaces.get(interface.index()) else { return };
        match address {
            IpAddr::V4(target) => {
                let Some(source) = source_on::<Ip4>(interface, address) else { return };
                arp::send_request(interface, source.into(), target, mac, out);
            }
            IpAddr::V6(target) => {
                let Some(source) = source_on::<Ip6>(interface, address) else { return };
                nd::send_solicitation(interface, source.into(), target, mac, out);
            }
        }
    }

    /// Whether there are addresses to be announced.
    pub fn has_announcements(&self) -> bool {
        !self.announcements.is_empty() || !self.links_up.is_empty()
    }

    /// A virtual address is new here. False: others wait already.
    pub fn announce_soon(&mut self, interface: InterfaceId, address: IpAddr) -> bool {
        self.announcements.try_push((interface, address)).is_ok()
    }

    /// Nobody is to hear of them from this worker.
    pub fn forget_announcements(&mut self) {
        self.announcements.clear();
        self.links_up.clear();
    }

    /// Announces addresses, a few at a time.
    pub fn announce(&mut self, out: &mut impl Outlet<F>) {
        if self.announcements.is_empty() {
            self.look_for_announcements();
        }
        for _ in 0..ANNOUNCED_PER_POLL {
            let Some((interface, address)) = self.announcements.pop() else { return };
            let Some(interface) = self.interfaces.get(interface.index()) else { continue };
            match address {
                IpAddr::V4(address) => arp::announce(interface, address, out),
                IpAddr::V6(address) => nd::announce(interface, address, out),
            }
        }
    }

    /// A neighbour told its MAC address: it is remembered, and what waited for it goes.
    pub fn confirm(
        &mut self,
        interface: InterfaceId,
        address: IpAddr,
        mac: [u8; 6],
        learn: bool,
        now: Time,
        out: &mut impl Outlet<F>,
    ) {
        let Some(id) = self.neighbours.confirm(interface, address, mac, learn, now) else { return };
        let Some(entry) = self.neighbours.get_mut(id) else { return };
        let first = std::mem::replace(&mut entry.held_first, 0);
        (entry.held_last, entry.held) = (0, 0);
        // a static one does not believe what it was told
        let mac = entry.mac;
        let Some(port) = self.interfaces.get(interface.index()).map(|i| i.port) else { return };
        self.release(first, |mut frame| {
            frame.head_mut()[..6].copy_from_slice(&mac);
            out.transmit(port, frame);
        });
    }

    /// Empties a queue of waiting frames; how many there were.
    fn release(&mut self, mut slot: u16, mut each: impl FnMut(F)) -> u64 {
        let mut count = 0;
        while slot != 0 {
            let Some(held) = self.held[slot as usize].take() else { break };
            self.held_free.push(slot);
            slot = held.next;
            each(held.frame);
            count += 1;
        }
        count
    }

    /// Once a millisecond: asks neighbours again, drops what waits for those that failed. Bounded; all entries are
    /// looked at about twice a second.
    pub fn maintain(&mut self, now: Time, counters: &WorkerCounters, out: &mut impl Outlet<F>) {
        if now.since(self.maintained) < 1_000_000 {
            return;
        }
        self.maintained = now;
        self.maintain_path_mtus(now);
        if now.since(self.paths_renewed) >= PATHS_RENEWED_NS {
            self.paths_renewed = now;
            self.end_path_epoch();
        }
        let look_at = self.neighbours.slots() / 500 + 4;
        let mut work = ArrayVec::<_, 72>::new();
        self.neighbours.maintain(now, look_at.min(work.capacity()), |id, entry, due| work.push((id, entry, due)));
        for (id, entry, due) in work {
            match due {
                Due::Ask { unicast } => self.ask(entry.interface, entry.address, unicast.then_some(entry.mac), out),
                Due::Ready => self.confirm(entry.interface, entry.address, entry.mac, false, now, out),
                Due::Failed | Due::Removed => {
                    if let Some(entry) = self.neighbours.get_mut(id) {
                        (entry.held_first, entry.held_last, entry.held) = (0, 0, 0);
                    }
                    let dropped = self.release(entry.held_first, |_| {});
                    counters.drops[DropReason::NeighbourFailed as usize].add(dropped);
                }
            }
        }
    }
}

/// Sends a frame of our own, complete but for the interface's VLAN tag. It goes lost without a buffer: what asks or
/// announces does so again.
pub fn send_own<F: Frame>(bytes: &[u8], interface: &Interface, out: &mut impl Outlet<F>) {
    let Some(mut frame) = out.alloc() else { return };
    let sent = match interface.vlan {
        None => frame.extend(bytes),
        Some(vlan) => {
            let tag = vlan.to_be_bytes();
            frame.extend(&bytes[..12]) && frame.extend(&[0x81, 0, tag[0], tag[1]]) && frame.extend(&bytes[12..])
        }
    };
    if sent {
        out.transmit(interface.port, frame);
    }
}

/// Puts the Ethernet header, and the VLAN tag of the interface if it has one, in front of the IP packet at `l3`.
#[inline(always)]
pub fn write_link_header<F: Frame>(
    frame: &mut F,
    l3: usize,
    mac: [u8; 6],
    interface: &Interface,
    ethertype: u16,
) -> Result<(), DropReason> {
    let len = if interface.vlan.is_some() { 18 } else { 14 };
    if l3 > len {
        frame.trim_front(l3 - len);
    } else if l3 < len && !frame.prepend(len - l3) {
        return Err(DropReason::NoHeadroom);
    }
    let Some(header) = frame.head_mut().get_mut(..len) else { return Err(DropReason::Internal) };
    fill_link_header(header, mac, interface, ethertype);
    Ok(())
}

/// `header` is as long as the interface's are.
#[inline(always)]
fn fill_link_header(header: &mut [u8], mac: [u8; 6], interface: &Interface, ethertype: u16) {
    header[..6].copy_from_slice(&mac);
    header[6..12].copy_from_slice(&interface.mac);
    if let Some(vlan) = interface.vlan {
        header[12..14].copy_from_slice(&[0x81, 0x00]);
        header[14..16].copy_from_slice(&vlan.to_be_bytes());
    }
    let at = header.len() - 2;
    header[at..].copy_from_slice(&ethertype.to_be_bytes());
}

/// The header in front of packets that leave by an interface, with a MAC address still to come.
pub fn link_header(interface: &Interface, ethertype: u16) -> ArrayVec<u8, LINK_HEADER_LEN_MAX> {
    let len = if interface.vlan.is_some() { LINK_HEADER_LEN_MAX } else { EthernetHeader::LEN };
    let mut header: ArrayVec<u8, LINK_HEADER_LEN_MAX> = std::iter::repeat_n(0, len).collect();
    fill_link_header(&mut header, [0; 6], interface, ethertype);
    header
}
