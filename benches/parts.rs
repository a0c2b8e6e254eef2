//! What the pure parts on the way of each webhook cost, in time and in allocations.
//!
//! ```sh
//! cargo bench --bench parts                 # all of them
//! cargo bench --bench parts -- leaf         # those whose name has `leaf` in it
//! ```
//!
//! A webhook of 1 KiB with eight headers, a destination that answers 200 with a small body, and a log of a million leaves.

#![allow(clippy::unwrap_used, reason = "a benchmark stops at what it cannot do")]
#![allow(missing_docs, reason = "its names say what is measured")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use divan::counter::{BytesCount, ItemsCount};
use divan::{AllocProfiler, Bencher, black_box};
use hmac::{Hmac, Mac};
use http::HeaderValue;
use kapsel_attestation::tiles::{Edge, Tiles};
use kapsel_attestation::tree;
use kapsel_core::headers::{connection_options, forwarded_name};
use kapsel_core::settlement::{self, Decision};
use kapsel_core::signature::inbound::{HmacAlgorithm, MacEncoding};
use kapsel_core::signature::{OutboundSigner, VerificationScheme, Verifier};
use kapsel_core::trace::TraceParent;
use kapsel_core::{
    Attempt, AttemptId, DeliveryId, DeliveryRef, Endpoint, EndpointId, Event, EventId, HeaderBlock, IdGenerator, Leaf,
    LogId, Outcome, ResponseHead, RetryPolicy, SystemEntropy, Timestamp, leaf,
};
use kapsel_delivery::request;
use kapsel_verification::{Hash, leaf_hash};
use sha2::Sha256;
use test_harness::builders::SIGNING_SECRET;
use test_harness::{EndpointBuilder, EventBuilder};

#[global_allocator]
static ALLOCATOR: AllocProfiler<mimalloc::MiMalloc> = AllocProfiler::new(mimalloc::MiMalloc);

const NOW: Timestamp = Timestamp::from_unix_millis(1_767_225_600_123);
const SECRET: &str = "a secret of thirty-two characters";
const TREE_SIZE: u64 = 1_000_000;

fn main() {
    divan::main();
}

/// A webhook as it comes in.
struct Webhook {
    endpoint: Endpoint,
    event: Event,
}

impl Webhook {
    fn new() -> Self {
        let ids = IdGenerator::new(Arc::new(SystemEntropy));
        let endpoint = EndpointBuilder::new(ids.next::<EndpointId>(NOW), "https://example.com/hooks?a=b", NOW).build();
        let body = vec![b'x'; 1_024];
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(&body);
        let signature = hex::encode(mac.finalize().into_bytes());
        let headers = [
            ("host", "kapsel.example.com"),
            ("content-type", "application/json; charset=utf-8"),
            ("content-length", "1024"),
            ("user-agent", "Source/1.0 (+https://example.com/webhooks)"),
            ("accept", "*/*"),
            ("x-request-id", "0193c5d8-5d7b-7d3a-9e0c-2f4b6a8c0e1d"),
            ("x-event-type", "order.created"),
            ("x-signature", signature.as_str()),
        ];
        let event = EventBuilder::new(ids.next::<EventId>(NOW), &endpoint, NOW).headers(&headers).body(body).build();
        Webhook { endpoint, event }
    }

    fn attempt(&self) -> Attempt {
        let delivery = DeliveryRef {
            id: DeliveryId::MIN,
            event_id: self.event.id,
            endpoint_id: self.endpoint.id,
            tenant_id: self.endpoint.tenant_id,
        };
        Attempt {
            id: AttemptId::MIN,
            delivery,
            number: 1,
            url: self.endpoint.config.url.as_str().to_owned(),
            started_at: NOW,
            duration: Duration::from_millis(3),
            outcome: answered(),
        }
    }
}

fn answered() -> Outcome {
    Outcome::Response(ResponseHead { status: 200, body: Bytes::from_static(b"ok"), ..ResponseHead::default() })
}

fn verifier() -> Verifier {
    let scheme = VerificationScheme::Hmac {
        algorithm: HmacAlgorithm::Sha256,
        header: "x-signature".to_owned(),
        encoding: MacEncoding::Hex,
        prefix: String::new(),
    };
    Verifier::new(&scheme, &[SECRET.into()]).unwrap()
}

