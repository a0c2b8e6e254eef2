//! One connection: which protocol it speaks, and its requests to the router.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower_service::Service as _;

use super::activity::{self, Activity, LongAnswer, Patience};
use super::http::Http;
use super::tls::{ALPN_HTTP2, Tls};
use crate::client_address::{ClientAddress, Peer};
use crate::settings::ServerSettings;

/// How an HTTP/2 connection without TLS begins (RFC 9113, section 3.4): as no request of HTTP/1.1 does.
const HTTP2_BEGINNING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// As much of it as decides. Clients send all of it at once.
const HTTP2_BEGINNING_BYTES_MIN: usize = 4;

/// What all connections of a listener share.
pub(super) struct Edge {
    router: Router,
    http: Http,
    settings: ServerSettings,
}

impl Edge {
    pub(super) fn new(router: Router, settings: ServerSettings) -> Self {
        Edge { router, http: Http::new(&settings), settings }
    }

    pub(super) fn settings(&self) -> &ServerSettings {
        &self.settings
    }

    /// The other end of a connection from this address.
    pub(super) fn peer(&self, ip: IpAddr) -> Peer {
        Peer::new(ip, self.settings.tls.is_some(), &self.settings.trusted_proxies)
    }

    /// Serves a connection to its end, which begins when the sender of `stopped` is dropped.
    pub(super) async fn serve(self: Arc<Self>, stream: TcpStream, peer: Peer, mut stopped: watch::Receiver<()>) {
        // Answers are small and written whole; waiting for more to send would only delay them.
        let _ = stream.set_nodelay(true);
        match &self.settings.tls {
            // On the heap, as what HTTP/2 needs below: it is many times larger than a plain connection.
            Some(tls) => Box::pin(self.serve_tls(stream, tls, peer, &mut stopped)).await,
            None => self.serve_plain(stream, peer, &mut stopped).await,
        }
    }

    async fn serve_plain(&self, stream: TcpStream, peer: Peer, stopped: &mut watch::Receiver<()>) {
        let patience = self.patience();
        let is_http2 = tokio::select! {
            biased;
            is_http2 = timeout_at(patience.first_by, speaks_http2(&stream)) => is_http2,
            _ = stopped.changed() => return,
        };
        if let Ok(is_http2) = is_http2 {
            self.serve_http(stream, is_http2, peer, patience, stopped).await;
        }
    }

    async fn serve_tls(&self, stream: TcpStream, tls: &Tls, peer: Peer, stopped: &mut watch::Receiver<()>) {
        let handshake = TlsAcceptor::from(tls.current()).accept(stream);
        let handshake = tokio::select! {
            biased;
            done = timeout(self.settings.tls_handshake_timeout, handshake) => done,
            _ = stopped.changed() => return,
        };
        match handshake {
            Ok(Ok(stream)) => {
                let is_http2 = has_agreed_on_http2(&stream);
                self.serve_http(stream, is_http2, peer, self.patience(), stopped).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, address = %peer.ip, "no TLS connection came about"),
            Err(_) => tracing::debug!(address = %peer.ip, "a TLS handshake did not end in time"),
        }
    }

    /// The patience with a connection that can now send its first request.
    fn patience(&self) -> Patience {
        Patience { first_by: Instant::now() + self.settings.header_read_timeout, idle: self.settings.idle_timeout }
    }

    async fn serve_http<S>(
        &self,
        stream: S,
        is_http2: bool,
        peer: Peer,
        patience: Patience,
        stopped: &mut watch::Receiver<()>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Arc::new(Activity::default());
        let service = service_fn(|mut request: hyper::Request<Incoming>| {
            let client = ClientAddress::new(peer, request.headers(), &self.settings.trusted_proxies);
            request.extensions_mut().insert(client);
            let running = activity.begin();
            let answer = self.router.clone().call(request);
            async move {
                let mut answer: Result<Response, Infallible> = answer.await;
                let long = answer.as_mut().ok().and_then(|answer| answer.extensions_mut().remove::<LongAnswer>());
                match long {
                    Some(long) => long.keep(running),
                    None => drop(running),
                }
                answer
            }
        });
        let io = TokioIo::new(stream);
        let result = if is_http2 {
            let connection = self.http.http2.serve_connection(io, service);
            Box::pin(activity::drive(connection, &activity, patience, stopped)).await
        } else {
            let connection = self.http.http1.serve_connection(io, service);
            activity::drive(connection, &activity, patience, stopped).await
        };
        if let Err(error) = result {
            tracing::debug!(%error, address = %peer.ip, "connection ended early");
        }
    }
}

/// Looks at how a connection begins without taking anything from it, so that HTTP/1.1 is served on the bare socket. What
/// cannot be read is left to HTTP/1.1 to report.
async fn speaks_http2(stream: &TcpStream) -> bool {
    let mut first = [0; HTTP2_BEGINNING.len()];
    let count = stream.peek(&mut first).await.unwrap_or_default();
    count >= HTTP2_BEGINNING_BYTES_MIN && HTTP2_BEGINNING.starts_with(&first[..count])
}

fn has_agreed_on_http2(stream: &TlsStream<TcpStream>) -> bool {
    let (_, session) = stream.get_ref();
    session.alpn_protocol() == Some(ALPN_HTTP2)
}
