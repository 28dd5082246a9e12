//! `pollux destination`: destinations of a service at run time.

use super::service::Which;
use super::{Failure, command};
use crate::control::api::{ChecksumWord, DestinationRef, DestinationSpec, ForwardWord, Request, TunnelWord};
use clap::ValueEnum;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

/// Add, edit or delete a destination of a service of the running director
#[derive(Debug, clap::Subcommand)]
pub enum Destination {
    /// Add a destination
    Add(Spec),
    /// Change what is named of a destination; the rest stays
    Edit(Spec),
    /// Delete a destination: no new connections; those it has end by themselves
    Delete(Where),
}

impl Destination {
    pub fn execute(&self, socket: &Path, out: &mut dyn Write) -> Result<(), Failure> {
        let request = match self {
            Self::Add(spec) => Request::DestinationAdd(spec.request()?),
            Self::Edit(spec) => Request::DestinationEdit(spec.request()?),
            Self::Delete(place) => Request::DestinationDelete(place.destination()?),
        };
        command(socket, &request, "done", out)
    }
}

#[derive(Debug, clap::Args)]
pub struct Where {
    #[command(flatten)]
    service: Which,
    /// ADDRESS or ADDRESS:PORT of the real server; without a port it is the service's
    #[arg(value_name = "DEST", value_parser = address)]
    destination: (IpAddr, Option<u16>),
}

impl Where {
    fn destination(&self) -> Result<DestinationRef, Failure> {
        let (address, port) = self.destination;
        Ok(DestinationRef { service: self.service.service()?, address, port })
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Method {
    Nat,
    Dr,
    Tun,
}

impl From<Method> for ForwardWord {
    fn from(method: Method) -> Self {
        match method {
            Method::Nat => Self::Nat,
            Method::Dr => Self::Dr,
            Method::Tun => Self::Tun,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Tunnel {
    Ipip,
    Gue,
    Gre,
}

impl From<Tunnel> for TunnelWord {
    fn from(tunnel: Tunnel) -> Self {
        match tunnel {
            Tunnel::Ipip => Self::Ipip,
            Tunnel::Gue => Self::Gue,
            Tunnel::Gre => Self::Gre,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Checksum {
    None,
    Full,
    /// Remote checksum offload
    Remote,
}

impl From<Checksum> for ChecksumWord {
    fn from(checksum: Checksum) -> Self {
        match checksum {
            Checksum::None => Self::None,
            Checksum::Full => Self::Full,
            Checksum::Remote => Self::Remote,
        }
    }
}

#[derive(Debug, clap::Args)]
pub struct Spec {
    #[command(flatten)]
    place: Where,
    /// Forwarding method [default of a new destination: dr]
    #[arg(long, short, value_name = "METHOD")]
    forward: Option<Method>,
    /// The tunnel's type [default: ipip]
    #[arg(long, value_name = "TYPE")]
    tunnel: Option<Tunnel>,
    /// UDP port that GUE goes to
    #[arg(long, value_name = "PORT")]
    tunnel_port: Option<u16>,
    /// The checksum in the tunnel's header [default: none]
    #[arg(long, value_name = "WORD")]
    tunnel_checksum: Option<Checksum>,
    /// 0 takes no new connections [default of a new destination: 1]
    #[arg(long, short, value_name = "N")]
    weight: Option<u32>,
    /// Connections at which it takes no more; 0 for no limit
    #[arg(long, value_name = "N")]
    threshold_upper: Option<u32>,
    /// Connections below which it takes some again; 0 for three quarters of the upper one
    #[arg(long, value_name = "N")]
    threshold_lower: Option<u32>,
}

impl Spec {
    fn request(&self) -> Result<DestinationSpec, Failure> {
        Ok(DestinationSpec {
            destination: self.place.destination()?,
            forward: self.forward.map(Into::into),
            tunnel: self.tunnel.map(Into::into),
            tunnel_port: self.tunnel_port,
            tunnel_checksum: self.tunnel_checksum.map(Into::into),
            weight: self.weight,
            threshold_upper: self.threshold_upper,
            threshold_lower: self.threshold_lower,
        })
    }
}

fn address(text: &str) -> Result<(IpAddr, Option<u16>), String> {
    let with_port = text.parse().map(|at: SocketAddr| (at.ip(), Some(at.port()))).ok();
    let alone = || text.parse().map(|address| (address, None)).ok();
    with_port.or_else(alone).ok_or_else(|| "expected an address like 10.1.0.1, or 10.1.0.1:8080".to_owned())
}