#[divan::bench]
fn headers_into_a_block(bencher: Bencher<'_, '_>) {
    let webhook = Webhook::new();
    let pairs: Vec<(String, Vec<u8>)> =
        webhook.event.headers.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
    bencher.bench(|| {
        HeaderBlock::from_pairs(black_box(&pairs).iter().map(|(name, value)| (name.as_str(), value.as_slice())))
    });
}

#[divan::bench]
fn signature_checked(bencher: Bencher<'_, '_>) {
    let (webhook, verifier) = (Webhook::new(), verifier());
    bencher
        .counter(BytesCount::new(webhook.event.body.len()))
        .bench(|| verifier.verify(&webhook.event.headers, black_box(&webhook.event.body), NOW).unwrap());
}

#[divan::bench]
fn signature_made(bencher: Bencher<'_, '_>) {
    let webhook = Webhook::new();
    let signer = OutboundSigner::new(&webhook.endpoint.secrets.signing).unwrap();
    let id = webhook.event.id.to_string();
    bencher
        .counter(BytesCount::new(webhook.event.body.len()))
        .bench(|| signer.sign(&id, NOW, black_box(&webhook.event.body)));
}

#[divan::bench]
fn headers_filtered(bencher: Bencher<'_, '_>) {
    let webhook = Webhook::new();
    bencher.bench(|| {
        let options = connection_options(black_box(&webhook.event.headers));
        webhook.event.headers.iter().filter(|(name, _)| forwarded_name(name, &options, &[]).is_some()).count()
    });
}

#[divan::bench]
fn request_built(bencher: Bencher<'_, '_>) {
    let webhook = Webhook::new();
    assert_eq!(webhook.endpoint.secrets.signing.len(), 1, "signed with {SIGNING_SECRET}");
    let signer = OutboundSigner::new(&webhook.endpoint.secrets.signing).unwrap();
    let user_agent = HeaderValue::from_static("Kapsel/1.2.3");
    let trace = TraceParent::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-abababababababab-01").unwrap();
    bencher.bench(|| {
        request::build(black_box(&request::Inputs {
            event: &webhook.event,
            endpoint: &webhook.endpoint,
            signer: &signer,
            attempt_number: 1,
            at: NOW,
            denied_headers: &[],
            user_agent: &user_agent,
            trace,
        }))
    });
}

#[divan::bench]
fn settlement_decided(bencher: Bencher<'_, '_>) {
    let outcome = Outcome::Response(ResponseHead { status: 503, ..ResponseHead::default() });
    let retry = RetryPolicy::default();
    bencher.bench(|| -> Decision {
        settlement::decide(black_box(settlement::Inputs {
            outcome: &outcome,
            retry: &retry,
            retry_statuses: &[],
            attempts_made: 3,
            is_given_up: false,
            now: NOW,
            jitter: 0.5,
        }))
    });
}

#[divan::bench]
fn leaf_made(bencher: Bencher<'_, '_>) {
    let webhook = Webhook::new();
    let attempt = webhook.attempt();
    bencher.bench(|| {
        Leaf::of_attempt(black_box(&attempt), &webhook.event.body_sha256, LogId::MIN, [9; leaf::RANDOM_BYTES])
    });
}

fn hashes(count: u64) -> impl Iterator<Item = Hash> {
    (0..count).map(|index| leaf_hash(&index.to_be_bytes()))
}

#[divan::bench(args = [1, 100, 1_000])]
fn tiles_appended(bencher: Bencher<'_, '_>, leaves: u64) {
    let mut edge = Edge::default();
    edge.append(hashes(TREE_SIZE - 1));
    let more: Vec<Hash> = hashes(leaves).collect();
    bencher
        .counter(ItemsCount::new(leaves))
        .with_inputs(|| edge.clone())
        .bench_values(|mut edge| (edge.append(black_box(&more).iter().copied()), edge.root().unwrap()));
}

#[divan::bench(args = [10_000, 1_000_000])]
fn proof_made(bencher: Bencher<'_, '_>, size: u64) {
    let mut edge = Edge::default();
    let mut tiles: Tiles = edge.append(hashes(size)).into_iter().collect();
    for tile in edge.tiles() {
        tiles.put(tile);
    }
    let index = size / 3;
    bencher.bench(|| tiles.path(&tree::inclusion_path(black_box(index), size)).unwrap());
}
