//! Everything that is stored, as far as the contract lets one see it.

use std::collections::BTreeMap;
use std::fmt::Debug;

use kapsel_core::{DeliveryState, Endpoint, EndpointId, EventId, TenantId, Timestamp};

use test_harness::builders::LOG_ID;

use super::operation::Engine;
use super::script::Script;
use crate::attestation::{AttemptTrace, PendingLeaf};
use crate::contract::world::ALL;
use crate::{ChangeSeq, EventDetail, EventFilter, EventSummary, LaneScan, Replay, StatusSet, StoredCircuit};

/// What one engine holds at one moment.
#[derive(Debug, PartialEq)]
pub(super) struct Dump {
    endpoints: BTreeMap<TenantId, Vec<Endpoint>>,
    changes: Vec<(EndpointId, Option<Box<Endpoint>>)>,
    lanes: LaneScan,
    circuits: BTreeMap<EndpointId, StoredCircuit>,
    /// Each tenant's events, all of them and by each state.
    events: BTreeMap<TenantId, Vec<EventSummary>>,
    undelivered: BTreeMap<TenantId, Vec<EventId>>,
    by_state: BTreeMap<(TenantId, &'static str), Vec<EventId>>,
    details: BTreeMap<EventId, EventDetail>,
    replays: BTreeMap<TenantId, Vec<Replay>>,
    pending: Vec<PendingLeaf>,
    traces: Vec<AttemptTrace>,
}

impl Dump {
    /// Looks at everything that belongs to the tenants of `script`.
    pub(super) async fn of(engine: &Engine, script: &Script) -> Dump {
        let (store, now) = (&engine.store, script.now());
        let changes = store.endpoint_changes(ChangeSeq::default(), ALL).await.unwrap();
        let mut dump = Dump {
            endpoints: BTreeMap::new(),
            changes: changes.into_iter().map(|change| (change.id, change.endpoint)).collect(),
            circuits: by_endpoint(store.circuit_changes(Timestamp::EPOCH).await.unwrap()),
            lanes: store.lane_scan(now, script.viewer(), None, ALL).await.unwrap(),
            events: BTreeMap::new(),
            undelivered: BTreeMap::new(),
            by_state: BTreeMap::new(),
            details: BTreeMap::new(),
            replays: BTreeMap::new(),
            pending: store.leaves_pending(LOG_ID, ALL).await.unwrap(),
            traces: store.attempt_traces(None, ALL).await.unwrap(),
        };
        for tenant_id in script.tenants() {
            dump.replays.insert(*tenant_id, store.replay_list(*tenant_id, None, ALL).await.unwrap());
            dump.endpoints.insert(*tenant_id, store.endpoint_list(*tenant_id, None, ALL).await.unwrap());
            let list = async |status| {
                let filter = EventFilter { status, ..EventFilter::default() };
                store.event_list(*tenant_id, filter, ALL, now).await.unwrap()
            };
            let events = list(StatusSet::ALL).await;
            for event in &events {
                dump.details.insert(event.id, store.event_get(*tenant_id, event.id, now).await.unwrap());
            }
            dump.events.insert(*tenant_id, events);
            dump.undelivered.insert(*tenant_id, ids_of(&list(StatusSet::UNDELIVERED).await));
            for state in DeliveryState::ALL {
                dump.by_state.insert((*tenant_id, state.as_str()), ids_of(&list(StatusSet::only(*state)).await));
            }
        }
        dump
    }

    /// Checks what must hold in every engine at every moment, so that two engines cannot agree on something wrong.
    pub(super) fn check(&self, place: &str) {
        for (tenant_id, events) in &self.events {
            assert!(events.is_sorted_by(|newer, older| newer.id > older.id), "{place}: a list is out of order");
            for event in events {
                assert_eq!(self.details[&event.id].summary, *event, "{place}: list and event differ");
            }
            let ids_in = |wanted: StatusSet| -> Vec<_> {
                events.iter().filter(|event| wanted.contains(event.status)).map(|event| event.id).collect()
            };
            for state in DeliveryState::ALL {
                let listed = &self.by_state[&(*tenant_id, state.as_str())];
                assert_eq!(*listed, ids_in(StatusSet::only(*state)), "{place}: the list of the {state} is wrong");
            }
            let undelivered = &self.undelivered[tenant_id];
            assert_eq!(*undelivered, ids_in(StatusSet::UNDELIVERED), "{place}: the list of the undelivered is wrong");
        }
        for detail in self.details.values() {
            for delivery in &detail.deliveries {
                let id = delivery.delivery.id;
                let attempts = detail.attempts.iter().filter(|attempt| attempt.delivery.id == id);
                let gapless = attempts.map(|attempt| attempt.number).zip(1..).all(|(number, place)| number == place);
                assert!(gapless, "{place}: the attempts of {id} are not numbered one by one");
            }
        }
    }

    /// The first difference to `expected`, in words.
    pub(super) fn difference(&self, expected: &Dump) -> Option<String> {
        if self == expected {
            return None;
        }
        for (id, detail) in &expected.details {
            match self.details.get(id) {
                Some(other) if other == detail => {}
                other => return Some(format!("{id} is {other:#?}, expected {detail:#?}")),
            }
        }
        // What is left is about lists, endpoints and jobs. Only what differs is shown: the whole fills pages.
        let parts = [
            ("endpoints", differing(&self.endpoints, &expected.endpoints)),
            ("changes", differing(&self.changes, &expected.changes)),
            ("circuits", differing(&self.circuits, &expected.circuits)),
            ("lanes", differing(&self.lanes, &expected.lanes)),
            ("undelivered", differing(&self.undelivered, &expected.undelivered)),
            ("by state", differing(&self.by_state, &expected.by_state)),
            ("replays", differing(&self.replays, &expected.replays)),
        ];
        let first = parts.into_iter().find_map(|(name, difference)| Some(format!("{name} {}", difference?)));
        first.or_else(|| Some("in an event that only one of them has".to_owned()))
    }
}

fn differing<T: PartialEq + Debug>(observed: &T, expected: &T) -> Option<String> {
    (observed != expected).then(|| format!("{observed:?}\nexpected {expected:?}"))
}

fn by_endpoint(circuits: Vec<StoredCircuit>) -> BTreeMap<EndpointId, StoredCircuit> {
    circuits.into_iter().map(|stored| (stored.endpoint_id, stored)).collect()
}

fn ids_of(events: &[EventSummary]) -> Vec<EventId> {
    events.iter().map(|event| event.id).collect()
}
