//! Moving what was spooled into the store, and the way back to direct storing.
//!
//! The oldest batch is stored under its own ids, so each step may be repeated: after a crash, after an outcome that is
//! unknown, after a removal that failed. Nothing is removed from the spool before it is durable in the store.
//!
//! A spooled event has been answered with 200. So it is stored whatever the store says of its key: a duplicate as ended
//! before it began, a conflict without its key. What the store refuses for good stays in the spool and is passed over.
//!
//! Events of a tenant that has been erased since they were accepted leave the spool without being stored.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use kapsel_core::{EventId, Timestamp};
use tokio::task::JoinSet;

use super::port::{SpoolPage, SpooledEvent};
use super::status::SpoolState;
use super::store::SpooledStore;
use crate::error::{StoreError, with_sources};
use crate::ingest::{Ingested, NewEvent};

/// How far the spool has been worked off.
#[derive(Debug, Default)]
pub(super) struct Position {
    /// Everything up to this number was moved or set aside.
    after: i64,
    /// What the store refuses.
    refused: BTreeSet<i64>,
}

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Events that are in the store now and no longer in the spool, and those that were erased with their tenant.
    pub moved: usize,
    /// Events that were set aside because the store refuses them.
    pub refused: usize,
    /// Where new events go after the step.
    pub state: SpoolState,
}

impl Drained {
    /// Whether the next step may find something to do at once.
    pub fn has_more(&self) -> bool {
        self.moved + self.refused > 0 || self.state == SpoolState::Spooling
    }
}

/// What the store said to a part of a batch.
enum Answer {
    Given(Vec<Ingested>),
    /// It will never take it as it is.
    Refused(String),
}

impl SpooledStore {
    /// Moves the oldest batch, or ends spooling if there is none. Any number of calls at any time is fine.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the store or the spool is away; what was moved stays moved. Others if the spool
    /// cannot be read.
    pub async fn drain_once(&self, now: Timestamp) -> Result<Drained, StoreError> {
        let mut position = self.position.lock().await;
        let (rows_max, bytes_max) = (self.settings.batch_rows_max, self.settings.batch_bytes_max);
        let page = self.spool.spool_read(position.after, rows_max, bytes_max).await?;
        let Some(last) = page.last_seq() else {
            let state = self.end_spooling_if_empty(position.after).await?;
            return Ok(Drained { moved: 0, refused: 0, state });
        };
        let SpoolPage { events: mut batch, unreadable } = page;
        // One order for everybody who inserts: two transactions that insert the same keys in different orders could
        // block each other for good. Within a batch all are due at the same time, so who goes first is told by the ids.
        batch.sort_by(|a, b| order(a).cmp(&order(b)));
        let (erased, batch) = self.split_off_erased(batch).await?;
        let mut refused = if batch.is_empty() { BTreeSet::new() } else { self.store_all(now, &batch).await? };
        let mut moved: Vec<i64> =
            batch.iter().map(|spooled| spooled.seq).filter(|seq| !refused.contains(seq)).collect();
        let moved_count = moved.len() + erased.len();
        moved.extend(erased);
        if moved_count > 0 {
            (self.moved)();
            self.spool.spool_remove(moved.clone()).await?;
        }
        for seq in &moved {
            position.refused.remove(seq);
        }
        position.after = last;
        // They stay in the spool, are counted and shown, and hold nobody up.
        refused.extend(unreadable);
        let refused_count = refused.len();
        position.refused.extend(refused);
        self.refused.store(u64::try_from(position.refused.len()).unwrap_or(u64::MAX), Ordering::SeqCst);
        Ok(Drained { moved: moved_count, refused: refused_count, state: self.state() })
    }

    /// Lets the next steps begin at the oldest event again, so that what was refused is tried once more and nothing is
    /// overlooked.
    pub async fn look_again(&self) {
        self.position.lock().await.after = 0;
    }

    /// Lets new events go to the store if it answers and nothing waits behind `after`.
    async fn end_spooling_if_empty(&self, after: i64) -> Result<SpoolState, StoreError> {
        if self.state() == SpoolState::Direct {
            return Ok(SpoolState::Direct);
        }
        // Without this, a spool that takes nothing would send every event to a store that is away.
        let sign_of_life = tokio::time::timeout(self.settings.answer_limit, self.primary.ping()).await;
        sign_of_life.map_err(|error| StoreError::unavailable("the store did not answer a ping in time", error))??;
        let _alone = self.gate.write().await;
        // Nothing is on its way into the spool now; but something may have come since the look before.
        if self.spool.spool_read(after, 1, 0).await?.last_seq().is_none() {
            self.end_spooling();
        }
        Ok(self.state())
    }

