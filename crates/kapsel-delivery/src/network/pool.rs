//! Connections that wait for their next request.
//!
//! An own pool of some hundred lines on hyper's connections, and not that of `hyper_util::client::legacy`, because of
//! two bounds which that one does not have: on all idle connections together (ten thousand destinations must not keep
//! ten thousand TLS sessions), and on the life of a connection (it ends with the exchange it belongs to, also when the
//! destination stops reading and a clean shutdown would wait for it for ever).
//!
//! There is no task behind a connection: whoever uses it drives it, so a request and its answer never change tasks, and
//! with them perhaps the processor.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::connect::{Stream, Target};
use super::socket::Watch;

/// The largest head of an answer, in bytes; also what a connection reads ahead at most.
pub(super) const HEAD_BYTES_MAX: usize = 64 * 1024;
/// How long a connection is used at all. Without an end, a destination in steady use would never be resolved again, and
/// stay where its name pointed to at the first request.
const LIFE_MAX: Duration = Duration::from_secs(300);

/// What reads and writes for a connection, when somebody polls it. Empty once the connection has come to its end.
struct Driver(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Driver {
    /// Reads and writes what can be read and written now.
    fn poll(&mut self, cx: &mut Context<'_>) {
        if self.0.as_mut().is_some_and(|connection| connection.as_mut().poll(cx).is_ready()) {
            self.0 = None;
        }
    }

    /// Awaits what depends on the connection, and drives it meanwhile.
    async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(done);
            }
            self.poll(cx);
            work.as_mut().poll(cx)
        })
        .await
    }
}

/// An HTTP/1.1 connection. Dropping it closes the socket at once.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: Driver,
    watch: Arc<Watch>,
    opened_at: Instant,
}

impl Connection {
    pub(super) async fn open(stream: Stream) -> Result<Self, hyper::Error> {
        match stream {
            Stream::Plain(stream) => {
                let watch = stream.watch();
                Connection::over(stream, watch).await
            }
            Stream::Tls(stream) => {
                let watch = stream.get_ref().0.watch();
                Connection::over(*stream, watch).await
            }
        }
    }

    /// A connection over any stream. `watch` is that of the socket below.
    pub(super) async fn over<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
        stream: S,
        watch: Arc<Watch>,
    ) -> Result<Self, hyper::Error> {
        let (sender, connection) =
            http1::Builder::new().max_buf_size(HEAD_BYTES_MAX).handshake(TokioIo::new(stream)).await?;
        let driver = async move {
            // What goes wrong here reaches the request that it goes wrong for. Without a request it is an idle
            // connection that was closed, which is nothing to report.
            let _ = connection.await;
        };
        Ok(Connection { sender, driver: Driver(Some(Box::pin(driver))), watch, opened_at: Instant::now() })
    }

    /// Sends a request. If it was not written at all, the error holds it.
    pub(super) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<http::Response<hyper::body::Incoming>, TrySendError<Request<Full<Bytes>>>> {
        // First, so that a connection which was closed meanwhile, or on which something came that nobody asked for, takes
        // no request.
        self.look().await;
        let answer = self.sender.try_send_request(request);
        self.driver.during(answer).await
    }

    /// Awaits a part of an answer of this connection.
    pub(super) async fn receive<T>(&mut self, part: impl Future<Output = T>) -> T {
        self.driver.during(part).await
    }

    /// Whether it can take a request. After an answer was read to its end, it mostly can.
    async fn is_ready(&mut self) -> bool {
        self.look().await;
        self.is_usable()
    }

    /// Reads and writes what can be read and written now.
    async fn look(&mut self) {
        poll_fn(|cx| {
            self.driver.poll(cx);
            Poll::Ready(())
        })
        .await;
    }

    fn is_usable(&self) -> bool {
        self.driver.0.is_some() && self.sender.is_ready() && !self.sender.is_closed()
    }
}

/// How much the pool keeps.
#[derive(Debug, Clone, Copy)]
pub(super) struct PoolLimits {
    pub idle_timeout: Duration,
    pub idle_per_target_max: usize,
    pub idle_max: usize,
}

/// The idle connections.
pub(super) struct Pool {
    limits: PoolLimits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Per target, the one used last at the end. No list is empty.
    idle: HashMap<Target, Vec<Idle>>,
    total: usize,
    /// Whether the task is running that closes what waited too long.
    is_swept: bool,
}

