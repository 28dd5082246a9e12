//! Random commands and reloads against a naive model: lists of services, each with its destinations in the kernel's
//! order.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug)]
enum Op {
    AddService(ServiceConfig),
    EditService(ServiceKey, &'static str),
    DeleteService(ServiceKey),
    AddDestination(ServiceKey, DestinationConfig),
    EditDestination(ServiceKey, SocketAddr, u32),
    DeleteDestination(ServiceKey, SocketAddr),
    Reload(Vec<ServiceConfig>),
    /// Everything in the trash is old; whether it still has connections.
    Collect(bool),
}

fn key() -> impl Strategy<Value = ServiceKey> {
    (0..5_u32).prop_map(|i| if i == 4 { mark(7) } else { tcp(&format!("192.0.2.{}:{}", i / 2, 80 + i)) })
}

fn address() -> impl Strategy<Value = SocketAddr> {
    (1..5_u8).prop_map(|i| SocketAddr::new(IpAddr::from([10, 0, 0, i]), 80))
}

fn destination() -> impl Strategy<Value = DestinationConfig> {
    // the greatest ones are refused
    (address(), 0..5_u32).prop_map(|(at, w)| nat(&at.to_string(), if w == 4 { u32::MAX } else { w }))
}

fn scheduler_name() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("rr"), Just("wlc"), Just("sh")]
}

fn any_service() -> impl Strategy<Value = ServiceConfig> {
    let destinations = proptest::collection::vec(destination(), 0..4);
    (key(), scheduler_name(), destinations).prop_map(|(key, name, destinations)| ServiceConfig {
        scheduler: scheduler(name),
        ..service(key, &destinations)
    })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => any_service().prop_map(Op::AddService),
        1 => (key(), scheduler_name()).prop_map(|(key, name)| Op::EditService(key, name)),
        1 => key().prop_map(Op::DeleteService),
        4 => (key(), destination()).prop_map(|(key, d)| Op::AddDestination(key, d)),
        2 => (key(), address(), 0..4_u32).prop_map(|(key, at, w)| Op::EditDestination(key, at, w)),
        3 => (key(), address()).prop_map(|(key, at)| Op::DeleteDestination(key, at)),
        1 => proptest::collection::vec(any_service(), 0..4).prop_map(Op::Reload),
        1 => any::<bool>().prop_map(Op::Collect),
    ]
}

/// A destination of the model: what it is configured to be, and its last positive weight.
type Listed = (DestinationConfig, u32);

#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    services: BTreeMap<ServiceKey, (SchedulerName, Vec<Listed>)>,
}

/// By name, so that it can be compared and printed.
type SchedulerName = &'static str;

fn is_at(d: &Listed, at: SocketAddr) -> bool {
    (d.0.address, d.0.port) == (at.ip(), at.port())
}

impl Model {
    fn of(state: &State) -> Self {
        let listed = |c: &crate::sched::Candidate| (state.destination_config(c.id), c.last_weight);
        let service = |s: &Service| (s.scheduler.name(), s.pool.candidates().iter().map(listed).collect());
        Self { services: state.snapshot.services.iter().map(|(_, s)| (s.key, service(s))).collect() }
    }

    /// None: refused.
    fn add_destination(&mut self, key: &ServiceKey, d: &DestinationConfig) -> Option<()> {
        let list = &mut self.services.get_mut(key)?.1;
        let exists = list.iter().any(|l| is_at(l, SocketAddr::new(d.address, d.port)));
        if exists || d.weight > i32::MAX as u32 {
            return None;
        }
        list.insert(0, (*d, d.weight));
        Some(())
    }

    fn edit_destination(&mut self, key: &ServiceKey, at: SocketAddr, weight: u32) -> Option<()> {
        let listed = self.services.get_mut(key)?.1.iter_mut().find(|l| is_at(l, at))?;
        listed.0.weight = weight;
        listed.1 = if weight == 0 { listed.1 } else { weight };
        (weight <= i32::MAX as u32).then_some(())
    }

    fn delete_destination(&mut self, key: &ServiceKey, at: SocketAddr) -> Option<()> {
        let list = &mut self.services.get_mut(key)?.1;
        let position = list.iter().position(|l| is_at(l, at))?;
        list.remove(position);
        Some(())
    }

    fn add_service(&mut self, service: &ServiceConfig) -> Option<()> {
        if self.services.contains_key(&service.key) {
            return None;
        }
        self.services.insert(service.key, (service.scheduler.name(), Vec::new()));
        service.destinations.iter().try_for_each(|d| self.add_destination(&service.key, d))
    }

    /// Repeats what an operator would type to get from the running state to the file's.
    fn reload(&mut self, services: &[ServiceConfig]) -> Option<()> {
        let keys: BTreeSet<_> = services.iter().map(|s| s.key).collect();
        self.services.retain(|key, _| keys.contains(key));
        if keys.len() != services.len() {
            return None;
        }
        services.iter().try_for_each(|service| self.reload_service(service))
    }

    fn reload_service(&mut self, new: &ServiceConfig) -> Option<()> {
        let Some((name, list)) = self.services.get_mut(&new.key) else { return self.add_service(new) };
        *name = new.scheduler.name();
        let at = |d: &DestinationConfig| SocketAddr::new(d.address, d.port);
        let wanted: BTreeSet<_> = new.destinations.iter().map(at).collect();
        if wanted.len() != new.destinations.len() {
            return None;
        }
        list.retain(|l| wanted.contains(&at(&l.0)));
        let kept: BTreeSet<_> = list.iter().map(|l| at(&l.0)).collect();
        for d in &new.destinations {
            if kept.contains(&at(d)) {
                self.edit_destination(&new.key, at(d), d.weight)?;
            } else {
                self.add_destination(&new.key, d)?;
            }
        }
        Some(())
    }

