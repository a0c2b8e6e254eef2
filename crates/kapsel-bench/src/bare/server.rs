//! A server that does what any receiver of webhooks has to do, and no more: it reads the body, checks the signature, and
//! answers as Kapsel does. It stores nothing.

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::serve::ListenerExt as _;
use tokio::net::TcpSocket;

use crate::error::Error;
use crate::load::bodies::{SIGNATURE_HEADER, is_signed};

/// The path that takes webhooks.
pub(crate) const PATH: &str = "/ingest/bare";
/// What it says before its address.
pub(crate) const GREETING: &str = "Listening on ";
const BACKLOG: u32 = 4_096;

/// Serves until it is killed, which happens at the latest when the tool ends.
pub(crate) fn run() -> Result<(), Error> {
    let runtime = tokio::runtime::Runtime::new().map_err(Error::io("starting the bare server"))?;
    runtime.block_on(async {
        let socket = TcpSocket::new_v4().map_err(Error::io("making a socket"))?;
        socket.bind(([127, 0, 0, 1], 0).into()).map_err(Error::io("binding a port"))?;
        let listener = socket.listen(BACKLOG).map_err(Error::io("listening"))?;
        let address = listener.local_addr().map_err(Error::io("listening"))?;
        println!("{GREETING}{address}");
        let listener = listener.tap_io(|stream| {
            // Without it answers come late, and the figures show it.
            let _slower = stream.set_nodelay(true);
        });
        axum::serve(listener, router()).await.map_err(Error::io("serving"))
    })
}

fn router() -> Router {
    Router::new().route(PATH, post(ingest)).layer(DefaultBodyLimit::disable())
}

async fn ingest(headers: HeaderMap, body: Bytes) -> Response {
    let signature = headers.get(SIGNATURE_HEADER).map(|value| value.as_bytes()).unwrap_or_default();
    if !is_signed(&body, signature) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let answer = "{\"event_id\":\"evt_01h455vb4pex5vsknk084sn02q\",\"status\":\"received\"}";
    ([(header::CONTENT_TYPE, "application/json")], answer).into_response()
}
