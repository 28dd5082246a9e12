//! A path: what stands in front of the packets to one next hop, made once and copied before each of them.
//!
//! It is kept where the packets' connection leads to (a destination, a route) and says for which epoch of the network it
//! holds; with a newer one it is made anew.

use super::network::LINK_HEADER_LEN_MAX;
use super::packet::Exit;
use super::snapshot::Interface;
use crate::model::TimeoutsId;
use crate::wire::Header;
use crate::wire::ethernet::EthernetHeader;

const MAC: usize = 6;
/// Bytes of a link header.
pub const UNTAGGED_LEN: usize = EthernetHeader::LEN;
pub const TAGGED_LEN: usize = LINK_HEADER_LEN_MAX;

/// Half a cache line: all that a packet of a known connection needs to know of where it goes.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(32))]
pub struct Path {
    /// Which of the network's epochs (`NetworkState::path_epoch`), and in the lowest bit whether frames leave with a VLAN tag. 0, the
    /// default, is no epoch's.
    stamp: u32,
    /// Ticks that an established TCP connection of the destination lasts without a packet, by `timeouts`.
    pub established: u32,
    /// Destination's and source's.
    macs: [u8; 2 * MAC],
    /// With its ethertype, as it stands in the frame.
    tag: [u8; 4],
    /// By the port.
    pub(super) exit: Exit,
    /// IP packet bytes that fit.
    pub mtu: u16,
    /// The set of timeouts of the destination's connections.
    pub timeouts: TimeoutsId,
}
const _: () = assert!(size_of::<Path>() == 32);

impl Path {
    pub fn new(epoch: u32, mac: [u8; MAC], interface: &Interface, mtu: u16) -> Self {
        let mut macs = [0; 2 * MAC];
        macs[..MAC].copy_from_slice(&mac);
        macs[MAC..].copy_from_slice(&interface.mac);
        let [high, low] = interface.vlan.unwrap_or(0).to_be_bytes();
        let stamp = epoch << 1 | u32::from(interface.vlan.is_some());
        let (tag, exit) = ([0x81, 0x00, high, low], Exit::by(interface.port));
        Self { stamp, established: 0, macs, tag, exit, mtu, timeouts: TimeoutsId::default() }
    }

    /// The epoch that follows. (Who keeps a path unused for 2^31 of them might take it for new.)
    pub fn epoch_after(epoch: u32) -> u32 {
        const LAST: u32 = u32::MAX >> 1;
        epoch % LAST + 1
    }

    /// Whether it holds in this epoch.
    #[inline(always)]
    pub fn is_of(&self, epoch: u32) -> bool {
        self.stamp >> 1 == epoch
    }

    /// Whether it holds in this epoch, and frames leave without a VLAN tag.
    #[inline(always)]
    pub fn is_untagged_of(&self, epoch: u32) -> bool {
        self.stamp == epoch << 1
    }

    /// Whether frames leave with a link header as long as this.
    #[inline(always)]
    pub fn has_link_len(&self, len: u8) -> bool {
        usize::from(len) == if self.stamp & 1 == 0 { UNTAGGED_LEN } else { TAGGED_LEN }
    }

    /// Changes the link header of a frame that has one [of the same length](Self::has_link_len) and the same ethertype.
    #[inline(always)]
    pub fn write<const LEN: usize>(&self, link: &mut [u8; LEN]) {
        let (macs, rest) = link.split_at_mut(self.macs.len());
        macs.copy_from_slice(&self.macs);
        if LEN == TAGGED_LEN {
            rest[..self.tag.len()].copy_from_slice(&self.tag);
        }
    }

    /// The next hop's MAC address.
    #[inline(always)]
    pub fn mac(&self) -> [u8; MAC] {
        let [a, b, c, d, e, f, ..] = self.macs;
        [a, b, c, d, e, f]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{InterfaceId, PortId};

    fn interface(vlan: Option<u16>) -> Interface {
        let (id, port, name, addresses) = (InterfaceId(0), PortId(0), String::new(), vec![]);
        Interface { id, name, port, vlan, mac: [4; 6], mtu: 1500, udp_checksum_offload: false, addresses }
    }

    #[test]
    fn a_path_is_of_its_epoch_alone_and_says_whether_frames_are_tagged() {
        let last = u32::MAX >> 1;
        for (epoch, vlan) in [1, 2, last].into_iter().flat_map(|epoch| [(epoch, None), (epoch, Some(7))]) {
            let path = Path::new(epoch, [2; 6], &interface(vlan), 1500);
            assert!(path.is_of(epoch) && !path.is_of(Path::epoch_after(epoch)) && !path.is_of(0));
            assert_eq!(path.is_untagged_of(epoch), vlan.is_none());
            assert!(!path.is_untagged_of(Path::epoch_after(epoch)));
            assert_eq!((path.has_link_len(14), path.has_link_len(18)), (vlan.is_none(), vlan.is_some()));
        }
        assert_eq!([0, 1, last].map(Path::epoch_after), [1, 2, 1]);
        assert!([1, last].iter().all(|epoch| !Path::default().is_of(*epoch)), "none is new");
    }
}
