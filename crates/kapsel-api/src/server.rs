//! The accept loop: connections in, requests to the router, an orderly end.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tower_service::Service as _;

use crate::settings::ServerSettings;

/// How long to wait before accepting again when the system refuses (out of file descriptors, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The smallest buffer of a connection; large bodies are read in pieces of up to this size.
const BUFFER_BYTES_MIN: usize = 128 * 1024;

/// Serves `router` on `listener` until `shutdown` comes. Then accepts no more connections, answers the requests that
/// have arrived, and returns when all of that is done, or after `grace`. Returns how many connections were cut off.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    settings: ServerSettings,
    shutdown: impl Future<Output = ()>,
    grace: Duration,
) -> usize {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(settings.header_read_timeout)
        .max_header_size(settings.header_bytes_max)
        .max_buf_size(settings.header_bytes_max.max(BUFFER_BYTES_MIN));
    let (stop, stopped) = watch::channel(());
    let free = Arc::new(Semaphore::new(settings.connections_max));
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);

    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = accept(&listener, &free) => accepted,
        };
        // Ended tasks are taken out here, or the set would grow with every connection there ever was.
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, permit)) => {
                let connection = serve_connection(stream, http.clone(), router.clone(), stopped.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept connections");
                tokio::select! {
                    () = &mut shutdown => break,
                    () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                }
            }
        }
    }

    drop(listener);
    drop(stop);
    let all_done = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(grace, all_done).await.is_ok() {
        return 0;
    }
    let cut_off = connections.len();
    tracing::warn!(connections = cut_off, "requests did not end in time");
    connections.shutdown().await;
    cut_off
}

/// The next connection, once there is room for one more.
async fn accept(listener: &TcpListener, free: &Arc<Semaphore>) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(free).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, permit))
}

/// Whether an accept failed because of the connection, which was gone before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset
    )
}

async fn serve_connection(stream: TcpStream, http: http1::Builder, router: Router, mut stopped: watch::Receiver<()>) {
    // Answers are small and written whole; waiting for more to send would only delay them.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: hyper::Request<Incoming>| router.clone().call(request));
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    let result = tokio::select! {
        biased;
        result = connection.as_mut() => result,
        // The sender is dropped when the program stops; nothing is ever sent.
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "connection ended early");
    }
}
