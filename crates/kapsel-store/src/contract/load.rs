//! A load for measuring engines: webhooks of 1 KiB in batches, from many callers at once. It asserts nothing about speed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use kapsel_core::idempotency::IdempotencyKey;
use kapsel_core::settlement::{Decision, Next};
use kapsel_core::{
    Attempt, Clock as _, DeliveryRef, EndpointId, Entropy as _, Event, HeaderBlock, IdGenerator, InstanceId, Lease,
    LeaseToken, Outcome, ResponseHead, SystemClock, SystemEntropy, TenantId, Timestamp,
};
use test_harness::EndpointBuilder;
use test_harness::builders::leaf_of;
use tokio::time::Instant;

use crate::{NewDelivery, NewEvent, Settled, Settlement, Store};

/// What is done with the webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// They are stored as due.
    Ingest,
    /// They carry idempotency keys.
    IngestWithKeys,
    /// They are stored under a lease and settled as delivered.
    IngestAndSettle,
}

impl Part {
    /// Every part.
    pub const ALL: [Part; 3] = [Part::Ingest, Part::IngestWithKeys, Part::IngestAndSettle];

    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Part::Ingest => "ingest",
            Part::IngestWithKeys => "ingest with keys",
            Part::IngestAndSettle => "ingest and settle",
        }
    }
}

/// What was measured.
#[derive(Debug, Clone, Copy)]
pub struct Report {
    /// Events that were stored (and settled).
    pub events: usize,
    /// Events per second.
    pub rate: f64,
    /// Half of the batches took at most so long.
    pub batch_p50: Duration,
    /// All but one in a hundred took at most so long.
    pub batch_p99: Duration,
}

/// A store with endpoints, and what is sent to it.
pub struct Load {
    store: Arc<dyn Store>,
    ids: IdGenerator,
    endpoints: Vec<EndpointId>,
    instance: InstanceId,
    headers: HeaderBlock,
    answer_headers: HeaderBlock,
    body: Bytes,
    batch: usize,
}

impl Load {
    /// Makes `endpoints` endpoints; each call of the store will have `batch` events.
    pub async fn new(store: Arc<dyn Store>, endpoints: usize, batch: usize) -> Self {
        let now = SystemClock.now();
        let ids = IdGenerator::new(Arc::new(SystemEntropy));
        let mut made = Vec::new();
        for _ in 0..endpoints {
            let id = ids.next(now);
            let endpoint = EndpointBuilder::new(id, "https://destination.example/hook", now).build();
            store.endpoint_insert(endpoint).await.unwrap();
            made.push(id);
        }
        let headers = HeaderBlock::from_pairs([
            ("host", &b"webhooks.example.com"[..]),
            ("user-agent", b"Stripe/1.0 (+https://stripe.com/docs/webhooks)"),
            ("content-type", b"application/json; charset=utf-8"),
            ("accept", b"*/*; q=0.5, application/xml"),
            ("cache-control", b"no-cache"),
            ("content-length", b"1024"),
            ("stripe-signature", b"t=1767225600,v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd"),
        ]);
        let answer_headers = HeaderBlock::from_pairs([
            ("content-type", &b"text/plain"[..]),
            ("date", b"Thu, 01 Jan 2026 00:00:00 GMT"),
            ("server", b"nginx"),
        ]);
        let instance = ids.next(now);
        let body = Bytes::from(vec![b'x'; 1_024]);
        Load { store, ids, endpoints: made, instance, headers, answer_headers, body, batch }
    }

    /// Sends batches from `callers` tasks for `time`, each caller one after the other.
    pub async fn run(self: &Arc<Self>, part: Part, callers: usize, time: Duration) -> Report {
        let done = Arc::new(AtomicUsize::new(0));
        let begin = Instant::now();
        let end = begin + time;
        let mut tasks = Vec::new();
        for _ in 0..callers {
            let (load, done) = (Arc::clone(self), Arc::clone(&done));
            tasks.push(tokio::spawn(async move {
                let mut waits = Vec::new();
                while Instant::now() < end {
                    let sent = Instant::now();
                    load.one_batch(part).await;
                    waits.push(sent.elapsed());
                    done.fetch_add(load.batch, Ordering::Relaxed);
                }
                waits
            }));
        }
        let mut waits = Vec::new();
        for task in tasks {
            waits.extend(task.await.unwrap());
        }
        waits.sort_unstable();
        let events = done.load(Ordering::Relaxed);
        let at = |share: usize| waits[(waits.len() - 1) * share / 100];
        Report { events, rate: events as f64 / begin.elapsed().as_secs_f64(), batch_p50: at(50), batch_p99: at(99) }
    }

    async fn one_batch(&self, part: Part) {
        let now = SystemClock.now();
        let token = LeaseToken(SystemEntropy.next_u64().cast_signed());
        let lease = Lease { owner: self.instance, token, until: now + Duration::from_secs(60) };
        let batch: Vec<_> = (0..self.batch).map(|_| self.event(part, now, lease)).collect();
        let batch = Arc::new(batch);
        self.store.event_insert_batch(now, Arc::clone(&batch)).await.unwrap();
        if part == Part::IngestAndSettle {
            let settlements: Vec<_> = batch.iter().map(|new| self.settlement(new, now, lease)).collect();
            let settled = self.store.delivery_settle_if_leased(now, Arc::new(settlements)).await.unwrap();
            assert!(settled.iter().all(|settled| *settled == Settled::Written));
        }
    }

    fn event(&self, part: Part, now: Timestamp, lease: Lease) -> NewEvent {
        let chance = SystemEntropy.next_u64();
        let endpoint_id = self.endpoints[usize::try_from(chance).unwrap() % self.endpoints.len()];
        let mut hash = [0; 32];
        SystemEntropy.fill(&mut hash);
        let key = IdempotencyKey { text: hex(chance), hash, explicit: true, window: Duration::from_secs(86_400) };
        let key = (part == Part::IngestWithKeys).then_some(key);
        let event = Event {
            id: self.ids.next(now),
            tenant_id: TenantId::DEFAULT,
            endpoint_id,
            received_at: now,
            idempotency_key: key.as_ref().map(|key| key.text.clone()),
            headers: self.headers.clone(),
            body: self.body.clone(),
            body_sha256: hash,
        };
        let lease = (part == Part::IngestAndSettle).then_some(lease);
        let deliveries = vec![NewDelivery { id: self.ids.next(now), endpoint_id, lease, ended: None }];
        NewEvent { event: Arc::new(event), key, deliveries }
    }

    fn settlement(&self, new: &NewEvent, now: Timestamp, lease: Lease) -> Settlement {
        let NewDelivery { id, endpoint_id, .. } = new.deliveries[0];
        let delivery = DeliveryRef { id, event_id: new.event.id, endpoint_id, tenant_id: new.event.tenant_id };
        let body = Bytes::from_static(b"ok");
        let head = ResponseHead { status: 200, headers: self.answer_headers.clone(), body, body_truncated: false };
        let attempt = Attempt {
            id: self.ids.next(now),
            delivery,
            number: 1,
            url: "https://destination.example/hook".to_owned(),
            started_at: now,
            duration: Duration::from_millis(3),
            outcome: Outcome::Response(head),
        };
        let leaf = leaf_of(&attempt, &new.event.body_sha256);
        Settlement { lease, attempt, decision: Decision { next: Next::Delivered, disable_endpoint: None }, leaf }
    }
}

fn hex(number: u64) -> String {
    format!("{number:016x}")
}
