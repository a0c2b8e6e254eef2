//! The accept loop. It only hands connections on: whatever a client can make slow happens in the task of its connection.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::connection::Edge;
use super::limits::Places;

/// How long to wait before accepting again when the system refuses (out of file descriptors, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often the log is told of addresses with too many connections: each refusal would let a client write the log full.
const REFUSAL_LOG_PAUSE: Duration = Duration::from_secs(60);

pub(super) struct AcceptLoop<'a> {
    listener: &'a TcpListener,
    edge: Arc<Edge>,
    places: Places,
    stopped: watch::Receiver<()>,
    refusal_told_at: Option<Instant>,
}

impl<'a> AcceptLoop<'a> {
    /// A loop whose connections begin to end when the sender of `stopped` is dropped.
    pub(super) fn new(listener: &'a TcpListener, edge: Edge, stopped: watch::Receiver<()>) -> Self {
        let settings = edge.settings();
        let places = Places::new(settings.connections_max, settings.connections_per_address_max);
        AcceptLoop { listener, edge: Arc::new(edge), places, stopped, refusal_told_at: None }
    }

    /// Puts the task of each connection into `connections` until `shutdown` comes.
    pub(super) async fn run(
        mut self,
        connections: &mut JoinSet<()>,
        mut shutdown: Pin<&mut (impl Future<Output = ()> + ?Sized)>,
    ) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut shutdown => return,
                accepted = self.accept() => accepted,
            };
            // Ended tasks are taken out here, or the set would grow with every connection there ever was.
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok((stream, addr, permit)) => self.begin(connections, stream, addr, permit),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "cannot accept connections");
                    tokio::select! {
                        () = &mut shutdown => return,
                        () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                    }
                }
            }
        }
    }

    /// The next connection, once there is room for one more.
    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let permit = self.places.wait_for_one().await?;
        let (stream, addr) = self.listener.accept().await?;
        Ok((stream, addr, permit))
    }

    fn begin(
        &mut self,
        connections: &mut JoinSet<()>,
        stream: TcpStream,
        addr: SocketAddr,
        permit: OwnedSemaphorePermit,
    ) {
        let peer = self.edge.peer(addr.ip());
        // Behind a proxy of ours there are many clients, and it has limits of its own.
        let limited = (!peer.is_trusted).then_some(peer.ip);
        let Some(place) = self.places.take(permit, limited) else {
            // Dropping the stream closes it: no answer is worth its cost here.
            self.tell_of_refusal(addr);
            return;
        };
        let serving = Arc::clone(&self.edge).serve(stream, peer, self.stopped.clone());
        connections.spawn(async move {
            serving.await;
            drop(place);
        });
    }

    fn tell_of_refusal(&mut self, addr: SocketAddr) {
        let now = Instant::now();
        if self.refusal_told_at.is_none_or(|at| now.duration_since(at) >= REFUSAL_LOG_PAUSE) {
            self.refusal_told_at = Some(now);
            tracing::warn!(
                address = %addr.ip(),
                limit = self.edge.settings().connections_per_address_max,
                "closed a connection of an address that has too many; if it is a proxy, list it as trusted"
            );
        }
    }
}

/// Whether an accept failed because of the connection, which was gone before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset
    )
}
