//! One attempt of one delivery, from the lease to its settlement.

use std::sync::Arc;
use std::time::Duration;

use kapsel_core::circuit::{Report, Signal, Ticket};
use kapsel_core::settlement::{self, Decision};
use kapsel_core::{Attempt, AttemptId, DeliveryRef, Event, EventTrace, FailureKind, Leaf, Outcome, Timestamp, leaf};
use kapsel_store::{ActiveEndpoint, ClaimedDelivery, Settlement};
use tokio::time::Instant;

use super::Shared;
use super::gate::Permit;
use super::settle::Finished;
use super::traced::Traced;
use crate::request;
use crate::unwind;

/// How long after its deadline a transport is given up that does not keep it.
const TRANSPORT_GRACE: Duration = Duration::from_secs(1);

/// When the attempt began, on both clocks: the one that is shown and the one that never jumps.
#[derive(Clone, Copy)]
struct Begun {
    at: Timestamp,
    instant: Instant,
}

/// Makes one attempt and hands its result over, whatever happens.
pub(super) async fn run(shared: Arc<Shared>, claimed: ClaimedDelivery, mut permit: Permit) {
    let begun = Begun { at: shared.deps.clock.now(), instant: Instant::now() };
    let mut stop = shared.stop.subscribe();
    let worked = tokio::select! {
        biased;
        _ = stop.wait_for(|is_stopping| *is_stopping) => Ok(release(&claimed, "Kapsel is being stopped")),
        worked = unwind::caught(work(&shared, &claimed, begun, &mut permit)) => worked,
    };
    let finished = worked.unwrap_or_else(|unwind::Panicked| after_panic(&shared, &claimed, begun, permit.ticket()));
    // The body goes with it, so that its bytes are free when the permit says so.
    drop(claimed);
    permit.sent();
    shared.settle.push(finished, permit);
}

async fn work(shared: &Shared, claimed: &ClaimedDelivery, begun: Begun, permit: &mut Permit) -> Finished {
    let Some(active) = deliverable(shared, claimed) else {
        return release(claimed, "the endpoint was deleted or disabled meanwhile");
    };
    let Some(signer) = &active.signer else {
        return release(claimed, "the endpoint's signing keys are damaged");
    };
    let Some(limit) = time_limit(shared, claimed, &active, begun.at) else {
        return release(claimed, "too little is left of the lease");
    };
    if !shared.circuits.is_current(claimed.delivery.endpoint_id, permit.ticket()) {
        return release(claimed, "the circuit was opened meanwhile");
    }
    permit.begin();
    let mut random = [0; 8];
    shared.deps.entropy.fill(&mut random);
    let tracer = &*shared.deps.tracer;
    let traced = Traced::new(tracer, &claimed.event, random);
    let request = request::build(&request::Inputs {
        event: &claimed.event,
        endpoint: &active.endpoint,
        signer,
        attempt_number: claimed.attempts_total.saturating_add(1),
        at: begun.at,
        denied_headers: &shared.denied_headers,
        user_agent: &shared.user_agent,
        trace: traced.header(tracer),
    });
    let deadline = begun.instant + limit;
    let sent = tokio::time::timeout_at(deadline + TRANSPORT_GRACE, shared.deps.transport.send(request, deadline)).await;
    let outcome = sent.unwrap_or_else(|_| Outcome::Failure {
        kind: FailureKind::Timeout,
        detail: "the time limit passed, and the transport did not notice".to_owned(),
        head: None,
    });
    conclude(shared, claimed, &active, begun, permit.ticket(), outcome, Some(traced))
}

fn deliverable(shared: &Shared, claimed: &ClaimedDelivery) -> Option<Arc<ActiveEndpoint>> {
    shared.deps.directory.get(claimed.delivery.endpoint_id).filter(|active| active.is_enabled())
}

/// How long the request may take: as long as the endpoint's policy says, and so that the result can still be stored
/// under the lease. `None` if the lease has aged so much that less than half of that is left: a destination must not be
/// called slow because Kapsel was.
fn time_limit(shared: &Shared, claimed: &ClaimedDelivery, active: &ActiveEndpoint, now: Timestamp) -> Option<Duration> {
    let wanted = active.endpoint.config.timeout().min(shared.settings.lease_usable());
    let left = claimed.lease.until.saturating_since(now).saturating_sub(shared.settings.slack());
    (left >= wanted / 2).then(|| wanted.min(left))
}

