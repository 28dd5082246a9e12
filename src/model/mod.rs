//! The nouns: ids, service, destination, forwarding method, drop reasons, limits, counters. No behaviour.
pub mod client_mask;
pub mod counters;
pub mod departures;
pub mod destination;
pub mod drop_reason;
pub mod forward;
pub mod ids;
pub mod limits;
pub mod mark_rule;
pub mod protocol;
pub mod service;
pub mod settings;
pub mod state;
pub mod time;
pub mod timeouts;

pub use client_mask::ClientMask;
pub use counters::{Counter, DestCounters, WorkerCounters};
pub use departures::{Departures, OwnTimeouts};
pub use destination::Destination;
pub use drop_reason::DropReason;
pub use forward::{Forward, Tunnel, TunnelChecksum, TunnelKind};
pub use ids::{DestId, InterfaceId, PortId, QueueId, ServiceId, TimeoutsId, WorkerId};
pub use mark_rule::MarkRule;
pub use protocol::{Family, Protocol};
pub use service::{Persistence, PersistenceEngine, ServiceKey};
pub use time::{Tick, Time};
