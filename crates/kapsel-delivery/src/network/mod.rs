//! The HTTP transport: the only place of the product that opens outbound connections.
//!
//! A destination is somebody else's machine and may be broken, slow or hostile. What holds whatever it does:
//!
//! - The address is checked when it is connected to (`connect.rs`); no redirect is followed and no proxy asked.
//! - One deadline covers everything from the name to the last byte of the body.
//! - The head of an answer is at most 64 KiB, of its body 64 KiB are read; at most 64 interim answers (1xx) may come
//!   before it. All in all, 8 MiB are read (`socket.rs`). Nothing is ever decompressed.
//! - When an exchange does not come to its proper end, its connection is closed and never used again. One on which
//!   something came that nobody asked for is not used again either.
//! - A request is repeated here in one case alone: it was not written at all, because the pooled connection that it was
//!   meant for turned out to be closed. Every other repetition is an attempt of its own.

mod connect;
mod failure;
mod interim;
mod pool;
mod resolve;
mod socket;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use kapsel_core::attempt::RESPONSE_BODY_BYTES_MAX;
use kapsel_core::{AddressPolicy, FailureKind, HeaderBlock, Outcome, ResponseHead};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::time::Instant;

pub use failure::Failure;
pub use resolve::{Resolve, SystemResolver};

use self::connect::{Connector, Target};
use self::interim::InterimLimit;
use self::pool::{Connection, Pool, PoolLimits};
use crate::transport::{OutboundRequest, Transport};

/// The settings of an [`HttpTransport`].
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// The limit of name resolution, connection and TLS handshake together.
    pub connect_limit: Duration,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// How many unused connections to one destination are kept.
    pub idle_per_destination_max: usize,
    /// How many unused connections are kept in all.
    pub idle_max: usize,
    /// Certificates that are trusted besides the system's: of a private authority, say.
    pub extra_roots: Vec<CertificateDer<'static>>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        HttpSettings {
            connect_limit: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            idle_per_destination_max: 512,
            idle_max: 1_024,
            extra_roots: Vec::new(),
        }
    }
}

impl HttpSettings {
    /// Trusts the certificates of a PEM file besides the system's. Returns how many there were.
    ///
    /// # Errors
    /// [`TransportError::Pem`] if it is not PEM.
    pub fn trust_pem(&mut self, pem: &[u8]) -> Result<usize, TransportError> {
        let roots: Vec<_> =
            CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(TransportError::Pem)?;
        let count = roots.len();
        self.extra_roots.extend(roots);
        Ok(count)
    }
}

/// Why a transport cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// TLS cannot be set up; most likely an extra root is not a certificate.
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
    /// Name resolution cannot be set up.
    #[error("cannot set up name resolution")]
    Resolver(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The file of extra roots is not PEM.
    #[error("not a PEM file")]
    Pem(#[source] rustls::pki_types::pem::Error),
}

/// Sends requests over HTTP/1.1, with or without TLS.
pub struct HttpTransport {
    connector: Connector,
    pool: Arc<Pool>,
}

impl HttpTransport {
    /// A transport that connects to what `policy` allows and resolves names as the system does.
    ///
    /// # Errors
    /// If TLS or name resolution cannot be set up.
    pub fn new(policy: AddressPolicy, settings: &HttpSettings) -> Result<Self, TransportError> {
        let resolver = SystemResolver::new().map_err(|error| TransportError::Resolver(error.into()))?;
        HttpTransport::with_resolver(policy, settings, Arc::new(resolver))
    }

    /// The same with another way to resolve names.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn with_resolver(
        policy: AddressPolicy,
        settings: &HttpSettings,
        resolver: Arc<dyn Resolve>,
    ) -> Result<Self, TransportError> {
        let tls = tls::connector(&settings.extra_roots).map_err(TransportError::Tls)?;
        let connector = Connector { policy, resolver, tls, limit: settings.connect_limit };
        let pool = Pool::new(PoolLimits {
            idle_timeout: settings.idle_timeout,
            idle_per_target_max: settings.idle_per_destination_max,
            idle_max: settings.idle_max,
        });
        Ok(HttpTransport { connector, pool })
    }

    async fn exchange(&self, request: OutboundRequest, progress: &mut Progress) -> Result<(), Failure> {
        let (target, mut message) = compose(request)?;
        let interim = InterimLimit::watch(&mut message);
        let (mut connection, response) = tokio::select! {
            biased;
            failure = interim.exceeded() => return Err(failure),
            sent = self.send_on_some_connection(&target, message, progress) => sent?,
        };
        let keep_alive = keep_alive_timeout(response.headers());
        let is_ambiguous = has_two_ends(response.headers());
        if connection.receive(progress.read(response)).await? && !is_ambiguous {
            self.pool.put(target, connection, keep_alive).await;
        }
        Ok(())
    }

    async fn send_on_some_connection(
        &self,
        target: &Target,
        message: Request<Full<Bytes>>,
        progress: &mut Progress,
    ) -> Result<(Connection, Response<Incoming>), Failure> {
        let mut unsent = message;
        if let Some(mut connection) = self.pool.take(target) {
            progress.phase = Phase::Answer;
            match connection.send(unsent).await {
                Ok(response) => return Ok((connection, response)),
                Err(mut error) => match error.take_message() {
                    Some(message) => unsent = message,
                    None => return Err(failure::of_exchange(error.error(), progress.phase.words())),
                },
            }
        }
        // Not another pooled one: where one was stale the others often are, and this way there is one repetition.
        progress.phase = Phase::Connection;
        let stream = self.connector.connect(target).await?;
        let broken = |error: &hyper::Error| failure::of_exchange(error, Phase::Answer.words());
        let mut connection = Connection::open(stream).await.map_err(|error| broken(&error))?;
        progress.phase = Phase::Answer;
        let response = connection.send(unsent).await.map_err(|error| broken(error.error()))?;
        Ok((connection, response))
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, request: OutboundRequest, deadline: Instant) -> Outcome {
        let mut progress = Progress::default();
        match tokio::time::timeout_at(deadline, self.exchange(request, &mut progress)).await {
            Ok(Ok(())) => match progress.into_head() {
                Some(head) => Outcome::Response(head),
                None => Failure::new(FailureKind::Internal, "an exchange ended without an answer").into_outcome(None),
            },
            Ok(Err(failure)) => failure.into_outcome(progress.into_head()),
            Err(_) => {
                let detail = format!("the time limit passed {}", progress.phase.words());
                Failure::new(FailureKind::Timeout, detail).into_outcome(progress.into_head())
            }
        }
    }
}