struct Idle {
    connection: Connection,
    since: Instant,
    until: Instant,
}

impl Idle {
    /// Not too old, and still open as far as the runtime has been told.
    fn is_good(&mut self, now: Instant) -> bool {
        // Whoever uses it next will poll it again; until then nobody waits for it.
        self.connection.driver.poll(&mut Context::from_waker(Waker::noop()));
        now < self.until && self.connection.is_usable()
    }
}

impl Pool {
    pub(super) fn new(limits: PoolLimits) -> Arc<Self> {
        Arc::new(Pool { limits, state: Mutex::default() })
    }

    /// The connection to `target` that was used last, if there is one in good order. That one is the least likely to
    /// have been closed by the other side, and leaves the others to grow old and be closed.
    pub(super) fn take(&self, target: &Target) -> Option<Connection> {
        let now = Instant::now();
        let mut state = self.lock();
        let State { idle, total, .. } = &mut *state;
        let waiting = idle.get_mut(target)?;
        let mut found = None;
        while found.is_none()
            && let Some(mut candidate) = waiting.pop()
        {
            *total -= 1;
            found = candidate.is_good(now).then_some(candidate.connection);
        }
        if waiting.is_empty() {
            idle.remove(target);
        }
        found.inspect(|connection| connection.watch.begin_exchange())
    }

    /// Keeps a connection whose answer has been read to its end, if it can take a request. `announced` is how long the
    /// destination said it would keep it.
    pub(super) async fn put(self: &Arc<Self>, target: Target, mut connection: Connection, announced: Option<Duration>) {
        if connection.is_ready().await {
            self.insert(target, connection, announced);
        }
    }

