//! One call with its arguments, what an engine answers to it, and how the answer is named.

use std::sync::Arc;

use kapsel_core::settlement::Next;
use kapsel_core::{DeliveryRef, Endpoint, EndpointId, EndpointStatus, EventId, InstanceId, Lease, TenantId, Timestamp};

use super::removal::{self, Removal};
use super::replays::ReplayCall;
use crate::{
    ChangeSeq, ClaimRequest, ClaimedDelivery, DueReplays, Erasure, EventDetail, EventFilter, EventSummary, Ingested,
    LaneScan, NewEvent, Replay, Settled, Settlement, Store, StoreError, StoredCircuit,
};

/// A store, and how far its changes were read. Their numbers are the engine's own affair and are not compared.
pub(super) struct Engine {
    pub(super) name: String,
    pub(super) store: Arc<dyn Store>,
    changes_seen: ChangeSeq,
}

impl Engine {
    pub(super) fn new(name: &str, store: Arc<dyn Store>) -> Self {
        Engine { name: name.to_owned(), store, changes_seen: ChangeSeq::default() }
    }
}

/// A call.
#[derive(Debug)]
pub(super) enum Operation {
    Ping,
    Insert(Arc<Vec<NewEvent>>),
    LaneScan {
        viewer: InstanceId,
        after: Option<EndpointId>,
        limit: usize,
    },
    Claim(ClaimRequest),
    Settle(Arc<Vec<Settlement>>),
    Release(Vec<(DeliveryRef, Lease)>),
    ReleaseClaim(Lease),
    ReleaseAll(Option<InstanceId>),
    /// Until nothing is left: which ones an engine takes first is its own affair.
    DiscardOfDeleted {
        limit: usize,
    },
    /// Until nothing is left.
    Prune {
        limit: usize,
    },
    CircuitPut(Vec<StoredCircuit>),
    CircuitRead(Vec<EndpointId>),
    CircuitChanges(Timestamp),
    CircuitList(TenantId, Vec<EndpointId>),
    CircuitReset(TenantId, EndpointId),
    EndpointInsert(Endpoint),
    EndpointUpdate(Endpoint, u64),
    EndpointDelete(TenantId, EndpointId),
    EndpointGet(TenantId, EndpointId),
    EndpointList {
        tenant_id: TenantId,
        after: Option<EndpointId>,
        limit: usize,
    },
    /// Those behind the last ones that were read in this way.
    EndpointChanges {
        limit: usize,
    },
    EventGet(TenantId, EventId),
    EventList {
        tenant_id: TenantId,
        filter: EventFilter,
        limit: usize,
    },
    EventRequeue(TenantId, EventId),
    Replay(ReplayCall),
    Removal(Removal),
}

/// An answer.
#[derive(Debug, PartialEq)]
pub(super) enum Observation {
    Done,
    Count(usize),
    Ingested(Vec<Ingested>),
    Scan(LaneScan),
    Claimed(Vec<ClaimedDelivery>),
    Settled(Vec<Settled>),
    Written(Vec<bool>),
    /// In the order of the endpoints.
    Circuits(Vec<StoredCircuit>),
    Endpoint(Box<Endpoint>),
    Endpoints(Vec<Endpoint>),
    Changes(Vec<(EndpointId, Option<Box<Endpoint>>)>),
    Event(Box<EventDetail>),
    Events(Vec<EventSummary>),
    EventIds(Vec<EventId>),
    Replays(Vec<Replay>),
    DueReplays(DueReplays),
    Erasures(Vec<Erasure>),
    /// The variant alone; the words are for people.
    Error(&'static str),
}

impl From<StoreError> for Observation {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Observation::Error("not found"),
            StoreError::Conflict(_) => Observation::Error("conflict"),
            // No operation here gives an engine a reason for these.
            StoreError::Unavailable { .. } | StoreError::Corrupt { .. } => panic!("an engine failed: {error:?}"),
        }
    }
}

impl Operation {
    /// Makes the call.
    pub(super) async fn apply(&self, engine: &mut Engine, now: Timestamp) -> Observation {
        self.call(engine, now).await.unwrap_or_else(Observation::from)
    }

