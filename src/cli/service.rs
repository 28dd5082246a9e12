//! `pollux service`: virtual services at run time.

use super::{Failure, command};
use crate::control::api::{Request, ServiceRef, ServiceSpec};
use crate::control::config::values;
use crate::model::Family;
use clap::ValueEnum;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;

/// Add, edit or delete a virtual service of the running director
#[derive(Debug, clap::Subcommand)]
pub enum Service {
    /// Add a service
    Add(Spec),
    /// Change what is named of a service; the rest stays
    Edit(Spec),
    /// Delete a service with its destinations
    Delete(Which),
}

impl Service {
    pub fn execute(&self, socket: &Path, out: &mut dyn Write) -> Result<(), Failure> {
        let request = match self {
            Self::Add(spec) => Request::ServiceAdd(spec.request()?),
            Self::Edit(spec) => Request::ServiceEdit(spec.request()?),
            Self::Delete(which) => Request::ServiceDelete(which.service()?),
        };
        command(socket, &request, "done", out)
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
    /// A firewall mark
    Mark,
    /// A firewall mark, of IPv6 packets
    Mark6,
}

/// Which service. Its two words are checked against each other by [`Which::service`].
#[derive(Clone, Debug, clap::Args)]
pub struct Which {
    #[arg(value_name = "PROTO", hide_possible_values = true, help = "tcp, udp, sctp, mark or mark6")]
    protocol: Protocol,
    /// ADDRESS:PORT of the service, [ADDRESS]:PORT for IPv6; the number of a mark
    #[arg(value_name = "SERVICE", value_parser = Place::parse)]
    place: Place,
}

/// A service's address, or its mark.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    Address(SocketAddr),
    Mark(u32),
}

impl Place {
    fn parse(text: &str) -> Result<Self, String> {
        let address = text.parse().map(Self::Address).ok();
        let mark = || text.parse().map(Self::Mark).ok();
        address.or_else(mark).ok_or_else(|| "expected an address and port like 192.0.2.10:80".to_owned())
    }
}

impl Which {
    pub fn service(&self) -> Result<ServiceRef, Failure> {
        let usage = |text: &str| Err(Failure::Usage(text.to_owned()));
        Ok(match (self.protocol, self.place) {
            (Protocol::Tcp, Place::Address(at)) => ServiceRef::Tcp(at),
            (Protocol::Udp, Place::Address(at)) => ServiceRef::Udp(at),
            (Protocol::Sctp, Place::Address(at)) => ServiceRef::Sctp(at),
            (Protocol::Mark, Place::Mark(mark)) => ServiceRef::Mark(mark),
            (Protocol::Mark6, Place::Mark(mark)) => ServiceRef::Mark6(mark),
            (_, Place::Mark(_)) => return usage("a service needs an address and port, as in `tcp 192.0.2.10:80`"),
            (_, Place::Address(_)) => return usage("a mark is a number, as in `mark 7`"),
        })
    }
}

#[derive(Debug, clap::Args)]
pub struct Spec {
    #[command(flatten)]
    which: Which,
    /// rr, wrr, lc, wlc, sh, dh, sed, nq, lblc, lblcr ... [default of a new service: wlc]
    #[arg(long, short, value_name = "NAME")]
    scheduler: Option<String>,
    /// Comma-separated, as `ipvsadm -b` takes them: sh-port, sh-fallback; "" for none
    #[arg(long, value_name = "FLAGS")]
    scheduler_flags: Option<String>,
    /// Seconds for which a client keeps its destination; 0 for no persistence
    #[arg(long, value_name = "SECONDS")]
    persistence_timeout: Option<u32>,
    /// Clients of one such network keep to one destination: 255.255.255.0, or a prefix length
    #[arg(long, value_name = "MASK", value_parser = mask)]
    persistence_mask: Option<String>,
    /// What tells clients apart besides their address: sip (the Call-ID); "" for nothing
    #[arg(long, value_name = "NAME")]
    persistence_engine: Option<String>,
    /// One-packet scheduling, UDP only: a decision for every packet
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    one_packet: Option<bool>,
    /// Schedule as one worker would, at the price of all packets going to one
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    strict: Option<bool>,
    /// Name of the [[port]] that answers ARP for the address; "" for the one whose subnet it lies in
    #[arg(long, value_name = "NAME")]
    port: Option<String>,
    /// Seconds an established TCP connection is kept; 0: as everywhere
    #[arg(long, value_name = "SECONDS")]
    tcp_established: Option<u32>,
    /// Seconds a TCP connection is kept after a FIN; 0: as everywhere
    #[arg(long, value_name = "SECONDS")]
    tcp_fin_wait: Option<u32>,
    /// Seconds between two packets of a UDP connection; 0: as everywhere
    #[arg(long, value_name = "SECONDS")]
    udp: Option<u32>,
    /// Seconds until the connections of a quiesced or removed destination end; 0: they end by themselves
    #[arg(long, value_name = "SECONDS")]
    drain_deadline: Option<u32>,
    /// Reset established TCP connections that end because nothing came
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    reset_on_idle_expiry: Option<bool>,
    /// A UDP packet whose destination was quiesced or removed goes to another at once
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    reschedule_udp: Option<bool>,
}

impl Spec {
    fn request(&self) -> Result<ServiceSpec, Failure> {
        let flags = |text: &String| text.split(',').filter(|flag| !flag.is_empty()).map(str::to_owned).collect();
        Ok(ServiceSpec {
            service: self.which.service()?,
            scheduler: self.scheduler.clone(),
            scheduler_flags: self.scheduler_flags.as_ref().map(flags),
            persistence_timeout_s: self.persistence_timeout,
            persistence_mask: self.persistence_mask.clone(),
            persistence_engine: self.persistence_engine.clone(),
            one_packet: self.one_packet,
            strict: self.strict,
            port: self.port.clone(),
            tcp_established_s: self.tcp_established,
            tcp_fin_wait_s: self.tcp_fin_wait,
            udp_s: self.udp,
            drain_deadline_s: self.drain_deadline,
            reset_on_idle_expiry: self.reset_on_idle_expiry,
            reschedule_udp: self.reschedule_udp,
        })
    }
}

/// A mask of either family; whether it is the service's is known where the service is.
fn mask(text: &str) -> Result<String, String> {
    let is_mask = |family| values::client_mask(text, family).is_ok();
    if is_mask(Family::V4) || is_mask(Family::V6) {
        return Ok(text.to_owned());
    }
    Err("expected a mask like 255.255.255.0, or a prefix length like 24".to_owned())
}
