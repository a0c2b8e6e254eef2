//! Permits as those hold them who work under them.

use std::collections::HashMap;
use std::sync::Arc;

use kapsel_core::EndpointId;
use kapsel_core::circuit::Ticket;
use kapsel_store::LaneQuota;

use super::super::circuits::RightWanted;
use super::{Gate, LaneLimit, State};

/// The right to work on one delivery. Dropping it gives everything back.
pub(in crate::dispatch) struct Permit {
    gate: Arc<Gate>,
    pub(super) lane: LaneLimit,
    body_bytes: usize,
    pub(super) is_sending: bool,
    /// Whether a request was begun under it, so that its token is spent.
    has_begun: bool,
}

impl Permit {
    /// What [`Gate`] has counted already.
    pub(super) fn new(gate: Arc<Gate>, lane: LaneLimit, body_bytes: usize) -> Self {
        Permit { gate, lane, body_bytes, is_sending: true, has_begun: false }
    }

    /// What the circuit let it through with.
    pub(in crate::dispatch) fn ticket(&self) -> Ticket {
        self.lane.ticket
    }

    /// A request is begun.
    pub(in crate::dispatch) fn begin(&mut self) {
        self.has_begun = true;
    }

    /// The exchange is over and the body let go of; what is left is to store the result.
    pub(in crate::dispatch) fn sent(&mut self) {
        let gate = Arc::clone(&self.gate);
        let mut state = gate.lock();
        self.end_sending(&mut state);
        let is_worth_a_look = gate.is_worth_a_look(&mut state, &self.lane);
        drop(state);
        if is_worth_a_look {
            gate.freed.notify_one();
        }
    }

    fn charge(&mut self, body_bytes: usize) {
        let gate = Arc::clone(&self.gate);
        let mut state = gate.lock();
        state.body_bytes += body_bytes;
        self.body_bytes += body_bytes;
        if let Some(lane) = state.lanes.get_mut(&self.lane.endpoint_id) {
            lane.body_bytes += body_bytes;
        }
    }

