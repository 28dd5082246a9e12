//! The connection and service tables as the recording has them, and as the director has them.

use super::vector::TableChanges;
use super::world::{Connection, World};
use pollux::control::ipvsadm::listing;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// How far a remaining time may be off.
const TOLERANCE_S: f64 = 2.0;
/// Recorded times are whole seconds, cut off.
const CUT_OFF_S: f64 = 0.5;
/// A timer that is started again goes unrecorded when that moves its end by less: whole seconds again, at both times.
const UNREPORTED_S: f64 = 1.0;

/// A recorded connection: what it is, without state and time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    protocol: String,
    client: SocketAddr,
    virt: SocketAddr,
    server: SocketAddr,
    /// What a persistence engine tells a template's clients apart by.
    engine_data: Option<String>,
}

#[derive(Clone, Debug)]
struct Row {
    state: String,
    /// When it was seen to have this long.
    seen_s: f64,
    expires_s: f64,
}

/// Forwarding method, weight, active and inactive connections.
type Server = (String, u64, u64, u64);

#[derive(Debug, Default)]
pub struct Tables {
    /// Several rows of one name: an old connection that goes with the next tick, and its successor.
    connections: BTreeMap<Name, Vec<Row>>,
    servers: BTreeMap<(String, String), Server>,
    /// The recordings differed among themselves: nothing is compared until the next snapshot.
    is_muted: bool,
    /// Connections gone by the next step; nobody knows when exactly.
    leaving: Vec<Name>,
    /// There are recordings without tables.
    pub is_recorded: bool,
    /// Timeouts were changed: that a timer was restarted with a shorter one was not noticed by the recorder.
    pub may_be_shorter: bool,
}

impl Tables {
    /// Looks ahead to what the next step says is gone.
    pub fn foresee(&mut self, next: Option<&TableChanges>) {
        self.leaving =
            next.map_or(Vec::new(), |next| next.connections_gone.iter().filter_map(|row| name(row)).collect());
    }

    /// Takes over what the recording says has changed.
    pub fn expect(&mut self, seen_s: f64, changes: &TableChanges) {
        for gone in &changes.connections_gone {
            if let Some(name) = name(gone) {
                self.remove(&name);
            }
        }
        let mut fresh: BTreeMap<Name, Vec<Row>> = BTreeMap::new();
        for row in &changes.connections {
            let (Some(name), Some(state), Some(expires)) = (name(row), text(row, 7), number(row, 8)) else { continue };
            let row = Row { state: state.to_owned(), seen_s, expires_s: expires as f64 };
            fresh.entry(name).or_default().push(row);
        }
        self.connections.extend(fresh);
        let key = |row: &Vec<Value>| Some((text(row, 0)?.to_owned(), text(row, 1)?.to_owned()));
        for gone in &changes.servers_gone {
            if let Some(key) = key(gone) {
                self.servers.remove(&key);
            }
        }
        for row in &changes.servers {
            let server = || Some((text(row, 2)?.to_owned(), number(row, 3)?, number(row, 4)?, number(row, 5)?));
            if let (Some(key), Some(server)) = (key(row), server()) {
                self.servers.insert(key, server);
            }
        }
    }

    fn remove(&mut self, name: &Name) {
        let Some(rows) = self.connections.get_mut(name) else { return };
        let first = rows.iter().enumerate().min_by(|a, b| a.1.expires_s.total_cmp(&b.1.expires_s)).map(|(i, _)| i);
        if let Some(index) = first {
            rows.remove(index);
        }
        if rows.is_empty() {
            self.connections.remove(name);
        }
    }

    /// From here on the recordings agree again.
    pub fn resume(&mut self) {
        self.is_muted = false;
    }

    pub fn compare(&mut self, now_s: f64, jitter: bool, world: &World) -> Result<(), String> {
        self.is_muted |= jitter;
        if self.is_muted || !self.is_recorded {
            return Ok(());
        }
        let sure = self.compare_connections(now_s, &world.connections())?;
        if sure { self.compare_servers(world) } else { Ok(()) }
    }

    /// False: a connection is here and not there only because it is about to end.
    fn compare_connections(&self, now_s: f64, ours: &[Connection]) -> Result<bool, String> {
        let mut sure = true;
        let named: BTreeMap<Name, &Connection> = ours.iter().map(|c| (name_of(c), c)).collect();
        for (name, rows) in &self.connections {
            let row = rows.iter().max_by(|a, b| a.expires_s.total_cmp(&b.expires_s)).expect("a name has rows");
            sure &= rows.len() == 1;
            let remaining_s = row.expires_s - (now_s - row.seen_s) + CUT_OFF_S;
            let about_to_go = remaining_s <= TOLERANCE_S + CUT_OFF_S || self.leaving.contains(name);
            match named.get(name) {
                Some(conn) if self.may_be_shorter && conn.expires_s < remaining_s && conn.state == row.state => {}
                Some(conn) => compare_connection(row, remaining_s, conn)?,
                None if about_to_go || self.is_replaced(name, &named) => sure = false,
                None => return Err(format!("no connection {} {} {:.0} s", show(name), row.state, remaining_s)),
            }
        }
        for (name, conn) in &named {
            if !self.connections.contains_key(name) {
                if conn.expires_s > TOLERANCE_S + CUT_OFF_S {
                    return Err(format!("a connection too many: {conn:?}"));
                }
                sure = false;
            }
        }
        Ok(sure)
    }

