//! One entry in the log for each request to the API.
//!
//! It names the route by its pattern and never by what stood in the request line: a path can be anything, and a query or a
//! header can hold a key. Requests of which there are many (webhooks, probes, scrapes) are told at the level of debugging,
//! and while nobody listens at that level nothing is computed for them.

use std::sync::{Arc, OnceLock};

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use http::{Extensions, HeaderMap, Method};
use kapsel_core::ids::RequestId;
use kapsel_core::trace::{self, TraceId, TraceParent};
use kapsel_core::{EndpointId, ErrorCode, EventId, TenantId};
use tokio::time::Instant;

/// What a client calls its request is shown up to this length.
const CLIENT_REQUEST_ID_MAX: usize = 64;
/// The route of what no route takes.
const UNMATCHED: &str = "unmatched";

/// How the level of an entry is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Somebody manages something, or reads the log of attempts.
    Seldom,
    /// Webhooks, probes and scrapes.
    Frequent,
}

impl Kind {
    fn of_path(path: &str) -> Self {
        let is_frequent =
            path.starts_with("/ingest/") || path.starts_with("/health") || matches!(path, "/ready" | "/metrics");
        if is_frequent { Kind::Frequent } else { Kind::Seldom }
    }

    fn is_listened_to(self) -> bool {
        match self {
            Kind::Seldom => tracing::enabled!(target: "kapsel_api::request", tracing::Level::INFO),
            Kind::Frequent => tracing::enabled!(target: "kapsel_api::request", tracing::Level::DEBUG),
        }
    }
}

/// What those who handle a request find out about it. It travels in the request's extensions, if the request is logged.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    route: OnceLock<MatchedPath>,
    tenant_id: OnceLock<TenantId>,
    endpoint_id: OnceLock<EndpointId>,
    event: OnceLock<(EventId, Option<TraceId>)>,
}

impl Notes {
    /// Those of a request, if it is logged.
    pub(crate) fn of(extensions: &Extensions) -> Option<&Arc<Notes>> {
        extensions.get()
    }

    /// Which route was taken.
    pub(crate) fn route(&self, extensions: &Extensions) {
        if let Some(route) = extensions.get::<MatchedPath>() {
            // Once set it stays, here and below: the first to know is right.
            let _ = self.route.set(route.clone());
        }
    }

    /// Whose request it is.
    pub(crate) fn tenant(&self, tenant_id: TenantId) {
        let _ = self.tenant_id.set(tenant_id);
    }

    /// Which endpoint a webhook came in for.
    pub(crate) fn endpoint(&self, endpoint_id: EndpointId) {
        let _ = self.endpoint_id.set(endpoint_id);
    }

    /// Which event it became, and that one's trace where it is known.
    pub(crate) fn event(&self, event_id: EventId, trace_id: Option<TraceId>) {
        let _ = self.event.set((event_id, trace_id));
    }
}

/// Notes down which route a request takes. For all routes but that of webhooks, which does so itself: this costs one more
/// boxed future.
pub(crate) async fn note_route(request: Request, next: Next) -> Response {
    if let Some(notes) = Notes::of(request.extensions()) {
        notes.route(request.extensions());
    }
    next.run(request).await
}

/// A request that is going to be logged.
pub(crate) struct RequestLog {
    kind: Kind,
    method: &'static str,
    begun: Instant,
    client_request_id: Option<String>,
    trace_id: Option<TraceId>,
    notes: Arc<Notes>,
}

impl RequestLog {
    /// Begins with a request. `None` if nobody would hear of it.
    pub(crate) fn begin(request: &mut Request) -> Option<Self> {
        let kind = Kind::of_path(request.uri().path());
        if !kind.is_listened_to() {
            return None;
        }
        let notes: Arc<Notes> = Arc::default();
        request.extensions_mut().insert(Arc::clone(&notes));
        Some(RequestLog {
            kind,
            method: known_method(request.method()),
            begun: Instant::now(),
            client_request_id: client_request_id(request.headers()),
            trace_id: sent_trace(request.headers()),
            notes,
        })
    }

    /// Writes the entry.
    pub(crate) fn end(self, response: &Response, request_id: RequestId, error_code: Option<ErrorCode>) {
        let notes = &self.notes;
        let (event_id, trace_id) = notes.event.get().copied().unzip();
        macro_rules! entry {
            ($level:ident) => {
                tracing::event!(
                    target: "kapsel_api::request",
                    tracing::Level::$level,
                    method = self.method,
                    route = notes.route.get().map_or(UNMATCHED, MatchedPath::as_str),
                    status = response.status().as_u16(),
                    duration_ms = self.begun.elapsed().as_secs_f64() * 1_000.0,
                    %request_id,
                    client_request_id = self.client_request_id,
                    tenant_id = notes.tenant_id.get().map(display),
                    endpoint_id = notes.endpoint_id.get().map(display),
                    event_id = event_id.map(display),
                    trace_id = trace_id.flatten().or(self.trace_id).map(display),
                    error_code = error_code.map(display),
                    "request",
                )
            };
        }
        match self.kind {
            Kind::Seldom => entry!(INFO),
            Kind::Frequent => entry!(DEBUG),
        }
    }
}

/// A method can be any word; those that are none of HTTP's own are not repeated.
fn known_method(method: &Method) -> &'static str {
    let known = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "CONNECT", "TRACE"];
    known.into_iter().find(|known| method == known).unwrap_or("OTHER")
}

/// What the client calls its request, if that is a short word. It is shown beside our own id and never in its place: nobody
/// can make two requests look like one.
fn client_request_id(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("x-request-id")?.to_str().ok()?;
    let is_word = (1..=CLIENT_REQUEST_ID_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_word.then(|| text.to_owned())
}

fn sent_trace(headers: &HeaderMap) -> Option<TraceId> {
    let text = headers.get(trace::TRACEPARENT)?.to_str().ok()?;
    TraceParent::parse(text).map(|parent| parent.trace_id())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn many_requests_are_told_apart_from_few() {
        for path in ["/ingest/ep_1", "/health", "/health/live", "/ready", "/metrics"] {
            assert_eq!(Kind::of_path(path), Kind::Frequent, "{path}");
        }
        for path in ["/v1/endpoints", "/attestation/sth", "/checkpoint", "/", "/nothing"] {
            assert_eq!(Kind::of_path(path), Kind::Seldom, "{path}");
        }
    }

    #[test]
    fn what_a_client_calls_its_request_is_a_short_word_or_nothing() {
        let long = "x".repeat(65);
        let cases = [
            ("abc-123", Some("abc-123")),
            ("", None),
            ("two words", None),
            (long.as_str(), None),
            (&long[1..], Some(&long[1..])),
        ];
        for (sent, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert("x-request-id", HeaderValue::from_str(sent).unwrap());
            assert_eq!(client_request_id(&headers).as_deref(), expected, "{sent:?}");
        }
        let mut headers = HeaderMap::new();
        headers.insert("x-request-id", HeaderValue::from_bytes(b"\xc3\xa9").unwrap());
        assert_eq!(client_request_id(&headers), None);
    }

    #[test]
    fn methods_that_are_not_https_own_are_not_repeated() {
        assert_eq!(known_method(&Method::PATCH), "PATCH");
        assert_eq!(known_method(&Method::from_bytes(b"SECRET").unwrap()), "OTHER");
    }
}
