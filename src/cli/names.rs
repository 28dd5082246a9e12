//! The system's names of hosts and services, from wherever nsswitch.conf says. Looking up may block: this is for a
//! command's own process.

use crate::control::ipvsadm::names::Names;
use std::ffi::{CStr, CString};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

/// Longest name getnameinfo gives (NI_MAXHOST).
const HOST_BYTES: usize = 1025;

pub struct System;

impl Names for System {
    fn host(&self, address: IpAddr) -> Option<String> {
        match address {
            IpAddr::V4(v4) => {
                #[allow(unsafe_code)]
                // SAFETY: all bytes zero is a valid sockaddr_in
                let mut sockaddr: libc::sockaddr_in = unsafe { std::mem::zeroed() };
                sockaddr.sin_family = libc::AF_INET as libc::sa_family_t;
                sockaddr.sin_addr.s_addr = u32::from_ne_bytes(v4.octets());
                host(&sockaddr)
            }
            IpAddr::V6(v6) => {
                #[allow(unsafe_code)]
                // SAFETY: all bytes zero is a valid sockaddr_in6
                let mut sockaddr: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
                sockaddr.sin6_family = libc::AF_INET6 as libc::sa_family_t;
                sockaddr.sin6_addr.s6_addr = v6.octets();
                host(&sockaddr)
            }
        }
    }

    #[allow(unsafe_code)]
    fn service(&self, port: u16, protocol: &str) -> Option<String> {
        let protocol = CString::new(protocol).ok()?;
        // SAFETY: the protocol ends with NUL; the answer, if any, is valid until the next call, and this process has one
        // thread that makes such calls
        let name = unsafe {
            let entry = libc::getservbyport(port.to_be().into(), protocol.as_ptr()).as_ref()?;
            CStr::from_ptr(entry.s_name)
        };
        Some(name.to_string_lossy().into_owned())
    }

    /// Of several addresses the first IPv4 one, which is all that ipvsadm looks for, else an IPv6 one.
    fn address(&self, host: &str) -> Option<IpAddr> {
        let found: Vec<IpAddr> = (host, 0).to_socket_addrs().ok()?.map(|at: SocketAddr| at.ip()).collect();
        found.iter().find(|address| address.is_ipv4()).or(found.first()).copied()
    }

    #[allow(unsafe_code)]
    fn port(&self, service: &str, protocol: &str) -> Option<u16> {
        let (service, protocol) = (CString::new(service).ok()?, CString::new(protocol).ok()?);
        // SAFETY: as for `service`
        let entry = unsafe { libc::getservbyname(service.as_ptr(), protocol.as_ptr()).as_ref()? };
        Some(u16::from_be(entry.s_port as u16))
    }
}

/// `sockaddr`: a sockaddr_in or a sockaddr_in6.
#[allow(unsafe_code)]
fn host<T>(sockaddr: &T) -> Option<String> {
    let mut buffer = [0u8; HOST_BYTES];
    // SAFETY: the address and the buffer are as long as is said; no service is asked for
    let failed = unsafe {
        libc::getnameinfo(
            std::ptr::from_ref(sockaddr).cast(),
            size_of::<T>() as libc::socklen_t,
            buffer.as_mut_ptr().cast(),
            HOST_BYTES as libc::socklen_t,
            std::ptr::null_mut(),
            0,
            libc::NI_NAMEREQD,
        )
    };
    let name = CStr::from_bytes_until_nul(&buffer).ok()?;
    (failed == 0).then(|| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_has_a_name_is_found_by_it() {
        // the system may know no names at all
        if let Some(name) = System.service(80, "tcp") {
            assert_eq!(System.port(&name, "tcp"), Some(80));
        }
        assert_eq!(System.service(80, "no-such-protocol"), None);
        assert_eq!(System.port("no such service", "tcp"), None);
        assert_eq!(System.address("192.0.2.1"), Some("192.0.2.1".parse().unwrap()));
    }
}
