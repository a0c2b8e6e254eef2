//! Writing what became of attempts: a whole batch in one statement, each only if its lease is still the stored one.
//!
//! A delivery may occur once in a statement. One that is settled twice in a batch is settled in a second statement, which
//! finds its lease gone.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use kapsel_core::endpoint::DisabledReason;
use kapsel_core::settlement::Next;
use kapsel_core::{DeliveryId, EndpointId, Outcome, Timestamp};
use kapsel_store::{Settled, Settlement, StoreError};
use uuid::Uuid;

use crate::error::{Failure, corrupt};
use crate::rows::{StoredId, get, id, stored_micros, stored_text};
use crate::session::{Parameter, Session};
use crate::statements as sql;
use crate::store::PostgresStore;

impl PostgresStore {
    pub(crate) async fn settle_batch(&self, now: Timestamp, batch: &[Settlement]) -> Result<Vec<Settled>, StoreError> {
        let mut settled = vec![Settled::Stale; batch.len()];
        let mut left: Vec<usize> = (0..batch.len()).collect();
        while !left.is_empty() {
            let mut names: HashSet<DeliveryId> = HashSet::with_capacity(left.len());
            let (mut portion, later): (Vec<usize>, Vec<usize>) =
                left.into_iter().partition(|index| names.insert(batch[*index].attempt.delivery.id));
            // One order for everybody who locks many rows.
            portion.sort_unstable_by_key(|index| {
                let delivery = batch[*index].attempt.delivery;
                (delivery.tenant_id, delivery.event_id, delivery.id)
            });
            let written = self.settle_portion(now, batch, &portion).await?;
            for index in portion {
                if written.contains(&batch[index].attempt.delivery.id) {
                    settled[index] = Settled::Written;
                }
            }
            left = later;
        }
        Ok(settled)
    }

    async fn settle_portion(
        &self,
        now: Timestamp,
        batch: &[Settlement],
        portion: &[usize],
    ) -> Result<HashSet<DeliveryId>, StoreError> {
        let settlements: Vec<&Settlement> = portion.iter().map(|index| &batch[*index]).collect();
        let columns = &Columns::new(&settlements)?;
        let settlements = &settlements;
        let settle = |session: Arc<Session>| async move { write(&session, now, settlements, columns).await };
        self.until_no_collision(self.settle(), settle).await
    }
}

async fn write(
    session: &Session,
    now: Timestamp,
    settlements: &[&Settlement],
    columns: &Columns<'_>,
) -> Result<HashSet<DeliveryId>, Failure> {
    let disables = settlements.iter().any(|settlement| settlement.decision.disable_endpoint.is_some());
    if !disables {
        // Its own transaction.
        return columns.write(session, now).await;
    }
    let and_disable = async {
        let written = columns.write(session, now).await?;
        let mut endpoints: BTreeMap<EndpointId, DisabledReason> = BTreeMap::new();
        for settlement in settlements.iter().filter(|settlement| written.contains(&settlement.attempt.delivery.id)) {
            if let Some(reason) = settlement.decision.disable_endpoint {
                endpoints.entry(settlement.attempt.delivery.endpoint_id).or_insert(reason);
            }
        }
        for (endpoint_id, reason) in endpoints {
            let seq = next_change(session).await?;
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
                [&endpoint_id.stored(), &reason.as_str(), &now.unix_micros(), &seq];
            session.execute(&sql::ENDPOINT_DISABLE, &parameters).await?;
        }
        Ok(written)
    };
    session.transaction("BEGIN", and_disable).await
}

/// The number of the next change to an endpoint; others wait for it until the commit.
pub(crate) async fn next_change(session: &Session) -> Result<i64, Failure> {
    let row = session.query_opt(&sql::ENDPOINT_CHANGE_NEXT, &[]).await?;
    let row = row.ok_or_else(|| corrupt("the counter of changes", "its row is missing"))?;
    get(&row, 0)
}

/// Settlements column by column, as the statement takes them.
struct Columns<'a> {
    tenant_id: Vec<Uuid>,
    event_id: Vec<Uuid>,
    delivery_id: Vec<Uuid>,
    endpoint_id: Vec<Uuid>,
    token: Vec<i64>,
    due_at: Vec<Option<i64>>,
    reason: Vec<Option<&'static str>>,
    attempt_id: Vec<Uuid>,
    number: Vec<i32>,
    url: Vec<&'a str>,
    started_at: Vec<i64>,
    duration: Vec<i64>,
    failure_kind: Vec<Option<&'static str>>,
    failure_detail: Vec<Option<String>>,
    status: Vec<Option<i32>>,
    headers: Vec<Option<&'a [u8]>>,
    body: Vec<Option<&'a [u8]>>,
    body_truncated: Vec<Option<bool>>,
    leaf_secret: Vec<&'a [u8]>,
    log_id: Vec<Uuid>,
    leaf_data: Vec<&'a [u8]>,
    leaf_hash: Vec<&'a [u8]>,
}

