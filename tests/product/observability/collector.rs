//! A collector that keeps what it is sent.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::program::PATIENCE;

/// A running collector. It ends when it is dropped.
pub struct Collector {
    address: SocketAddr,
    taken: Arc<watch::Sender<Taken>>,
    listener: JoinHandle<()>,
}

/// What came.
#[derive(Debug, Clone, Default)]
pub struct Taken {
    pub spans: Vec<Span>,
    /// The names that services gave themselves.
    pub services: Vec<String>,
    /// Every byte of every request: head and body.
    pub bytes: Vec<u8>,
}

impl Collector {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let taken = Arc::new(watch::Sender::new(Taken::default()));
        let shared = Arc::clone(&taken);
        let listener = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let taken = Arc::clone(&shared);
                let service = service_fn(move |request| take(Arc::clone(&taken), request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Collector { address, taken, listener }
    }

    /// What the program is to be told.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn taken(&self) -> Taken {
        self.taken.borrow().clone()
    }

    /// Waits until the spans that came are as wanted, and returns them.
    pub async fn wait_for(&self, what: &str, mut is_wanted: impl FnMut(&[Span]) -> bool) -> Vec<Span> {
        let mut taken = self.taken.subscribe();
        let wait = taken.wait_for(|taken| is_wanted(&taken.spans));
        let result = tokio::time::timeout(PATIENCE, wait).await.map(|taken| taken.unwrap().spans.clone());
        result.unwrap_or_else(|_| panic!("{what} did not come: {:#?}", self.taken().spans))
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

async fn take(
    taken: Arc<watch::Sender<Taken>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/v1/traces"));
    assert_eq!(request.headers()["content-type"], "application/x-protobuf");
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let export = ExportTraceServiceRequest::decode(body.clone()).unwrap();
    taken.send_modify(|taken| {
        taken.bytes.extend_from_slice(format!("{:?}", head.headers).as_bytes());
        taken.bytes.extend_from_slice(&body);
        for spans in export.resource_spans {
            let attributes = spans.resource.unwrap_or_default().attributes;
            let service = attributes.into_iter().find(|attribute| attribute.key == "service.name");
            if let Some(Value::StringValue(name)) = service.and_then(|name| name.value).and_then(|name| name.value) {
                taken.services.push(name);
            }
            taken.spans.extend(spans.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
    });
    Ok(Response::new(Full::default()))
}

/// A text attribute of a span.
pub fn attribute(span: &Span, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{other:?}"),
    }
}

/// The only span of this name.
#[track_caller]
pub fn only<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "{name}: {found:#?}");
    found[0]
}

/// Lower-case hexadecimal digits.
pub fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
