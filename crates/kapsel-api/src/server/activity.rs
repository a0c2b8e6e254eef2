//! Whether anything still happens on a connection.
//!
//! hyper ends an HTTP/1.1 connection whose next head does not come. It has no limit for a client that sends nothing at
//! all, opens HTTP/2 and asks for nothing, or never reads its answers. Each of them holds a place, so there is one rule for
//! all: a connection on which no request began and none was worked on for a while is ended.

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper_util::server::graceful::GracefulConnection;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long an idle connection may take to say good-bye. A client that reads nothing never does.
const FAREWELL_MAX: Duration = Duration::from_secs(5);

/// Counts the requests of one connection.
#[derive(Debug, Default)]
pub(super) struct Activity {
    begun: AtomicU64,
    ended: AtomicU64,
}

/// A request that is being worked on.
pub(super) struct Running(Arc<Activity>);

/// What an answer is told by that it is worked on beyond its head: whoever makes its body holds a clone, and as long as
/// there is one, the request counts as being worked on. It travels among the extensions of the answer.
#[derive(Clone, Default)]
pub(crate) struct LongAnswer(Arc<OnceLock<Running>>);

impl LongAnswer {
    /// Lets the request go on for as long as somebody holds a clone.
    pub(super) fn keep(self, running: Running) {
        // Set once: an answer passes here once.
        let _ = self.0.set(running);
    }
}

impl Activity {
    pub(super) fn begin(self: &Arc<Self>) -> Running {
        self.begun.fetch_add(1, Ordering::Relaxed);
        Running(Arc::clone(self))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// How long a connection may do nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// When its first request has to be there.
    pub(super) first_by: Instant,
    /// How long there may be none after that. The end comes after one to two times as long.
    pub(super) idle: Duration,
}

/// Drives a connection to its end. It is asked to end when nothing happens on it any more, or when the sender of `stopped`
/// is dropped; then requests that have arrived are still answered.
///
/// # Errors
/// Those of the connection.
pub(super) async fn drive<C: GracefulConnection>(
    connection: C,
    activity: &Activity,
    patience: Patience,
    stopped: &mut watch::Receiver<()>,
) -> Result<(), C::Error> {
    let mut connection = pin!(connection);
    let mut check = pin!(tokio::time::sleep_until(patience.first_by));
    let mut begun_before = 0;
    loop {
        tokio::select! {
            biased;
            result = connection.as_mut() => return result,
            // The sender is dropped when the program stops; nothing is ever sent.
            _ = stopped.changed() => {
                connection.as_mut().graceful_shutdown();
                return connection.await;
            }
            () = check.as_mut() => {}
        }
        // Requests begin in this task alone, so none does between here and the farewell; they may end in others.
        let ended = activity.ended.load(Ordering::Relaxed);
        let begun = activity.begun.load(Ordering::Relaxed);
        if begun == 0 {
            return Ok(());
        }
        if begun == begun_before && ended >= begun {
            return farewell(connection).await;
        }
        begun_before = begun;
        check.as_mut().reset(Instant::now() + patience.idle);
    }
}

async fn farewell<C: GracefulConnection>(mut connection: Pin<&mut C>) -> Result<(), C::Error> {
    connection.as_mut().graceful_shutdown();
    tokio::time::timeout(FAREWELL_MAX, connection).await.unwrap_or(Ok(()))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use http_body_util::Full;
    use hyper::Response;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::sync::Notify;
    use tokio::task::JoinHandle;

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    /// A served connection whose answers wait for a permit each; hyper itself has no time limits here.
    struct Driven {
        client: DuplexStream,
        done: JoinHandle<Result<(), hyper::Error>>,
        answer: Arc<Notify>,
        stop: watch::Sender<()>,
    }

    fn drive_one() -> Driven {
        let (client, server) = duplex(1024);
        let (stop, mut stopped) = watch::channel(());
        let answer = Arc::new(Notify::new());
        let waits = Arc::clone(&answer);
        let done = tokio::spawn(async move {
            let activity = Arc::new(Activity::default());
            let patience =
                Patience { first_by: Instant::now() + Duration::from_secs(30), idle: Duration::from_secs(75) };
            let service = service_fn(|_| {
                let running = activity.begin();
                let waits = Arc::clone(&waits);
                async move {
                    waits.notified().await;
                    drop(running);
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(vec![b'x'; 4_000]))))
                }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(server), service);
            drive(connection, &activity, patience, &mut stopped).await
        });
        Driven { client, done, answer, stop }
    }

    /// How many seconds pass until the connection is ended.
    async fn seconds_until_end(done: JoinHandle<Result<(), hyper::Error>>) -> u64 {
        let begin = Instant::now();
        tokio::time::timeout(Duration::from_secs(3_600), done).await.expect("it ends").unwrap().unwrap();
        begin.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_request_a_connection_ends_at_once() {
        let mut driven = drive_one();
        driven.client.write_all(&REQUEST[..10]).await.unwrap();
        assert_eq!(seconds_until_end(driven.done).await, 30);
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_ends_after_one_to_two_times_its_patience() {
        let mut driven = drive_one();
        driven.client.write_all(REQUEST).await.unwrap();
        driven.answer.notify_one();
        driven.client.read_exact(&mut [0; 4_000]).await.unwrap();
        assert_eq!(seconds_until_end(driven.done).await, 30 + 75);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_its_answer_is_cut_off() {
        let mut driven = drive_one();
        driven.client.write_all(REQUEST).await.unwrap();
        driven.answer.notify_one();
        assert_eq!(seconds_until_end(driven.done).await, 30 + 75 + FAREWELL_MAX.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_worked_on_keeps_its_connection() {
        let mut driven = drive_one();
        driven.client.write_all(REQUEST).await.unwrap();
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        assert!(!driven.done.is_finished());
        driven.answer.notify_one();
        driven.client.read_exact(&mut [0; 4_000]).await.unwrap();
        // A stop lets what is idle go.
        drop(driven.stop);
        assert_eq!(seconds_until_end(driven.done).await, 0);
    }
}
