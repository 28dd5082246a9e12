//! Connections as listings show them, of both families, a page at a time.

use super::director::Director;
use super::family::Family;
use super::frame::Frame;
use crate::model::state::{state_name, template_state_name};
use crate::model::{Protocol, Tick};
use crate::tables::connections::{Conn, flags};
use crate::tables::names::NAME_LEN_MAX;
use crate::wire::address::{Ip4, Ip6};
use arrayvec::ArrayVec;
use std::net::{IpAddr, SocketAddr};

/// A connection as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionRow {
    pub protocol: Protocol,
    pub client: SocketAddr,
    pub virt: SocketAddr,
    pub server: SocketAddr,
    pub state: &'static str,
    /// A persistence template, not a connection.
    pub is_template: bool,
    /// Ticks until it expires; negative: its time is up.
    pub expires_ticks: i32,
    /// What a persistence engine tells the template's clients apart by.
    pub engine_data: Option<EngineData>,
}

/// A copy, as the row goes to another thread.
pub type EngineData = ArrayVec<u8, NAME_LEN_MAX>;

impl ConnectionRow {
    pub fn expires_s(&self) -> u32 {
        self.expires_ticks.max(0) as u32 / Tick::PER_S
    }
}

/// Set in a cursor that stands in the IPv6 table.
const V6: u32 = 1 << 31;

impl<F: Frame> Director<F> {
    /// Shows connections from `cursor` on (0 at first): looks at `look_at` entries at most, and says where to go on, 0 at
    /// the end.
    pub fn list(&self, cursor: u32, look_at: u32, each: impl FnMut(ConnectionRow)) -> u32 {
        if cursor & V6 != 0 {
            let next = self.list_family::<Ip6>(cursor & !V6, look_at, each);
            return if next == 0 { 0 } else { next | V6 };
        }
        match self.list_family::<Ip4>(cursor, look_at, each) {
            0 => V6,
            next => next,
        }
    }

    fn list_family<A: Family>(&self, cursor: u32, look_at: u32, mut each: impl FnMut(ConnectionRow)) -> u32 {
        let connections = self.connections.table::<A>();
        connections.page(cursor, look_at, |_, conn| {
            if !conn.has(flags::GONE) {
                each(self.row(conn));
            }
        })
    }

    fn row<A: Family>(&self, conn: &Conn<A>) -> ConnectionRow {
        let protocol = Protocol::from_number(conn.protocol).unwrap_or(Protocol::Ip);
        let at = |address: IpAddr, port: [u8; 2]| SocketAddr::new(address, u16::from_be_bytes(port));
        // a tunnel may lead to the other family: then only the destination knows the address
        let server = match self.destinations.get(conn.dest) {
            Some(dest) if conn.has(flags::TUN) => dest.address,
            _ => conn.server.to_ip(),
        };
        let is_template = conn.has(flags::TEMPLATE);
        ConnectionRow {
            protocol,
            client: at(conn.client.to_ip(), conn.client_port),
            virt: at(conn.virt.to_ip(), conn.virtual_port),
            server: at(server, conn.server_port),
            state: if is_template { template_state_name(conn.state) } else { state_name(protocol, conn.state) },
            is_template,
            expires_ticks: conn.timer.deadline.since(self.tick),
            engine_data: (is_template && conn.extra != 0).then(|| self.names.get(conn.extra).iter().copied().collect()),
        }
    }
}