/// How far an exchange has come. It lives outside of the exchange, so that what has arrived is kept when the deadline
/// ends it.
#[derive(Default)]
struct Progress {
    phase: Phase,
    head: Option<ResponseHead>,
    body: BytesMut,
    body_truncated: bool,
}

#[derive(Debug, Clone, Copy, Default)]
enum Phase {
    #[default]
    Connection,
    Answer,
    Body,
}

impl Phase {
    const fn words(self) -> &'static str {
        match self {
            Phase::Connection => "before a connection was there",
            Phase::Answer => "before an answer came",
            Phase::Body => "before the answer was complete",
        }
    }
}

impl Progress {
    /// Reads an answer as far as it is kept. Returns whether it was read to its end.
    async fn read(&mut self, response: Response<Incoming>) -> Result<bool, Failure> {
        self.phase = Phase::Body;
        let (parts, mut body) = response.into_parts();
        self.head = Some(ResponseHead {
            status: parts.status.as_u16(),
            headers: HeaderBlock::from_pairs(
                parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())),
            ),
            ..ResponseHead::default()
        });
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| failure::of_exchange(&error, self.phase.words()))?;
            // Trailers are of no interest.
            let Ok(data) = frame.into_data() else { continue };
            let room = RESPONSE_BODY_BYTES_MAX - self.body.len();
            self.body.extend_from_slice(&data[..data.len().min(room)]);
            if data.len() > room {
                self.body_truncated = true;
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn into_head(self) -> Option<ResponseHead> {
        let Progress { head, body, body_truncated, .. } = self;
        head.map(|head| ResponseHead { body: body.freeze(), body_truncated, ..head })
    }
}

/// Splits a request into where it goes and what is written there.
fn compose(request: OutboundRequest) -> Result<(Target, Request<Full<Bytes>>), Failure> {
    let unusable = || Failure::new(FailureKind::Internal, "the URL cannot be written as an HTTP request");
    let target = Target::of(&request.url).ok_or_else(unusable)?;
    let url = request.url.as_url();
    let path = match url.query() {
        Some(query) => PathAndQuery::from_maybe_shared(Bytes::from(format!("{}?{query}", url.path()))),
        None => PathAndQuery::try_from(url.path()),
    };
    // `host_str` has the brackets of an IPv6 address, `port` is there only where it is not the scheme's own.
    let host = url.host_str().unwrap_or_default();
    let host = match url.port() {
        Some(port) => HeaderValue::try_from(format!("{host}:{port}")),
        None => HeaderValue::from_str(host),
    };
    let (Ok(path), Ok(host)) = (path, host) else { return Err(unusable()) };

    // Written also where it is 0, which hyper would leave out and some servers answer with 411 (RFC 9110, section 8.6).
    let length = HeaderValue::from(request.body.len());
    let mut message = Request::new(Full::new(request.body));
    *message.method_mut() = Method::POST;
    *message.uri_mut() = Uri::from(path);
    *message.headers_mut() = request.headers;
    message.headers_mut().insert(HOST, host);
    message.headers_mut().insert(CONTENT_LENGTH, length);
    Ok((target, message))
}