    async fn call(&self, engine: &mut Engine, now: Timestamp) -> Result<Observation, StoreError> {
        let store = &engine.store;
        Ok(match self {
            Operation::Ping => done(store.ping().await?),
            Operation::Insert(batch) => Observation::Ingested(store.event_insert_batch(now, Arc::clone(batch)).await?),
            Operation::LaneScan { viewer, after, limit } => {
                Observation::Scan(store.lane_scan(now, *viewer, *after, *limit).await?)
            }
            Operation::Claim(request) => Observation::Claimed(store.delivery_claim_due(now, request.clone()).await?),
            Operation::Settle(batch) => {
                Observation::Settled(store.delivery_settle_if_leased(now, Arc::clone(batch)).await?)
            }
            Operation::Release(batch) => done(store.delivery_release_if_leased(now, batch.clone()).await?),
            Operation::ReleaseClaim(lease) => Observation::Count(store.delivery_release_claim(now, *lease).await?),
            Operation::ReleaseAll(owner) => Observation::Count(store.lease_release_all(now, *owner).await?),
            Operation::DiscardOfDeleted { limit } => {
                let mut total = 0;
                loop {
                    let count = store.delivery_discard_of_deleted(now, *limit).await?;
                    total += count;
                    if count == 0 {
                        break Observation::Count(total);
                    }
                }
            }
            Operation::Prune { limit } => {
                let mut total = 0;
                loop {
                    let count = store.idempotency_prune(now, *limit).await?;
                    total += count;
                    if count == 0 {
                        break Observation::Count(total);
                    }
                }
            }
            Operation::CircuitPut(batch) => Observation::Written(store.circuit_put_if_version(batch.clone()).await?),
            Operation::CircuitRead(endpoints) => circuits(store.circuit_read(endpoints.clone()).await?),
            Operation::CircuitChanges(since) => circuits(store.circuit_changes(*since).await?),
            Operation::CircuitList(tenant_id, endpoints) => {
                circuits(store.circuit_list(*tenant_id, endpoints.clone()).await?)
            }
            Operation::CircuitReset(tenant_id, id) => done(store.circuit_reset(*tenant_id, *id, now).await?),
            Operation::EndpointInsert(endpoint) => done(store.endpoint_insert(endpoint.clone()).await?),
            Operation::EndpointUpdate(endpoint, expected_version) => {
                done(store.endpoint_update_if_version(endpoint.clone(), *expected_version).await?)
            }
            Operation::EndpointDelete(tenant_id, id) => done(store.endpoint_delete(*tenant_id, *id, now).await?),
            Operation::EndpointGet(tenant_id, id) => {
                Observation::Endpoint(Box::new(store.endpoint_get(*tenant_id, *id).await?))
            }
            Operation::EndpointList { tenant_id, after, limit } => {
                Observation::Endpoints(store.endpoint_list(*tenant_id, *after, *limit).await?)
            }
            Operation::EndpointChanges { limit } => {
                let changes = store.endpoint_changes(engine.changes_seen, *limit).await?;
                for change in &changes {
                    assert!(change.seq > engine.changes_seen, "{} tells its changes out of order", engine.name);
                    engine.changes_seen = change.seq;
                }
                Observation::Changes(changes.into_iter().map(|change| (change.id, change.endpoint)).collect())
            }
            Operation::EventGet(tenant_id, id) => {
                Observation::Event(Box::new(store.event_get(*tenant_id, *id, now).await?))
            }
            Operation::EventList { tenant_id, filter, limit } => {
                Observation::Events(store.event_list(*tenant_id, *filter, *limit, now).await?)
            }
            Operation::EventRequeue(tenant_id, id) => done(store.event_requeue(*tenant_id, *id, now).await?),
            Operation::Replay(call) => call.apply(&**store, now).await?,
            Operation::Removal(removal) => removal.apply(&**store, now).await?,
        })
    }