    fn apply(&mut self, op: &Op) -> Option<()> {
        match op {
            Op::AddService(service) => self.add_service(service),
            Op::EditService(key, name) => self.services.get_mut(key).map(|s| s.0 = name),
            Op::DeleteService(key) => self.services.remove(key).map(|_| ()),
            Op::AddDestination(key, d) => self.add_destination(key, d),
            Op::EditDestination(key, at, weight) => self.edit_destination(key, *at, *weight),
            Op::DeleteDestination(key, at) => self.delete_destination(key, *at),
            Op::Reload(services) => self.reload(services),
            Op::Collect(_) => Some(()),
        }
    }
}

fn apply(state: &mut State, op: &Op, now: Time) -> Result<(), Error> {
    match op {
        Op::AddService(service) => state.add_service(service),
        Op::EditService(key, name) => {
            state.edit_service(key, &ServiceEdit { scheduler: Some(scheduler(name)), ..Default::default() })
        }
        Op::DeleteService(key) => state.delete_service(key, now),
        Op::AddDestination(key, d) => state.add_destination(key, d),
        Op::EditDestination(key, at, w) => state.edit_destination(key, *at, &weight(*w)),
        Op::DeleteDestination(key, at) => state.delete_destination(key, *at, now),
        Op::Reload(services) => state.apply_config(config(services), now).map(|_| ()),
        Op::Collect(referenced) => {
            let later = Time::from_s(now.0 / 1_000_000_000 + TRASH_PERIOD_S);
            state.collect(later, &|_| u64::from(*referenced));
            Ok(())
        }
    }
}

type Identity = (ServiceKey, IpAddr, u16);

/// Every destination that is known, the trash included, with its id.
fn identities(state: &State) -> BTreeMap<Identity, DestId> {
    let live = state
        .snapshot
        .services
        .iter()
        .flat_map(|(_, s)| s.pool.candidates().iter().map(move |c| ((s.key, c.address, c.port), c.id)));
    live.collect()
}

fn check_changes(before: &Snapshot, after: &Snapshot) {
    if before.version == after.version {
        return;
    }
    assert_eq!(after.version, before.version + 1);
    let services =
        (0..64).filter(|&i| before.services.get(i).map(Arc::as_ptr) != after.services.get(i).map(Arc::as_ptr));
    let services: Vec<_> = services.map(|i| ServiceId(i as u32)).collect();
    assert_eq!(after.changes.services, services);
    let (old, new) = (&before.destinations, &after.destinations);
    let destinations = (0..256).filter(|&i| old.get(i).map(Arc::as_ptr) != new.get(i).map(Arc::as_ptr));
    let destinations: Vec<_> = destinations.map(|i| DestId(i as u32)).collect();
    assert_eq!(after.changes.destinations, destinations);
    assert_eq!(after.changes.network, !Arc::ptr_eq(&before.network, &after.network));
}

fn check_consistency(snapshot: &Snapshot) {
    assert_eq!(snapshot.directory.services.len(), snapshot.services.iter().count());
    let mut pooled = BTreeSet::new();
    for (index, service) in snapshot.services.iter() {
        assert_eq!(service.id.index(), index);
        assert_eq!(snapshot.directory.services.get(&service.key), Some(&service.id));
        for (position, candidate) in service.pool.candidates().iter().enumerate() {
            let destination = snapshot.destinations.get(candidate.id.index()).unwrap();
            assert!(destination.available && pooled.insert(candidate.id));
            assert_eq!((destination.service, destination.weight), (service.id, candidate.weight));
            assert_eq!((destination.address, destination.port), (candidate.address, candidate.port));
            assert_eq!(service.pool.position(candidate.id), Some(position));
        }
    }
    let available = snapshot.destinations.iter().filter(|(_, d)| d.available).count();
    assert_eq!(available, pooled.len(), "what is in no pool is in the trash");
}

/// Content without ids and history: what a fresh start with the same configuration has as well.
fn content(state: &State) -> (BTreeMap<ServiceKey, (SchedulerName, Vec<DestinationConfig>)>, Vec<VirtualAddress>) {
    let model = Model::of(state).services.into_iter();
    let services = model.map(|(key, (name, list))| (key, (name, list.into_iter().map(|l| l.0).collect())));
    (services.collect(), state.snapshot.network.virtual_addresses.clone())
}

proptest! {
    #[test]
    fn random_commands_and_reloads_give_what_the_naive_model_has(ops in proptest::collection::vec(op(), 1..60)) {
        let mut state = state(&[]);
        let mut model = Model::default();
        let mut known = BTreeMap::new();
        for op in &ops {
            let before = state.snapshot().clone();
            let mut next = model.clone();
            let accepted = next.apply(op).is_some();
            let result = apply(&mut state, op, Time::from_s(1));
            prop_assert_eq!(accepted, result.is_ok(), "{:?}: {:?}", op, result);
            if accepted {
                model = next;
            }
            prop_assert_eq!(&Model::of(&state), &model, "after {:?}", op);
            check_changes(&before, state.snapshot());
            check_consistency(state.snapshot());
            let live = identities(&state);
            if matches!(op, Op::Collect(false)) {
                known.retain(|identity, _| live.contains_key(identity));
                prop_assert_eq!(state.snapshot().destinations.iter().count(), live.len());
            }
            for (identity, id) in live {
                prop_assert_eq!(*known.entry(identity).or_insert(id), id, "{:?} was revived as another one", identity);
            }
            let ids: BTreeSet<_> = known.values().collect();
            prop_assert_eq!(ids.len(), known.len(), "an id is used twice");
        }
        let fresh = State::new(state.config(), &OPENED).unwrap();
        prop_assert_eq!(content(&state), content(&fresh));
    }
}