/// Whether the body has a length and is chunked as well. The chunks count, but somebody on the way may see the end
/// elsewhere; whatever follows on such a connection is not to be trusted (RFC 9112, section 6.3).
fn has_two_ends(headers: &HeaderMap) -> bool {
    headers.contains_key(CONTENT_LENGTH) && headers.contains_key(TRANSFER_ENCODING)
}

/// How long the destination says that it keeps an idle connection: `timeout` of the `Keep-Alive` header.
fn keep_alive_timeout(headers: &HeaderMap) -> Option<Duration> {
    let parameters = headers.get("keep-alive")?.to_str().ok()?.split(',');
    let seconds = parameters.filter_map(|parameter| parameter.trim().strip_prefix("timeout=")).next()?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use test_harness::{Behaviour, Destination};
    use tokio::net::TcpStream;

    use super::connect::Stream;
    use super::socket::Socket;
    use super::*;

    fn composed(url: &str) -> (Target, Request<Full<Bytes>>) {
        let request =
            OutboundRequest { url: url.parse().unwrap(), headers: HeaderMap::new(), body: Bytes::from_static(b"x") };
        compose(request).unwrap()
    }

    #[test]
    fn requests_are_written_in_origin_form_with_the_host_of_the_url() {
        let cases = [
            ("http://example.com", "/", "example.com"),
            ("https://example.com:443/a/b?c=d&e", "/a/b?c=d&e", "example.com"),
            ("http://example.com:8080/?q", "/?q", "example.com:8080"),
            ("http://[2001:db8::1]:8080/x", "/x", "[2001:db8::1]:8080"),
            ("http://bücher.example/ü?ü=\"|^{}'[]\\", "/%C3%BC?%C3%BC=%22|^{}%27[]\\", "xn--bcher-kva.example"),
            ("http://example.com/a|b^c[d]", "/a|b^c[d]", "example.com"),
        ];
        for (url, path, host) in cases {
            let (_, message) = composed(url);
            assert_eq!(message.uri().to_string(), path, "{url}");
            assert_eq!(message.headers()[HOST], host, "{url}");
            assert_eq!(message.method(), Method::POST);
        }
    }

    #[tokio::test]
    async fn a_request_that_a_stale_connection_did_not_write_goes_out_on_a_fresh_one() {
        let destination = Destination::start(Behaviour::Ok(200)).await;
        let policy = AddressPolicy::new(vec!["127.0.0.1/32".parse().unwrap()]);
        let transport = HttpTransport::new(policy, &HttpSettings::default()).unwrap();
        let url = destination.url().parse().unwrap();
        // A connection whose other end closes before the runtime can notice: it seems fine, and is not.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let near = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, _) = listener.accept().unwrap();
        let seen = near.try_clone().unwrap();
        near.set_nonblocking(true).unwrap();
        let near = Stream::Plain(Socket::new(TcpStream::from_std(near).unwrap()));
        transport.pool.put(Target::of(&url).unwrap(), Connection::open(near).await.unwrap(), None).await;
        drop(far);
        while seen.peek(&mut [0]).is_err() {
            std::thread::yield_now();
        }

        let request = OutboundRequest { url, headers: HeaderMap::new(), body: Bytes::from_static(b"once") };
        let outcome = transport.send(request, Instant::now() + Duration::from_secs(30)).await;
        assert_eq!(outcome.status(), Some(200), "{outcome:?}");
        assert_eq!((destination.count(), destination.connections()), (1, 1));
    }

    #[test]
    fn the_keep_alive_header_is_understood() {
        let timeout = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("keep-alive", value.parse().unwrap());
            keep_alive_timeout(&headers).map(|timeout| timeout.as_secs())
        };
        assert_eq!(timeout("timeout=5"), Some(5));
        assert_eq!(timeout("max=100, timeout=15"), Some(15));
        assert_eq!(timeout("timeout=soon"), None);
        assert_eq!(timeout("max=100"), None);
        assert_eq!(keep_alive_timeout(&HeaderMap::new()), None);
    }

    #[test]
    fn a_pem_file_may_hold_several_roots() {
        let root = |name: &str| rcgen::generate_simple_self_signed([name.to_owned()]).unwrap().cert.pem();
        let mut settings = HttpSettings::default();
        let both = format!("{}{}", root("one"), root("two"));
        assert_eq!(settings.trust_pem(both.as_bytes()).unwrap(), 2);
        assert_eq!(settings.extra_roots.len(), 2);
        assert_eq!(settings.trust_pem(b"").unwrap(), 0);
        assert!(settings.trust_pem(b"-----BEGIN CERTIFICATE-----\n???\n-----END CERTIFICATE-----\n").is_err());
        assert!(HttpTransport::new(AddressPolicy::default(), &settings).is_ok());
    }
}
