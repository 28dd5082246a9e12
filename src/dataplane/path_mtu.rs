//! MTUs of ways that routers have told (RFC 1191 §6.1), kept as the kernel's route cache keeps them
//! (__ip_rt_update_pmtu): they only fall, not below a least one, and are forgotten after a while.

use super::destinations::Hop;
use super::frame::Frame;
use super::network::NetworkState;
use crate::model::Time;
use crate::model::limits::PATH_MTUS_MAX;
use hashbrown::HashMap;
use std::net::IpAddr;

/// Linux's `ip_rt_mtu_expires` and `ip_rt_min_pmtu`.
const EXPIRES_S: u64 = 600;
const LEAST: u16 = 552;
/// What is to be forgotten is looked for no more often.
const SWEEP_EVERY_S: u64 = 1;

#[derive(Clone, Copy, Debug)]
struct Told {
    mtu: u16,
    expires: Time,
    /// Told less than [`LEAST`]: stays as it is until it is forgotten.
    locked: bool,
    /// The network's epoch from which on ways are found with it.
    since: u32,
}

/// The MTUs told, by destination.
#[derive(Debug)]
pub struct PathMtus {
    told: HashMap<IpAddr, Told>,
    swept: Time,
}

impl Default for PathMtus {
    fn default() -> Self {
        // for all, so that no packet has to wait for more memory
        Self { told: HashMap::with_capacity(PATH_MTUS_MAX), swept: Time(0) }
    }
}

impl PathMtus {
    /// `mtu`, the link's, or what was told if that is less.
    #[inline]
    pub fn clamp(&self, destination: IpAddr, mtu: u16) -> u16 {
        if self.told.is_empty() {
            return mtu;
        }
        self.told.get(&destination).map_or(mtu, |told| told.mtu.min(mtu))
    }

    /// Whether a way found in `epoch` was found with what was told of its destination.
    fn is_known_since(&self, destination: IpAddr, epoch: u32) -> bool {
        self.told.get(&destination).is_some_and(|told| epoch.wrapping_sub(told.since) as i32 >= 0)
    }

    /// Takes over what a router told of a way whose MTU was `old`; false when nothing has changed by it.
    fn learn(&mut self, destination: IpAddr, mtu: u16, old: u16, epoch: u32, now: Time) -> bool {
        let known = self.told.get(&destination).copied();
        if known.is_some_and(|known| known.locked) || old < mtu {
            return false;
        }
        let locked = mtu < LEAST;
        let mtu = if locked { old.min(LEAST) } else { mtu };
        if known.is_some_and(|known| known.mtu == mtu && !locked && known.expires > now.plus_ms(EXPIRES_S * 1000 / 2)) {
            return false;
        }
        if known.is_none() && self.told.len() >= PATH_MTUS_MAX {
            self.forget_oldest();
        }
        let since = known.map_or(epoch, |known| known.since);
        self.told.insert(destination, Told { mtu, expires: now.plus_ms(EXPIRES_S * 1000), locked, since });
        true
    }

    #[cold]
    fn forget_oldest(&mut self) {
        let oldest = self.told.iter().min_by_key(|(_, told)| told.expires).map(|(destination, _)| *destination);
        oldest.map(|destination| self.told.remove(&destination));
    }

    /// Forgets what is too old; whether there was anything.
    fn sweep(&mut self, now: Time) -> bool {
        if self.told.is_empty() || now.since(self.swept) < Time::from_s(SWEEP_EVERY_S).0 {
            return false;
        }
        self.swept = now;
        let before = self.told.len();
        self.told.retain(|_, told| told.expires > now);
        self.told.len() != before
    }
}

impl<F: Frame> NetworkState<F> {
    /// A router says that packets to `destination` must not be longer than `mtu`.
    pub fn learn_path_mtu(&mut self, destination: IpAddr, mtu: u16, now: Time) {
        let Ok(way) = self.way_to_ip(destination, now) else { return };
        let next_epoch = self.epoch.wrapping_add(1);
        if self.path_mtus.learn(destination, mtu, way.mtu, next_epoch, now) {
            self.epoch = next_epoch;
        }
    }

    /// What `way`, found in `epoch`, says of its MTU now. What was told of the destination after it was found does not
    /// show before it is looked up again, with the next packet; what is told later does at once, as in the kernel,
    /// whose cached routes share one record of what was told.
    pub fn mtu_seen(&self, destination: IpAddr, way: Hop, epoch: u32) -> u16 {
        let is_known = self.path_mtus.is_known_since(destination, epoch);
        if is_known { self.path_mtus.clamp(destination, way.mtu) } else { way.mtu }
    }

    /// Forgets path MTUs that are too old.
    pub(super) fn maintain_path_mtus(&mut self, now: Time) {
        if self.path_mtus.sweep(now) {
            self.epoch = self.epoch.wrapping_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    fn told(mtus: &[u16]) -> u16 {
        let mut known = PathMtus::default();
        for &mtu in mtus {
            known.learn(A, mtu, known.clamp(A, 1500), 1, Time::from_s(1));
        }
        known.clamp(A, 1500)
    }

    #[test]
    fn a_path_mtu_only_falls_and_not_below_the_least() {
        assert_eq!(told(&[]), 1500);
        assert_eq!(told(&[1600]), 1500);
        assert_eq!(told(&[1300]), 1300);
        assert_eq!(told(&[1300, 1400]), 1300);
        assert_eq!(told(&[1300, 1200]), 1200);
        assert_eq!(told(&[552]), 552);
        assert_eq!(told(&[0]), 552, "what routers older than RFC 1191 say");
        assert_eq!(told(&[100, 552]), 552);
    }

    #[test]
    fn a_least_one_is_locked_in_and_others_are_prolonged_in_their_second_half() {
        let mut known = PathMtus::default();
        let at = Time::from_s;
        assert!(known.learn(A, 1300, 1500, 1, at(1000)));
        assert!(!known.learn(A, 1300, 1300, 2, at(1299)));
        assert!(known.learn(A, 1300, 1300, 2, at(1300)));
        assert!(!known.sweep(at(1899)) && known.sweep(at(1901)));
        assert_eq!(known.clamp(A, 1500), 1500);
        assert!(known.learn(A, 68, 1500, 3, at(2000)));
        assert!(!known.learn(A, 68, 552, 3, at(2500)));
        assert!(known.sweep(at(2600)));
    }

    #[test]
    fn no_more_than_the_bound_are_kept_and_the_oldest_go() {
        let mut known = PathMtus::default();
        let address = |n: u32| IpAddr::from(std::net::Ipv4Addr::from(0x0a00_0000 + n));
        for n in 0..PATH_MTUS_MAX as u32 + 10 {
            assert!(known.learn(address(n), 1300, 1500, 1, Time::from_ms(n.into())));
        }
        assert_eq!(known.told.len(), PATH_MTUS_MAX);
        assert_eq!((known.clamp(address(9), 1500), known.clamp(address(10), 1500)), (1500, 1300));
    }
}