/// Turns an outcome into what is stored.
fn conclude(
    shared: &Shared,
    claimed: &ClaimedDelivery,
    active: &ActiveEndpoint,
    begun: Begun,
    ticket: Ticket,
    outcome: Outcome,
    traced: Option<Traced>,
) -> Finished {
    let duration = begun.instant.elapsed();
    let now = shared.deps.clock.now();
    shared.duration_seconds.record(duration);
    active.traffic.attempted(outcome.class());
    let config = &active.endpoint.config;
    let report = Report {
        ticket,
        signal: Signal::of(&outcome, &config.retry_statuses, now),
        is_success: outcome.is_success(),
        in_flight_max: config.max_in_flight,
        // Besides this one, whose permit is still held.
        others_until: match shared.gate.sending(claimed.delivery.endpoint_id) {
            ..=1 => now,
            _ => now + config.timeout(),
        },
        now,
        unit: shared.deps.entropy.unit(),
    };
    let DeliveryRef { endpoint_id, tenant_id, .. } = claimed.delivery;
    let failing_since = shared.circuits.record(endpoint_id, tenant_id, &report, &config.circuit);
    let is_given_up = report.signal != Signal::Silent && config.is_given_up(failing_since, now);
    let decision = settlement::decide(settlement::Inputs {
        outcome: &outcome,
        retry: &config.retry,
        retry_statuses: &config.retry_statuses,
        attempts_made: claimed.attempts_made.saturating_add(1),
        is_given_up,
        now,
        jitter: shared.deps.entropy.unit(),
    });
    let attempt = Attempt {
        id: shared.attempt_ids.next::<AttemptId>(now),
        delivery: claimed.delivery,
        number: claimed.attempts_total.saturating_add(1),
        url: config.url.as_str().to_owned(),
        started_at: begun.at,
        duration,
        outcome,
    };
    log(&attempt, &claimed.event, &decision);
    let settling = traced.and_then(|traced| traced.ended(&*shared.deps.tracer, &attempt, now));
    let mut random = [0; leaf::RANDOM_BYTES];
    shared.deps.entropy.fill(&mut random);
    let leaf = Leaf::of_attempt(&attempt, &claimed.event.body_sha256, shared.deps.log_id, random);
    Finished::Settle(Box::new(Settlement { lease: claimed.lease, attempt, decision, leaf }), settling)
}

/// A defect in Kapsel spends an attempt like any other failure, so that an event which trips it each time ends visibly.
fn after_panic(shared: &Shared, claimed: &ClaimedDelivery, begun: Begun, ticket: Ticket) -> Finished {
    tracing::error!(
        delivery_id = %claimed.delivery.id,
        endpoint_id = %claimed.delivery.endpoint_id,
        "the work on a delivery panicked; it counts as a failed attempt",
    );
    match deliverable(shared, claimed) {
        Some(active) => {
            let outcome = settlement::defect("a defect in Kapsel broke the attempt off");
            conclude(shared, claimed, &active, begun, ticket, outcome, None)
        }
        None => release(claimed, "the endpoint was deleted or disabled meanwhile"),
    }
}

fn release(claimed: &ClaimedDelivery, why: &'static str) -> Finished {
    tracing::debug!(delivery_id = %claimed.delivery.id, endpoint_id = %claimed.delivery.endpoint_id, why, "given back");
    Finished::Release(claimed.delivery, claimed.lease)
}

/// At the level of debugging, failures too: a destination that is down makes one for each event and retry. That it is down
/// is said once, by its circuit.
fn log(attempt: &Attempt, event: &Event, decision: &Decision) {
    let delivery = &attempt.delivery;
    match attempt.outcome.error_code() {
        None => tracing::debug!(
            endpoint_id = %delivery.endpoint_id,
            event_id = %delivery.event_id,
            delivery_id = %delivery.id,
            attempt_id = %attempt.id,
            attempt = attempt.number,
            trace_id = %EventTrace::of_event(event).trace_id,
            status = attempt.outcome.status(),
            duration = ?attempt.duration,
            "delivered",
        ),
        Some(error_code) => tracing::debug!(
            endpoint_id = %delivery.endpoint_id,
            event_id = %delivery.event_id,
            delivery_id = %delivery.id,
            attempt_id = %attempt.id,
            attempt = attempt.number,
            trace_id = %EventTrace::of_event(event).trace_id,
            status = attempt.outcome.status(),
            %error_code,
            duration = ?attempt.duration,
            next = ?decision.next,
            "attempt failed",
        ),
    }
}
