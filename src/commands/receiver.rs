//! A small destination: receives webhooks, checks their signatures, answers as it is told. `listen` prints what it
//! reports; `demo` checks it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use kapsel_core::signature::{VerificationScheme, Verifier};
use kapsel_core::{Clock, HeaderBlock, Timestamp};
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// Larger bodies are refused with 413. Well above what Kapsel forwards by default.
const BODY_BYTES_MAX: usize = 256 * 1024 * 1024;
/// How far a signature's timestamp may lie from the present, in seconds.
const TOLERANCE_SECONDS: u32 = 300;
/// Events whose failed attempts are remembered; beyond that, all are forgotten.
const REMEMBERED_EVENTS_MAX: usize = 100_000;

/// How the receiver behaves.
pub(crate) struct Behaviour {
    /// The status of its answers.
    pub(crate) status: StatusCode,
    /// How many attempts of each event are answered with 500 first.
    pub(crate) fail_first: u32,
    /// How long it waits before it answers.
    pub(crate) delay: Duration,
    /// The endpoint's `whsec_…` or `whpk_…`; without it, signatures are not checked.
    pub(crate) verifier: Option<Verifier>,
}

/// Whether the signature of a request holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Signature {
    Valid,
    Invalid(String),
    NotChecked,
}

/// One request that arrived.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) at: Timestamp,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) signature: Signature,
    pub(crate) answered: StatusCode,
}

impl Arrival {
    /// The value of a header, or `-`.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("-")
    }
}

/// Makes a verifier for Standard Webhooks signatures.
pub(crate) fn verifier(secret: &SecretString) -> Result<Verifier, String> {
    let scheme = VerificationScheme::StandardWebhooks { tolerance_seconds: TOLERANCE_SECONDS };
    Verifier::new(&scheme, std::slice::from_ref(secret)).map_err(|error| error.to_string())
}

struct Receiver {
    behaviour: Behaviour,
    clock: Arc<dyn Clock>,
    failed: Mutex<HashMap<String, u32>>,
    arrivals: mpsc::UnboundedSender<Arrival>,
}

/// Starts a receiver on a bound listener. It runs as long as the runtime does.
pub(crate) fn start(
    listener: TcpListener,
    behaviour: Behaviour,
    clock: Arc<dyn Clock>,
) -> std::io::Result<(SocketAddr, mpsc::UnboundedReceiver<Arrival>)> {
    let address = listener.local_addr()?;
    let (arrivals, arrived) = mpsc::unbounded_channel();
    let receiver = Arc::new(Receiver { behaviour, clock, failed: Mutex::default(), arrivals });
    tokio::spawn(async move {
        loop {
            // A failed accept (out of file descriptors) concerns one connection; the next may work.
            let Ok((stream, _)) = listener.accept().await else {
                tokio::task::yield_now().await;
                continue;
            };
            let receiver = Arc::clone(&receiver);
            tokio::spawn(async move {
                let service = hyper::service::service_fn(move |request| {
                    let receiver = Arc::clone(&receiver);
                    async move { Ok::<_, Infallible>(receiver.answer(request).await) }
                });
                let mut server = hyper::server::conn::http1::Builder::new();
                server.timer(TokioTimer::new());
                // A connection that breaks is the sender's business; it will try again.
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    Ok((address, arrived))
}

impl Receiver {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = match Limited::new(body, BODY_BYTES_MAX).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => return plain(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()),
        };
        let at = self.clock.now();
        let signature = self.check(&head.headers, &body, at);
        if !self.behaviour.delay.is_zero() {
            tokio::time::sleep(self.behaviour.delay).await;
        }
        let answered = self.status_for(&head.headers);
        // Nobody listening any more means that the command is ending.
        let _ = self.arrivals.send(Arrival { at, headers: head.headers, body, signature, answered });
        plain(answered, String::new())
    }

    fn check(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Signature {
        let Some(verifier) = &self.behaviour.verifier else { return Signature::NotChecked };
        let headers = HeaderBlock::from_pairs(headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())));
        match verifier.verify(&headers, body, now) {
            Ok(()) => Signature::Valid,
            Err(error) => Signature::Invalid(error.to_string()),
        }
    }

    /// 500 for the first attempts of each event, then the chosen status.
    fn status_for(&self, headers: &HeaderMap) -> StatusCode {
        if self.behaviour.fail_first == 0 {
            return self.behaviour.status;
        }
        let id = headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.len() >= REMEMBERED_EVENTS_MAX {
            failed.clear();
        }
        let count = failed.entry(id.to_owned()).or_default();
        if *count < self.behaviour.fail_first {
            *count += 1;
            return StatusCode::INTERNAL_SERVER_ERROR;
        }
        self.behaviour.status
    }
}

fn plain(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
}
