//! The HTTP server: connections in, requests to the router, an orderly end.
//!
//! `accept` takes connections in, `limits` says how many, `connection` serves one, `http` holds what each version of HTTP
//! is allowed, `activity` knows whether anything still happens on a connection, and `tls` holds certificates.

mod accept;
pub(crate) mod activity;
mod connection;
mod http;
mod limits;
pub(crate) mod tls;

use std::pin::pin;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::accept::AcceptLoop;
use self::connection::Edge;
use crate::settings::ServerSettings;

/// Serves `router` on `listener` until `shutdown` comes. Then accepts no more connections, answers the requests that
/// have arrived, and returns when all of that is done, or after `grace`. Returns how many connections were cut off.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    settings: ServerSettings,
    shutdown: impl Future<Output = ()>,
    grace: Duration,
) -> usize {
    let (stop, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    AcceptLoop::new(&listener, Edge::new(router, settings), stopped).run(&mut connections, pin!(shutdown)).await;

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