    /// A recorded connection that has been expired "now" goes with the next tick, and its successor is there already.
    fn is_replaced(&self, name: &Name, ours: &BTreeMap<Name, &Connection>) -> bool {
        let same = |other: &&Name| {
            (&other.protocol, other.client, other.virt) == (&name.protocol, name.client, name.virt)
                && other.server != name.server
        };
        self.connections.keys().filter(same).any(|other| ours.contains_key(other))
    }

    fn compare_servers(&self, world: &World) -> Result<(), String> {
        let mut ours = BTreeMap::new();
        for service in world.services() {
            for d in &service.destinations {
                let forward = listing::forward_name(&d.forward).to_owned();
                let server = (forward, u64::from(d.weight), d.counts.active, d.counts.inactive);
                ours.insert((listing::service_name(&service), listing::place(d.address, d.port)), server);
            }
        }
        // the kernel's own table does not say which family a mark's service has
        let squeezed = |(service, server): &(String, String)| {
            (service.trim_end_matches(" IPv6").split_whitespace().collect::<Vec<_>>().join(" "), server.clone())
        };
        let ours: BTreeMap<_, _> = ours.into_iter().map(|(key, server)| (squeezed(&key), server)).collect();
        let theirs: BTreeMap<_, _> = self.servers.iter().map(|(key, server)| (squeezed(key), server.clone())).collect();
        if ours == theirs {
            return Ok(());
        }
        let differs = |key: &&(String, String)| ours.get(*key) != theirs.get(*key);
        let keys: std::collections::BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
        let line = |key: &(String, String)| {
            let of = |server: Option<&Server>| server.map_or("nothing".to_owned(), |s| format!("{s:?}"));
            format!("{} -> {}: expected {}, came {}", key.0, key.1, of(theirs.get(key)), of(ours.get(key)))
        };
        let lines: Vec<_> = keys.into_iter().filter(differs).map(line).collect();
        Err(format!("(method, weight, active, inactive) differ\n{}", lines.join("\n")))
    }
}

fn compare_connection(row: &Row, remaining_s: f64, conn: &Connection) -> Result<(), String> {
    if row.state != conn.state {
        return Err(format!("connection {} is {}, expected {}", show(&name_of(conn)), conn.state, row.state));
    }
    let later_s = conn.expires_s - remaining_s;
    if !(-(TOLERANCE_S + CUT_OFF_S)..=TOLERANCE_S + CUT_OFF_S + UNREPORTED_S).contains(&later_s) {
        return Err(format!(
            "connection {} {} expires in {:.2} s, expected {remaining_s:.1} s",
            show(&name_of(conn)),
            conn.state,
            conn.expires_s
        ));
    }
    Ok(())
}

/// The server of the connection that a frame of a client belongs to; `expected` may lack the port.
pub fn compare_server(expected: &str, frame: &[u8], world: &World) -> Result<(), String> {
    let Some((source, destination)) = super::decode::endpoints(frame) else { return Ok(()) };
    let all = world.connections();
    let Some(conn) = all.iter().find(|c| (c.client, c.virt) == (source, destination)) else { return Ok(()) };
    if expected.parse::<SocketAddr>().is_err() && expected.parse::<IpAddr>().is_err() {
        // the next hop's MAC address where there was no connection to ask
        return Ok(());
    }
    if conn.server.ip().is_unspecified() {
        // the next hop where nobody was chosen
        return Ok(());
    }
    // IPv6 addresses are recorded without brackets
    let (address, port) = (conn.server.ip().to_string(), conn.server.port());
    let same = expected == address || expected == format!("{address}:{port}");
    if same { Ok(()) } else { Err(format!("server: expected {expected}, chosen {}", conn.server)) }
}

fn name_of(conn: &Connection) -> Name {
    let Connection { protocol, client, virt, server, .. } = *conn;
    Name { protocol: protocol.to_owned(), client, virt, server, engine_data: conn.engine_data.clone() }
}

fn show(name: &Name) -> String {
    format!("{} {} > {} > {}", name.protocol, name.client, name.virt, name.server)
}

fn name(row: &[Value]) -> Option<Name> {
    let at = |address: usize, port: usize| {
        let address: IpAddr = text(row, address)?.parse().ok()?;
        Some(SocketAddr::new(address, u16::try_from(number(row, port)?).ok()?))
    };
    let (protocol, engine_data) = (text(row, 0)?.to_owned(), text(row, 10).map(str::to_owned));
    Some(Name { protocol, client: at(1, 2)?, virt: at(3, 4)?, server: at(5, 6)?, engine_data })
}

fn text(row: &[Value], index: usize) -> Option<&str> {
    row.get(index)?.as_str()
}

fn number(row: &[Value], index: usize) -> Option<u64> {
    row.get(index)?.as_u64()
}
