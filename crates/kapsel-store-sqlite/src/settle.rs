//! Settling attempts: writing them, and what follows from them.

use kapsel_core::settlement::Next;
use kapsel_core::{
    Attempt, AttemptId, DeliveryRef, FinalReason, Leaf, LeafSecret, Outcome, ResponseHead, TenantId, Timestamp,
};
use kapsel_store::{Settled, Settlement};
use rusqlite::{CachedStatement, Connection, params};

use crate::error::Failure;
use crate::rows::stored_micros;
use crate::statements as sql;

pub(crate) fn settle_batch(
    connection: &Connection,
    now: Timestamp,
    batch: &[Settlement],
) -> Result<Vec<Settled>, Failure> {
    let mut settles = Settles {
        connection,
        now,
        finish: connection.prepare_cached(sql::QUEUE_FINISH_IF_LEASED)?,
        retry: connection.prepare_cached(sql::QUEUE_RETRY_IF_LEASED)?,
        attempt: connection.prepare_cached(sql::ATTEMPT_INSERT)?,
        leaf: connection.prepare_cached(sql::LEAF_INSERT)?,
        pending: connection.prepare_cached(sql::LEAF_PENDING_INSERT)?,
    };
    batch.iter().map(|settlement| settles.settle(settlement)).collect()
}

/// What a batch needs for each of its settlements, prepared once.
struct Settles<'a> {
    connection: &'a Connection,
    now: Timestamp,
    finish: CachedStatement<'a>,
    retry: CachedStatement<'a>,
    attempt: CachedStatement<'a>,
    leaf: CachedStatement<'a>,
    pending: CachedStatement<'a>,
}

impl Settles<'_> {
    /// Writes one attempt and what follows from it, unless its lease is no longer the stored one.
    fn settle(&mut self, settlement: &Settlement) -> Result<Settled, Failure> {
        let Settlement { lease, attempt, decision, leaf } = settlement;
        let delivery = attempt.delivery;
        let (tenant_id, event_id, id) =
            (delivery.tenant_id.as_bytes(), delivery.event_id.as_bytes(), delivery.id.as_bytes());
        let held = match decision.next {
            Next::Delivered | Next::Failed(_) => wherever_it_is(|is_leased| {
                self.finish.execute(params![tenant_id, event_id, id, lease.token.0, is_leased])
            })?,
            Next::RetryAt(due_at) => wherever_it_is(|is_leased| {
                let due_at = due_at.unix_micros();
                self.retry.execute(params![tenant_id, event_id, id, lease.token.0, is_leased, due_at])
            })?,
        };
        if held == 0 {
            return Ok(Settled::Stale);
        }
        self.insert_attempt(attempt, &leaf.secret)?;
        self.insert_leaf(delivery.tenant_id, attempt.id, leaf)?;
        if let Next::Failed(reason) = decision.next {
            insert_outcome(self.connection, delivery, reason, self.now)?;
        }
        if let Some(reason) = decision.disable_endpoint {
            let mut disable = self.connection.prepare_cached(sql::ENDPOINT_DISABLE)?;
            disable.execute(params![delivery.endpoint_id.as_bytes(), reason.as_str(), self.now.unix_micros()])?;
        }
        Ok(Settled::Written)
    }

    fn insert_attempt(&mut self, attempt: &Attempt, leaf_secret: &LeafSecret) -> Result<(), Failure> {
        let delivery = attempt.delivery;
        let (kind, detail) = match &attempt.outcome {
            Outcome::Response(_) => (None, None),
            Outcome::Failure { kind, detail, .. } => (Some(kind.as_str()), Some(detail)),
        };
        let head: Option<&ResponseHead> = attempt.outcome.head();
        self.attempt.execute(params![
            delivery.tenant_id.as_bytes(),
            delivery.event_id.as_bytes(),
            delivery.id.as_bytes(),
            attempt.number,
            attempt.id.as_bytes(),
            delivery.endpoint_id.as_bytes(),
            attempt.url,
            attempt.started_at.unix_micros(),
            stored_micros(attempt.duration),
            kind,
            detail,
            head.map(|head| head.status),
            head.map(|head| head.headers.as_bytes().as_ref()),
            head.map(|head| head.body.as_ref()),
            head.map(|head| head.body_truncated),
            leaf_secret.as_bytes(),
        ])?;
        Ok(())
    }

    /// Keeps the leaf of an attempt and lets it wait for its log.
    fn insert_leaf(&mut self, tenant_id: TenantId, attempt_id: AttemptId, leaf: &Leaf) -> Result<(), Failure> {
        let Leaf { log_id, data, hash, secret: _ } = leaf;
        let (tenant_id, attempt_id, log_id) = (tenant_id.as_bytes(), attempt_id.as_bytes(), log_id.as_bytes());
        self.leaf.execute(params![attempt_id, tenant_id, log_id, data.as_ref()])?;
        self.pending.execute(params![log_id, attempt_id, tenant_id, hash.as_bytes()])?;
        Ok(())
    }
}

/// Changes what is under a lease: among what is leased, and if it is not there, in its lane. That is where it is when the
/// lease has ended and was not taken over.
pub(crate) fn wherever_it_is(mut change: impl FnMut(bool) -> rusqlite::Result<usize>) -> rusqlite::Result<usize> {
    match change(true)? {
        0 => change(false),
        changed => Ok(changed),
    }
}

pub(crate) fn insert_outcome(
    connection: &Connection,
    delivery: DeliveryRef,
    reason: FinalReason,
    now: Timestamp,
) -> Result<(), Failure> {
    let mut statement = connection.prepare_cached(sql::OUTCOME_INSERT)?;
    statement.execute(params![
        delivery.tenant_id.as_bytes(),
        delivery.event_id.as_bytes(),
        delivery.id.as_bytes(),
        delivery.endpoint_id.as_bytes(),
        reason.as_str(),
        now.unix_micros(),
    ])?;
    Ok(())
}