    /// Takes those out of a batch that have been erased with their tenant. A job that is made from now on looks a second
    /// time after everything here is stored. Returns their numbers, and the others.
    async fn split_off_erased(&self, batch: Vec<SpooledEvent>) -> Result<(Vec<i64>, Vec<SpooledEvent>), StoreError> {
        let names = batch.iter().map(|spooled| (spooled.event.tenant_id, spooled.event.id)).collect();
        let ask = self.primary.erasure_covers(names);
        let covered = tokio::time::timeout(self.settings.move_limit, ask).await;
        let covered = covered.map_err(|error| StoreError::unavailable("the store did not answer in time", error))??;
        let covered: BTreeSet<EventId> = covered.into_iter().collect();
        let (erased, others): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|spooled| covered.contains(&spooled.event.id));
        if !erased.is_empty() {
            tracing::info!(events = erased.len(), "spooled events were erased with their tenant; they are forgotten");
        }
        Ok((erased.into_iter().map(|spooled| spooled.seq).collect(), others))
    }

    /// Stores a batch, each event in the form that the store's answer calls for. Returns the numbers of those that the
    /// store refuses; all others are durable.
    async fn store_all(&self, now: Timestamp, batch: &[SpooledEvent]) -> Result<BTreeSet<i64>, StoreError> {
        let first: Vec<NewEvent> = batch.iter().map(|spooled| spooled.to_store_at(now)).collect();
        let answers = self.insert(now, &first).await?;
        let mut refused = BTreeSet::new();
        let (mut again, mut seqs) = (Vec::new(), Vec::new());
        for (spooled, answer) in batch.iter().zip(answers) {
            let event_id = spooled.event.id;
            let other = match answer {
                None => {
                    refused.insert(spooled.seq);
                    continue;
                }
                Some(Ingested::Created | Ingested::Spooled) => continue,
                Some(Ingested::Replay { original } | Ingested::Conflict { original }) if original == event_id => {
                    continue;
                }
                Some(Ingested::Replay { original }) => {
                    tracing::info!(%event_id, %original, "a spooled event is a duplicate");
                    spooled.as_duplicate()
                }
                Some(Ingested::Conflict { original }) => {
                    tracing::warn!(
                        %event_id, %original,
                        "a spooled event has the explicit key of another one with another body; it is delivered without"
                    );
                    spooled.without_key()
                }
            };
            again.push(other);
            seqs.push(spooled.seq);
        }
        if !again.is_empty() {
            let answers = self.insert(now, &again).await?;
            // Without a key there is nothing that it could repeat.
            let is_stored = |answer: &Option<Ingested>| matches!(answer, Some(Ingested::Created | Ingested::Spooled));
            refused.extend(seqs.into_iter().zip(answers).filter(|(_, answer)| !is_stored(answer)).map(|(seq, _)| seq));
        }
        Ok(refused)
    }

    /// Stores `events` and says what became of each; `None` where the store refuses it. A batch that is refused as a
    /// whole is halved until it is known which event it is.
    async fn insert(&self, now: Timestamp, events: &[NewEvent]) -> Result<Vec<Option<Ingested>>, StoreError> {
        let mut answers = vec![None; events.len()];
        let mut parts = vec![(0, events.len())];
        while let Some((start, end)) = parts.pop() {
            let part = start..end;
            match self.insert_part(now, events[part.clone()].to_vec()).await? {
                Answer::Given(given) => {
                    for (answer, given) in answers[part].iter_mut().zip(given) {
                        *answer = Some(given);
                    }
                }
                Answer::Refused(_) if part.len() > 1 => {
                    let middle = start + part.len() / 2;
                    parts.push((middle, end));
                    parts.push((start, middle));
                }
                Answer::Refused(cause) => {
                    for refused in &events[part] {
                        let event_id = refused.event.id;
                        tracing::error!(%event_id, cause, "the store refuses a spooled event; it stays in the spool");
                    }
                }
            }
        }
        Ok(answers)
    }

    async fn insert_part(&self, now: Timestamp, part: Vec<NewEvent>) -> Result<Answer, StoreError> {
        let rows = part.len();
        let primary = Arc::clone(&self.primary);
        // In a task of its own: a defect of the store must not end the only task that drains.
        let mut call = JoinSet::new();
        call.spawn(async move { primary.event_insert_batch(now, Arc::new(part)).await });
        let answer = tokio::time::timeout(self.settings.move_limit, call.join_next()).await;
        let answer =
            answer.map_err(|error| StoreError::unavailable("the store did not take a batch in time", error))?;
        match answer {
            Some(Ok(Ok(given))) if given.len() == rows => Ok(Answer::Given(given)),
            Some(Ok(Ok(_))) | None => {
                Err(StoreError::Unavailable { message: "the store answered for another number of events", cause: None })
            }
            Some(Ok(Err(error @ StoreError::Unavailable { .. }))) => Err(error),
            Some(Ok(Err(error))) => Ok(Answer::Refused(with_sources(&error))),
            Some(Err(defect)) => Ok(Answer::Refused(format!("the store met a defect: {defect}"))),
        }
    }
}

fn order(spooled: &SpooledEvent) -> (&kapsel_core::EndpointId, Option<&[u8; 32]>) {
    (&spooled.event.endpoint_id, spooled.key.as_ref().map(|key| &key.hash))
}