impl<'a> Columns<'a> {
    fn new(settlements: &[&'a Settlement]) -> Result<Self, StoreError> {
        let attempts = || settlements.iter().map(|settlement| &settlement.attempt);
        let deliveries = || attempts().map(|attempt| attempt.delivery);
        let heads = || attempts().map(|attempt| attempt.outcome.head());
        let leaves = || settlements.iter().map(|settlement| &settlement.leaf);
        let decisions = || settlements.iter().map(|settlement| settlement.decision.next);
        let number =
            |number: u32| i32::try_from(number).map_err(|error| StoreError::corrupt("the number of an attempt", error));
        Ok(Columns {
            tenant_id: deliveries().map(|delivery| delivery.tenant_id.stored()).collect(),
            event_id: deliveries().map(|delivery| delivery.event_id.stored()).collect(),
            delivery_id: deliveries().map(|delivery| delivery.id.stored()).collect(),
            endpoint_id: deliveries().map(|delivery| delivery.endpoint_id.stored()).collect(),
            token: settlements.iter().map(|settlement| settlement.lease.token.0).collect(),
            due_at: decisions()
                .map(|next| match next {
                    Next::RetryAt(due_at) => Some(due_at.unix_micros()),
                    Next::Delivered | Next::Failed(_) => None,
                })
                .collect(),
            reason: decisions()
                .map(|next| match next {
                    Next::Failed(reason) => Some(reason.as_str()),
                    Next::Delivered | Next::RetryAt(_) => None,
                })
                .collect(),
            attempt_id: attempts().map(|attempt| attempt.id.stored()).collect(),
            number: attempts().map(|attempt| number(attempt.number)).collect::<Result<_, _>>()?,
            url: attempts().map(|attempt| attempt.url.as_str()).collect(),
            started_at: attempts().map(|attempt| attempt.started_at.unix_micros()).collect(),
            duration: attempts().map(|attempt| stored_micros(attempt.duration)).collect(),
            failure_kind: attempts()
                .map(|attempt| match &attempt.outcome {
                    Outcome::Response(_) => None,
                    Outcome::Failure { kind, .. } => Some(kind.as_str()),
                })
                .collect(),
            failure_detail: attempts()
                .map(|attempt| match &attempt.outcome {
                    Outcome::Response(_) => None,
                    Outcome::Failure { detail, .. } => Some(stored_text(detail)),
                })
                .collect(),
            status: heads().map(|head| head.map(|head| i32::from(head.status))).collect(),
            headers: heads().map(|head| head.map(|head| head.headers.as_bytes().as_ref())).collect(),
            body: heads().map(|head| head.map(|head| head.body.as_ref())).collect(),
            body_truncated: heads().map(|head| head.map(|head| head.body_truncated)).collect(),
            leaf_secret: leaves().map(|leaf| leaf.secret.as_bytes().as_slice()).collect(),
            log_id: leaves().map(|leaf| leaf.log_id.stored()).collect(),
            leaf_data: leaves().map(|leaf| leaf.data.as_ref()).collect(),
            leaf_hash: leaves().map(|leaf| leaf.hash.as_bytes().as_slice()).collect(),
        })
    }

    /// Whether all of them leave the queue with nothing to be told but the attempt.
    fn are_all_delivered(&self) -> bool {
        self.due_at.iter().all(Option::is_none) && self.reason.iter().all(Option::is_none)
    }

    /// Runs the statement and returns which deliveries were still leased.
    async fn write(&self, session: &Session, now: Timestamp) -> Result<HashSet<DeliveryId>, Failure> {
        let now_micros = now.unix_micros();
        let mut parameters: Vec<Parameter<'_>> = vec![
            &self.tenant_id,
            &self.event_id,
            &self.delivery_id,
            &self.endpoint_id,
            &self.token,
            &self.attempt_id,
            &self.number,
            &self.url,
            &self.started_at,
            &self.duration,
            &self.failure_kind,
            &self.failure_detail,
            &self.status,
            &self.headers,
            &self.body,
            &self.body_truncated,
            &self.leaf_secret,
            &self.log_id,
            &self.leaf_data,
            &self.leaf_hash,
        ];
        let statement = if self.are_all_delivered() {
            &sql::DELIVERY_FINISH_IF_LEASED
        } else {
            parameters.extend::<[Parameter<'_>; 3]>([&self.due_at, &self.reason, &now_micros]);
            &sql::DELIVERY_SETTLE_IF_LEASED
        };
        let rows = session.query(statement, &parameters).await?;
        rows.iter().map(|row| id(row, 0)).collect()
    }
}
