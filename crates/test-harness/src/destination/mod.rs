//! Destinations over real sockets, on 127.0.0.1 and a free port: a good one, and one for each way to be bad.
//!
//! A destination notes every request it has read, before it does with it what its behaviour says. Waiting is by events:
//! [`Destination::wait_for`] requests, [`Destination::wait_for_open`] connections.

mod good;
mod hostile;
mod request;
mod steps;
mod tls;

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use self::steps::End;
pub use self::steps::Step;
pub use self::tls::Certificate;

/// What a destination does with each request.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// Answers with this status.
    Ok(u16),
    /// Answers the first so many requests with this status, later ones with 200.
    FailFirst(usize, u16),
    /// Answers with these one after the other, and with 200 when they are used up.
    Script(Vec<Answer>),
    /// Answers 410.
    Gone,
    /// Answers 302 to this location.
    Redirect(String),
    /// Answers 200 with a small body that says it is gzip and unpacks to 64 MiB.
    GzipBomb,
    /// Answers with 200 after so long.
    Delay(Duration),
    /// Reads the request and never answers.
    Hang,
    /// Sends the head of an answer at once and then one byte of its body in each period.
    Drip(Duration),
    /// Sends a body without end.
    EndlessBody,
    /// Resets the connection without having read a byte.
    ResetAfterAccept,
    /// Sends `100 Continue` without end.
    InformationalFlood,
    /// Answers with something that is not HTTP.
    Garbage,
    /// Answers 200 as if the connection were kept, and closes it right behind.
    CloseKeepAlive,
    /// Reads the request and closes without an answer: the request was taken, but nobody knows.
    LostAnswer,
    /// Does these things one after the other on each connection.
    Steps(Vec<Step>),
    /// Answers 200 over TLS with a certificate of this kind.
    Tls(Certificate),
    /// Does these things behind a TLS handshake with a certificate of this kind.
    TlsSteps(Certificate, Vec<Step>),
}

/// One answer of a script.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    /// An answer without body.
    pub fn new(status: u16) -> Self {
        Answer { status, ..Answer::default() }
    }

    /// With this header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Received {
    /// Method and target, such as `POST /hook`.
    pub line: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// When its last byte had arrived.
    pub at: Instant,
    /// On which connection, counted from 1.
    pub connection: usize,
}

impl Received {
    /// The value of a header that is there once and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let first = values.next()?;
        values.next().is_none().then_some(first.to_str().ok()).flatten()
    }
}

/// A running destination. It ends when it is dropped.
pub struct Destination {
    address: SocketAddr,
    log: Arc<Log>,
    certificate: Option<tls::Issued>,
    listener: JoinHandle<()>,
}

/// What a destination notes.
struct Log {
    received: Mutex<Vec<Received>>,
    count: watch::Sender<usize>,
    accepted: AtomicUsize,
    open: watch::Sender<usize>,
    /// Whether [`Step::Hold`] is over.
    is_released: watch::Sender<bool>,
}

impl Log {
    /// Notes a request and says how many there were before it.
    fn note(&self, received: Received) -> usize {
        let before = {
            let mut all = self.received.lock().unwrap_or_else(PoisonError::into_inner);
            all.push(received);
            all.len() - 1
        };
        self.count.send_modify(|count| *count += 1);
        before
    }

    async fn released(&self) {
        let mut is_released = self.is_released.subscribe();
        is_released.wait_for(|released| *released).await.expect("the log has the sender");
    }
}

impl Destination {
    /// Starts a destination.
    pub async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let log = Arc::new(Log {
            received: Mutex::default(),
            count: watch::Sender::new(0),
            accepted: AtomicUsize::new(0),
            open: watch::Sender::new(0),
            is_released: watch::Sender::new(false),
        });
        let certificate = match &behaviour {
            Behaviour::Tls(kind) | Behaviour::TlsSteps(kind, _) => Some(tls::Issued::new(*kind)),
            _ => None,
        };
        let acceptor = certificate.as_ref().map(tls::Issued::acceptor);
        let accept = accept(listener, behaviour, acceptor, Arc::clone(&log));
        Destination { address, log, certificate, listener: tokio::spawn(accept) }
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL: by address, or for TLS by the name `localhost`.
    pub fn url(&self) -> String {
        match self.certificate {
            Some(_) => self.url_by("https", "localhost"),
            None => self.url_by("http", "127.0.0.1"),
        }
    }

    /// Its URL with another scheme and host.
    pub fn url_by(&self, scheme: &str, host: &str) -> String {
        format!("{scheme}://{host}:{}/hook", self.address.port())
    }

