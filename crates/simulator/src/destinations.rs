//! Destinations that do what the plan says, behind the transport port.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use kapsel_core::circuit::Signal;
use kapsel_core::{Clock, EndpointId, EventId, FailureKind, HeaderBlock, Outcome, ResponseHead};
use kapsel_delivery::{OutboundRequest, Transport};
use test_harness::SeededEntropy;
use tokio::time::Instant;

use crate::instance::Vitals;
use crate::oracles::{Oracles, Request, RequestId};
use crate::plan::Mood;
use crate::report::Totals;
use crate::timeline::Timeline;

/// What all destinations share.
pub struct Destinations {
    moods: Mutex<HashMap<String, (EndpointId, Mood)>>,
    chance: SeededEntropy,
    oracles: Arc<Oracles>,
    totals: Arc<Mutex<Totals>>,
    timeline: Arc<Timeline>,
}

impl Destinations {
    /// None yet.
    pub fn new(seed: u64, oracles: Arc<Oracles>, totals: Arc<Mutex<Totals>>, timeline: Arc<Timeline>) -> Arc<Self> {
        Arc::new(Destinations { moods: Mutex::default(), chance: SeededEntropy::new(seed), oracles, totals, timeline })
    }

    /// A destination's behaviour from now on.
    pub fn set(&self, url: &str, endpoint_id: EndpointId, mood: Mood) {
        self.moods.lock().unwrap_or_else(PoisonError::into_inner).insert(url.to_owned(), (endpoint_id, mood));
        self.oracles.dead(endpoint_id, mood == Mood::Dead, self.timeline.elapsed());
    }

    fn mood(&self, url: &str) -> (EndpointId, Mood) {
        self.moods.lock().unwrap_or_else(PoisonError::into_inner)[url]
    }

    fn is_one_of(&self, of_hundred: u64) -> bool {
        self.chance.below(100) < of_hundred
    }

    /// How a destination in this mood takes one request: after which time, and with which outcome. `None` never ends.
    fn reaction(&self, mood: Mood) -> (Duration, Option<Outcome>) {
        let millis = |max: u64| Duration::from_millis(1 + self.chance.below(max));
        let answer = |status| Some(Outcome::Response(ResponseHead { status, ..ResponseHead::default() }));
        let failure = |kind| Some(Outcome::Failure { kind, detail: "simulated".to_owned(), head: None });
        match mood {
            Mood::Healthy(within) => (millis(within), answer(200)),
            Mood::Slow(seconds) => (millis(seconds * 1_000), answer(200)),
            Mood::Dead => (millis(3), failure(FailureKind::Connection)),
            Mood::Hanging => (Duration::MAX, None),
            Mood::Flapping(share) => (millis(50), answer(if self.is_one_of(share) { 500 } else { 200 })),
            Mood::Busy(status, seconds) => {
                let value = seconds.to_string();
                let headers = HeaderBlock::from_pairs([("retry-after", value.as_bytes())]);
                (millis(50), Some(Outcome::Response(ResponseHead { status, headers, ..ResponseHead::default() })))
            }
            Mood::LosingAnswers(share) if self.is_one_of(share) => {
                self.totals.lock().unwrap_or_else(PoisonError::into_inner).lost_answers += 1;
                (millis(50), failure(FailureKind::Connection))
            }
            Mood::LosingAnswers(_) => (millis(50), answer(200)),
            Mood::Refusing(share) => (millis(50), answer(if self.is_one_of(share) { 422 } else { 200 })),
            Mood::Gone => (millis(50), answer(410)),
        }
    }
}

/// The way out of one life of an instance.
pub struct Way {
    /// The destinations.
    pub destinations: Arc<Destinations>,
    /// Whose way it is.
    pub vitals: Arc<Vitals>,
    /// That one's clock.
    pub clock: Arc<dyn Clock>,
}

#[async_trait]
impl Transport for Way {
    async fn send(&self, request: OutboundRequest, deadline: Instant) -> Outcome {
        // Who stands still or is dead sends nothing.
        self.vitals.gate().await;
        let destinations = &self.destinations;
        let (endpoint_id, mood) = destinations.mood(request.url.as_str());
        let event_id: EventId = request.headers["webhook-id"].to_str().unwrap().parse().unwrap();
        let life = self.vitals.life();
        let at = destinations.timeline.elapsed();
        let seen = Request { life, endpoint_id, event_id, body: request.body, at, sender_now: self.clock.now() };
        let id = destinations.oracles.request(&seen);
        let _connection = Connection { oracles: &destinations.oracles, id };
        let (after, outcome) = destinations.reaction(mood);
        destinations.timeline.add(format_args!("{life:?} sends {event_id} to {endpoint_id}, which is {mood:?}"));
        let end = Instant::now().checked_add(after).unwrap_or(deadline).min(deadline);
        tokio::time::sleep_until(end).await;
        let outcome = match outcome {
            Some(outcome) if end < deadline => outcome,
            _ => Outcome::Failure { kind: FailureKind::Timeout, detail: "simulated".to_owned(), head: None },
        };
        self.end(id, &outcome);
        // The answer may come to somebody who stands still, or to nobody.
        self.vitals.gate().await;
        outcome
    }
}

/// A request that is given up closes its connection.
struct Connection<'a> {
    oracles: &'a Oracles,
    id: RequestId,
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        self.oracles.request_dropped(self.id);
    }
}

impl Way {
    fn end(&self, id: RequestId, outcome: &Outcome) {
        let at = self.destinations.timeline.elapsed();
        let signal = Signal::of(outcome, &[], self.clock.now());
        self.destinations.oracles.request_ended(id, outcome.is_success(), signal, at);
        let mut totals = self.destinations.totals.lock().unwrap_or_else(PoisonError::into_inner);
        totals.requests += 1;
        totals.failed_requests += u64::from(!outcome.is_success());
    }
}