    fn insert(self: &Arc<Self>, target: Target, connection: Connection, announced: Option<Duration>) {
        let now = Instant::now();
        // Some servers say after how long they close (`Keep-Alive: timeout=5` is Node's default). A request that
        // crosses the closing is lost, so the connection is given up well before.
        let announced = announced.map_or(Duration::MAX, |announced| announced.mul_f64(0.8));
        let idle_until = now + self.limits.idle_timeout.min(announced);
        let until = idle_until.min(connection.opened_at + LIFE_MAX);
        if until <= now {
            return;
        }
        let mut state = self.lock();
        if state.total >= self.limits.idle_max {
            state.close_older_half(now);
        }
        let State { idle, total, is_swept } = &mut *state;
        let waiting = idle.entry(target).or_default();
        if waiting.len() >= self.limits.idle_per_target_max {
            waiting.remove(0);
            *total -= 1;
        }
        waiting.push(Idle { connection, since: now, until });
        *total += 1;
        if !*is_swept {
            *is_swept = true;
            let period = (self.limits.idle_timeout / 4).max(Duration::from_millis(10));
            tokio::spawn(sweep(Arc::downgrade(self), period));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn total(&self) -> usize {
        self.lock().total
    }
}

impl State {
    fn close(&mut self, mut is_kept: impl FnMut(&mut Idle) -> bool) {
        let mut total = 0;
        self.idle.retain(|_, waiting| {
            waiting.retain_mut(&mut is_kept);
            total += waiting.len();
            !waiting.is_empty()
        });
        self.total = total;
    }

    /// Makes room by closing what waits longer than half as long as the oldest one. Closing the oldest alone would mean
    /// a search through all of them for each connection.
    fn close_older_half(&mut self, now: Instant) {
        let Some(oldest) = self.idle.values().flatten().map(|idle| idle.since).min() else { return };
        let middle = oldest + (now - oldest) / 2;
        self.close(|idle| idle.since > middle);
    }
}

/// Closes what has waited too long, until nothing waits.
async fn sweep(pool: Weak<Pool>, period: Duration) {
    loop {
        tokio::time::sleep(period).await;
        let Some(pool) = pool.upgrade() else { return };
        let now = Instant::now();
        let mut state = pool.lock();
        state.close(|idle| idle.is_good(now));
        if state.total == 0 {
            // Under the same lock as the removal, so that no insertion can believe that it is still swept for.
            state.is_swept = false;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::pin::Pin;

    use tokio::io::{DuplexStream, ReadBuf};
    use tokio::net::{TcpListener, TcpStream};

    use super::super::socket::Socket;
    use super::*;

    const LIMITS: PoolLimits =
        PoolLimits { idle_timeout: Duration::from_secs(30), idle_per_target_max: 2, idle_max: 4 };

    fn target(host: &str) -> Target {
        Target { is_tls: false, host: host.to_owned(), port: 80 }
    }

    /// A connection with its other end.
    async fn connection() -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (other, _) = listener.accept().await.unwrap();
        let mut connection = Connection::open(Stream::Plain(Socket::new(stream))).await.unwrap();
        assert!(connection.is_ready().await);
        (connection, other)
    }

    /// Waits until the other end is closed.
    async fn closed(other: &mut TcpStream) {
        let mut buffer = [0];
        // End of file or a reset, either is an end.
        let _ = tokio::io::AsyncReadExt::read(other, &mut buffer).await;
    }

    /// A stream to somebody who stopped reading: it takes no more bytes and cannot be shut down cleanly.
    struct Clogged(DuplexStream);

    impl AsyncRead for Clogged {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(cx, buf)
        }
    }

    impl AsyncWrite for Clogged {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn a_dropped_connection_is_closed_at_once_though_it_cannot_be_shut_down() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut connection = Connection::over(Clogged(near), Arc::default()).await.unwrap();
        assert!(connection.is_ready().await);
        let request = Request::post("/").body(Full::new(Bytes::from_static(b"body"))).unwrap();
        {
            let mut sending = Box::pin(connection.send(request));
            for _ in 0..10 {
                assert!(sending.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            }
        }
        drop(connection);
        assert_eq!(tokio::io::AsyncReadExt::read(&mut far, &mut [0]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn gives_back_what_was_put_in_last_and_only_for_the_same_target() {
        let pool = Pool::new(LIMITS);
        let (first, _other) = connection().await;
        let (second, _another) = connection().await;
        let opened_at = second.opened_at;
        pool.put(target("a"), first, None).await;
        pool.put(target("a"), second, None).await;
        assert!(pool.take(&target("b")).is_none());
        assert_eq!(pool.take(&target("a")).unwrap().opened_at, opened_at);
        assert!(pool.take(&target("a")).is_some());
        assert!(pool.take(&target("a")).is_none());
        assert_eq!(pool.total(), 0);
    }

    #[tokio::test]
    async fn keeps_no_more_than_its_limits_and_closes_the_rest() {
        let pool = Pool::new(LIMITS);
        let mut others = Vec::new();
        for host in ["a", "a", "a", "b", "b", "c", "d", "e"] {
            let (connection, other) = connection().await;
            others.push(other);
            pool.put(target(host), connection, None).await;
            assert!(pool.total() <= LIMITS.idle_max);
        }
        closed(&mut others[0]).await;
        assert!(pool.take(&target("e")).is_some(), "the newest is kept");
    }

    #[tokio::test]
    async fn a_connection_that_the_other_side_closed_is_not_given_out() {
        let pool = Pool::new(LIMITS);
        let (connection, other) = connection().await;
        pool.put(target("a"), connection, None).await;
        drop(other);
        // Until the runtime has been told, it seems good.
        while let Some(connection) = pool.take(&target("a")) {
            pool.insert(target("a"), connection, None);
            tokio::task::yield_now().await;
        }
        assert_eq!(pool.total(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn idle_connections_are_closed_after_a_while_and_the_sweeper_ends() {
        let pool = Pool::new(LIMITS);
        let (connection, mut other) = connection().await;
        pool.put(target("a"), connection, None).await;
        closed(&mut other).await;
        while pool.lock().is_swept {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(pool.total(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_destination_announced_and_the_longest_life_end_it_sooner() {
        let pool = Pool::new(LIMITS);
        let (short, _other) = connection().await;
        pool.put(target("a"), short, Some(Duration::from_secs(5))).await;
        tokio::time::advance(Duration::from_millis(4_100)).await;
        assert!(pool.take(&target("a")).is_none(), "given up before the destination closes it");

        let (old, _another) = connection().await;
        tokio::time::advance(LIFE_MAX).await;
        pool.put(target("a"), old, None).await;
        assert!(pool.take(&target("a")).is_none());
    }
}