    /// The certificate of the authority that issued its own, as PEM.
    pub fn authority_pem(&self) -> &str {
        &self.certificate.as_ref().expect("a destination that speaks TLS").authority_pem
    }

    /// The requests so far, in the order of their arrival.
    pub fn received(&self) -> Vec<Received> {
        self.log.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many requests have arrived so far.
    pub fn count(&self) -> usize {
        *self.log.count.borrow()
    }

    /// How many different `webhook-id`s have arrived so far.
    pub fn distinct(&self) -> usize {
        let received = self.log.received.lock().unwrap_or_else(PoisonError::into_inner);
        received.iter().filter_map(|request| request.headers.get("webhook-id")).collect::<HashSet<_>>().len()
    }

    /// Waits until at least `count` requests have arrived, and returns them.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        self.wait_for_count(count).await;
        self.received()
    }

    /// Waits until at least `count` requests have arrived.
    pub async fn wait_for_count(&self, count: usize) {
        let mut counts = self.log.count.subscribe();
        counts.wait_for(|so_far| *so_far >= count).await.expect("the destination runs");
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> usize {
        self.log.accepted.load(Ordering::SeqCst)
    }

    /// Waits until exactly `count` connections are open, as far as the destination has noticed.
    pub async fn wait_for_open(&self, count: usize) {
        let mut open = self.log.open.subscribe();
        open.wait_for(|now| *now == count).await.expect("the destination runs");
    }

    /// Ends [`Step::Hold`] on every connection, those that are yet to come included.
    pub fn release(&self) {
        self.log.is_released.send_replace(true);
    }
}

impl Drop for Destination {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

async fn accept(listener: TcpListener, behaviour: Behaviour, acceptor: Option<TlsAcceptor>, log: Arc<Log>) {
    let behaviour = Arc::new(behaviour);
    // Connections end with the destination: dropping the set ends its tasks.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { return };
                let _ = stream.set_nodelay(true);
                let connection = log.accepted.fetch_add(1, Ordering::SeqCst) + 1;
                log.open.send_modify(|open| *open += 1);
                let open = OpenConnection(Arc::clone(&log));
                let (behaviour, acceptor) = (Arc::clone(&behaviour), acceptor.clone());
                connections.spawn(async move { serve(stream, connection, &open.0, behaviour, acceptor).await });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(
    mut stream: TcpStream,
    connection: usize,
    log: &Arc<Log>,
    behaviour: Arc<Behaviour>,
    acceptor: Option<TlsAcceptor>,
) {
    match acceptor {
        Some(acceptor) => {
            // That the client does not like the certificate is part of the game.
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            if behaviour.is_well_formed() {
                return good::serve(stream, connection, Arc::clone(log), behaviour).await;
            }
            let end = steps::play(&mut stream, connection, log, &hostile::steps(&behaviour)).await;
            close(stream.get_ref().0, end);
        }
        None if behaviour.is_well_formed() => good::serve(stream, connection, Arc::clone(log), behaviour).await,
        None => {
            let end = steps::play(&mut stream, connection, log, &hostile::steps(&behaviour)).await;
            close(&stream, end);
        }
    }
}

/// Decides how a stream ends that is about to be dropped.
fn close(stream: &TcpStream, end: io::Result<End>) {
    if let Ok(End::Reset) = end {
        stream.set_zero_linger().expect("an open socket");
    }
}

/// Counts a connection as open while it lives.
struct OpenConnection(Arc<Log>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.open.send_modify(|open| *open -= 1);
    }
}

impl Behaviour {
    /// Whether its answers are proper HTTP, whatever they say.
    fn is_well_formed(&self) -> bool {
        matches!(
            self,
            Behaviour::Ok(_)
                | Behaviour::FailFirst(..)
                | Behaviour::Script(_)
                | Behaviour::Gone
                | Behaviour::Redirect(_)
                | Behaviour::GzipBomb
                | Behaviour::Delay(_)
                | Behaviour::Tls(_)
        )
    }

    /// The well-formed answer to the request that has `before` ones before it.
    fn answer(&self, before: usize) -> Answer {
        match self {
            Behaviour::Ok(status) => Answer::new(*status),
            Behaviour::FailFirst(count, status) if before < *count => Answer::new(*status),
            Behaviour::Script(answers) => answers.get(before).cloned().unwrap_or_else(|| Answer::new(200)),
            Behaviour::Gone => Answer::new(410),
            Behaviour::Redirect(location) => Answer::new(302).header("location", location),
            Behaviour::GzipBomb => Answer::new(200).header("content-encoding", "gzip").body(good::gzip_of_zeroes(64)),
            _ => Answer::new(200),
        }
    }
}
