//! The nouns: ids, service, destination, forwarding method, drop reasons, limits, counters. No behaviour.
pub mod counters;
pub mod destination;
pub mod drop_reason;
pub mod forward;
pub mod ids;
pub mod limits;
pub mod protocol;
pub mod service;
pub mod settings;
pub mod state;
pub mod time;
pub mod timeouts;

pub use counters::{Counter, DestCounters, WorkerCounters};
pub use destination::Destination;
pub use drop_reason::DropReason;
pub use forward::{Forward, Tunnel, TunnelChecksum, TunnelKind};
pub use ids::{DestId, InterfaceId, PortId, QueueId, ServiceId, WorkerId};
pub use protocol::{Family, Protocol};
pub use service::{Persistence, PersistenceEngine, ServiceKey};
pub use time::{Tick, Time};
