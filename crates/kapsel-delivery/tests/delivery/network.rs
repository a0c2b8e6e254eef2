//! What the tests of the transport share.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use kapsel_core::{AddressPolicy, FailureKind, Outcome, ResponseHead};
use kapsel_delivery::network::{Failure, Resolve};
use kapsel_delivery::{HttpSettings, HttpTransport, OutboundRequest, Transport};
use tokio::time::Instant;

/// Long enough for everything that is expected to work.
pub(crate) const LONG: Duration = Duration::from_secs(30);
/// For what is expected to run into its deadline. Long enough to get as far as expected on a busy machine.
pub(crate) const SHORT: Duration = Duration::from_secs(1);

pub(crate) fn policy(allow: &[&str]) -> AddressPolicy {
    AddressPolicy::new(allow.iter().map(|net| net.parse().unwrap()).collect())
}

/// A transport that may connect to 127.0.0.0/8.
pub(crate) fn transport() -> HttpTransport {
    HttpTransport::new(policy(&["127.0.0.0/8"]), &HttpSettings::default()).unwrap()
}

pub(crate) fn request(url: &str) -> OutboundRequest {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "text/plain".parse().unwrap());
    OutboundRequest { url: url.parse().unwrap(), headers, body: Bytes::from_static(b"hello") }
}

pub(crate) async fn send(transport: &HttpTransport, url: &str, limit: Duration) -> Outcome {
    send_request(transport, request(url), limit).await
}

/// Sends, and fails the test if the transport does not keep its deadline.
pub(crate) async fn send_request(transport: &HttpTransport, request: OutboundRequest, limit: Duration) -> Outcome {
    let deadline = Instant::now() + limit;
    tokio::time::timeout(limit + LONG, transport.send(request, deadline)).await.expect("the deadline was not kept")
}

/// The answer that is expected.
pub(crate) fn answer(outcome: Outcome) -> ResponseHead {
    match outcome {
        Outcome::Response(head) => head,
        other => panic!("an answer was expected: {other:?}"),
    }
}

/// The failure that is expected.
pub(crate) fn failure(outcome: Outcome) -> (FailureKind, String, Option<ResponseHead>) {
    match outcome {
        Outcome::Failure { kind, detail, head } => (kind, detail, head),
        other => panic!("a failure was expected: {other:?}"),
    }
}

/// What a name resolves to.
#[derive(Clone)]
pub(crate) enum Names {
    /// These addresses one after the other; the last ones for ever.
    Answers(Vec<Vec<IpAddr>>),
    /// No answer ever comes.
    Silent,
}

impl Names {
    pub(crate) fn of(answers: &[&[&str]]) -> Self {
        let parse = |texts: &&[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        Names::Answers(answers.iter().map(parse).collect())
    }
}

/// Resolves every name alike.
pub(crate) struct ScriptedResolver {
    names: Names,
    asked: AtomicUsize,
}

impl ScriptedResolver {
    pub(crate) fn new(answers: &[&[&str]]) -> Self {
        ScriptedResolver::of(Names::of(answers))
    }

    pub(crate) fn of(names: Names) -> Self {
        ScriptedResolver { names, asked: AtomicUsize::new(0) }
    }
}

#[async_trait]
impl Resolve for ScriptedResolver {
    async fn addresses(&self, _: &str) -> Result<Vec<IpAddr>, Failure> {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        match &self.names {
            Names::Answers(answers) => Ok(answers[asked.min(answers.len() - 1)].clone()),
            Names::Silent => std::future::pending().await,
        }
    }
}