    fn end_sending(&mut self, state: &mut State) {
        if !std::mem::take(&mut self.is_sending) {
            return;
        }
        let body_bytes = std::mem::take(&mut self.body_bytes);
        state.body_bytes -= body_bytes;
        if let Some(lane) = state.lanes.get_mut(&self.lane.endpoint_id) {
            lane.sending -= 1;
            lane.body_bytes -= body_bytes;
            if let Some((rate, bucket)) = lane.tokens.as_mut().filter(|_| !self.has_begun) {
                bucket.put_back(rate);
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let gate = Arc::clone(&self.gate);
        let mut state = gate.lock();
        self.end_sending(&mut state);
        state.in_flight -= 1;
        if let Some(held) = state.tenants.get_mut(&self.lane.tenant_id) {
            *held -= 1;
            if *held == 0 {
                state.tenants.remove(&self.lane.tenant_id);
            }
        }
        if let Some(lane) = state.lanes.get_mut(&self.lane.endpoint_id) {
            lane.held -= 1;
        }
        let is_worth_a_look = gate.is_worth_a_look(&mut state, &self.lane);
        state.prune(self.lane.endpoint_id, gate.now());
        let is_empty = state.in_flight == 0;
        drop(state);
        if is_worth_a_look {
            gate.freed.notify_one();
        }
        if is_empty {
            gate.emptied.notify_waiters();
        }
    }
}

/// The permits of one claim. What is not taken out is given back on drop.
pub(in crate::dispatch) struct ClaimPermits {
    gate: Arc<Gate>,
    permits: Vec<(LaneLimit, Vec<Permit>)>,
    body_bytes: usize,
    /// The bytes and the number of what was taken out.
    claimed_bytes: usize,
    claimed: usize,
    /// The last lane that has had its turn, in the order of the round.
    last_served: Option<EndpointId>,
}

impl ClaimPermits {
    /// What [`Gate`] has counted already.
    pub(super) fn new(
        gate: Arc<Gate>,
        permits: Vec<(LaneLimit, Vec<Permit>)>,
        body_bytes: usize,
        last_served: Option<EndpointId>,
    ) -> Self {
        ClaimPermits { gate, permits, body_bytes, claimed_bytes: 0, claimed: 0, last_served }
    }

    /// The last lane that has had its turn, in the order of the round.
    pub(in crate::dispatch) fn last_served(&self) -> Option<EndpointId> {
        self.last_served
    }

    /// Keeps the permits of those lanes alone for which `is_allowed` is true.
    pub(in crate::dispatch) fn retain(&mut self, is_allowed: impl Fn(&LaneLimit) -> bool) {
        self.permits.retain(|(lane, _)| is_allowed(lane));
    }

    /// The lanes in which the right to probe has to be won.
    pub(in crate::dispatch) fn needing_rights(&self) -> Vec<RightWanted> {
        let needing = self.permits.iter().filter(|(lane, _)| lane.needs_right);
        let wanted = |(lane, _): &(LaneLimit, Vec<Permit>)| {
            let LaneLimit { endpoint_id, tenant_id, circuit_version, .. } = *lane;
            RightWanted { endpoint_id, tenant_id, circuit_version }
        };
        needing.map(wanted).collect()
    }

    /// These rights were won, with the ticket and the version that follow. The permits of the other lanes that need one
    /// go back.
    pub(in crate::dispatch) fn keep_won(&mut self, won: &HashMap<EndpointId, (Ticket, u64)>) {
        self.permits.retain_mut(|(lane, permits)| {
            if !lane.needs_right {
                return true;
            }
            let Some((ticket, version)) = won.get(&lane.endpoint_id) else { return false };
            (lane.ticket, lane.circuit_version) = (*ticket, *version);
            for permit in permits {
                permit.lane = *lane;
            }
            true
        });
    }

    /// How much to claim of which lane.
    pub(in crate::dispatch) fn quotas(&self) -> Vec<LaneQuota> {
        let quota = |(lane, permits): &(LaneLimit, Vec<Permit>)| LaneQuota {
            endpoint_id: lane.endpoint_id,
            quota: permits.len(),
            circuit_version: lane.circuit_version,
        };
        self.permits.iter().map(quota).collect()
    }

    /// How many bytes of bodies to claim at most.
    pub(in crate::dispatch) fn body_bytes_max(&self) -> usize {
        self.body_bytes
    }

    /// The permit of one claimed delivery.
    pub(in crate::dispatch) fn take(&mut self, endpoint_id: EndpointId, body_bytes: usize) -> Option<Permit> {
        let (_, permits) = self.permits.iter_mut().find(|(lane, _)| lane.endpoint_id == endpoint_id)?;
        let mut permit = permits.pop()?;
        permit.charge(body_bytes);
        self.claimed_bytes += body_bytes;
        self.claimed += 1;
        Some(permit)
    }

    /// The claim is over: lanes that filled their quotas are flagged, those that came up short are not any more.
    pub(in crate::dispatch) fn conclude(self, quotas: &[LaneQuota]) {
        // A claim ends early when the next body would not fit, and does not say so. With half of the bytes left, that
        // would have to be a very large one; and to be wrong here costs no more than a turn.
        let is_cut_off = self.claimed_bytes > self.body_bytes / 2;
        for ((lane, left), asked) in self.permits.iter().zip(quotas) {
            if left.is_empty() {
                self.gate.flag(lane);
            } else if !is_cut_off && (left.len() < asked.quota || self.claimed == 0) {
                self.gate.unflag(lane.endpoint_id);
            }
        }
    }
}

impl Drop for ClaimPermits {
    fn drop(&mut self) {
        self.gate.lock().body_bytes -= self.body_bytes;
    }
}
