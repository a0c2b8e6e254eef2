//! The API on a real socket, and plain connections to it.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use kapsel_api::{ServerSettings, serve};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::App;

/// A served API.
pub(crate) struct Served {
    pub(crate) addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    done: JoinHandle<usize>,
}

impl Served {
    pub(crate) async fn new(app: &App, settings: ServerSettings, grace: Duration) -> Self {
        Served::router(app.router(), settings, grace).await
    }

    /// Serves other routes than all.
    pub(crate) async fn router(router: Router, settings: ServerSettings, grace: Duration) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async move {
            let _ = stopped.await;
        };
        let done = tokio::spawn(serve(listener, router, settings, shutdown, grace));
        Served { addr, stop: Some(stop), done }
    }

    pub(crate) async fn plain(app: &App) -> Self {
        Served::new(app, ServerSettings::default(), Duration::from_secs(30)).await
    }

    pub(crate) async fn connect(&self) -> Connection {
        Connection(TcpStream::connect(self.addr).await.unwrap())
    }

    /// A connection from another address of the loopback network.
    pub(crate) async fn connect_from(&self, ip: [u8; 4]) -> Connection {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((ip, 0).into()).unwrap();
        Connection(socket.connect(self.addr).await.unwrap())
    }

    /// Begins the shutdown.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits for the end of the shutdown.
    pub(crate) async fn done(self) -> usize {
        drop(self.stop);
        self.done.await.unwrap()
    }
}

/// One connection, on which a test writes what it likes.
pub(crate) struct Connection<S = TcpStream>(pub(crate) S);

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Reads one answer with a `Content-Length`: its head and its body.
    pub(crate) async fn answer(&mut self) -> (String, String) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.expect("an answer"));
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        self.0.read_exact(&mut body).await.unwrap();
        (head, String::from_utf8(body).unwrap())
    }

    /// Waits until the other side closes; returns what came before.
    pub(crate) async fn closed(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset is a way of closing too.
        let _ = self.0.read_to_end(&mut rest).await;
        rest
    }
}