    /// Names what happened, for the tally: the method, and the kind of result or results.
    pub(super) fn marks(&self, observation: &Observation) -> Vec<String> {
        let results: Vec<&str> = match (self, observation) {
            (_, Observation::Error(variant)) => vec![variant],
            (_, Observation::Done) => vec!["done"],
            (_, Observation::Count(count)) => vec![some(*count)],
            (_, Observation::Ingested(ingested)) => ingested.iter().map(name_of_ingested).collect(),
            (_, Observation::Scan(scan)) if *scan == LaneScan::default() => vec!["none"],
            (_, Observation::Scan(scan)) => {
                let due = (!scan.due.is_empty()).then_some("due");
                due.into_iter().chain(scan.next_due_at.map(|_| "next due time")).collect()
            }
            (_, Observation::Claimed(claimed)) => vec![some(claimed.len())],
            (Operation::Settle(batch), Observation::Settled(settled)) => {
                batch.iter().zip(settled).map(|(settlement, settled)| name_of_settled(settlement, *settled)).collect()
            }
            (_, Observation::Settled(_)) => Vec::new(),
            (_, Observation::Written(written)) => {
                written.iter().map(|is_written| if *is_written { "written" } else { "refused" }).collect()
            }
            (_, Observation::Circuits(circuits)) => vec![some(circuits.len())],
            (_, Observation::Endpoint(endpoint)) => match endpoint.status {
                EndpointStatus::Enabled => vec!["enabled"],
                EndpointStatus::Disabled(_) => vec!["disabled"],
            },
            (_, Observation::Endpoints(endpoints)) => vec![some(endpoints.len())],
            (_, Observation::Changes(changes)) => {
                let deleted = changes.iter().any(|(_, endpoint)| endpoint.is_none()).then_some("deleted");
                deleted.into_iter().chain([some(changes.len())]).collect()
            }
            (_, Observation::Event(detail)) => vec![detail.summary.status.as_str()],
            (_, Observation::Events(events)) => vec![some(events.len())],
            (_, Observation::EventIds(ids)) => vec![some(ids.len())],
            (Operation::Replay(call), Observation::Replays(replays)) => {
                call.marks(replays).into_iter().chain([some(replays.len())]).collect()
            }
            (_, Observation::Replays(_)) => Vec::new(),
            (_, Observation::Erasures(erasures)) => removal::marks(erasures),
            (_, Observation::DueReplays(found)) => {
                let next = found.next_due_at.map(|_| "next due time");
                next.into_iter().chain([some(found.due.len())]).collect()
            }
        };
        results.into_iter().map(|result| format!("{}: {result}", self.method())).collect()
    }

    fn method(&self) -> &'static str {
        match self {
            Operation::Ping => "ping",
            Operation::Insert(_) => "event_insert_batch",
            Operation::LaneScan { .. } => "lane_scan",
            Operation::Claim(_) => "delivery_claim_due",
            Operation::Settle(_) => "delivery_settle_if_leased",
            Operation::Release(_) => "delivery_release_if_leased",
            Operation::ReleaseClaim(_) => "delivery_release_claim",
            Operation::ReleaseAll(_) => "lease_release_all",
            Operation::DiscardOfDeleted { .. } => "delivery_discard_of_deleted",
            Operation::Prune { .. } => "idempotency_prune",
            Operation::CircuitPut(_) => "circuit_put_if_version",
            Operation::CircuitRead(_) => "circuit_read",
            Operation::CircuitChanges(_) => "circuit_changes",
            Operation::CircuitList(..) => "circuit_list",
            Operation::CircuitReset(..) => "circuit_reset",
            Operation::EndpointInsert(_) => "endpoint_insert",
            Operation::EndpointUpdate(..) => "endpoint_update_if_version",
            Operation::EndpointDelete(..) => "endpoint_delete",
            Operation::EndpointGet(..) => "endpoint_get",
            Operation::EndpointList { .. } => "endpoint_list",
            Operation::EndpointChanges { .. } => "endpoint_changes",
            Operation::EventGet(..) => "event_get",
            Operation::EventList { .. } => "event_list",
            Operation::EventRequeue(..) => "event_requeue",
            Operation::Replay(call) => call.method(),
            Operation::Removal(removal) => removal.method(),
        }
    }
}

fn done((): ()) -> Observation {
    Observation::Done
}

/// Engines answer in any order.
fn circuits(mut circuits: Vec<StoredCircuit>) -> Observation {
    circuits.sort_unstable_by_key(|stored| stored.endpoint_id);
    Observation::Circuits(circuits)
}

fn some(count: usize) -> &'static str {
    if count == 0 { "none" } else { "some" }
}

fn name_of_ingested(ingested: &Ingested) -> &'static str {
    match ingested {
        Ingested::Created => "created",
        Ingested::Replay { .. } => "replay",
        Ingested::Conflict { .. } => "conflict",
        Ingested::Spooled => "spooled",
    }
}

fn name_of_settled(settlement: &Settlement, settled: Settled) -> &'static str {
    match (settled, settlement.decision.next) {
        (Settled::Stale, _) => "stale",
        (Settled::Written, _) if settlement.decision.disable_endpoint.is_some() => "written gone",
        (Settled::Written, Next::Delivered) => "written delivered",
        (Settled::Written, Next::RetryAt(_)) => "written retry",
        (Settled::Written, Next::Failed(_)) => "written failed",
    }
}
