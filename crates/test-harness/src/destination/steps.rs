//! Connections that are played step by step, for answers that no HTTP library would write.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{Log, request};

/// One thing that a destination does on a connection. Behind the last step it reads on until the client closes, so
/// that a connection which stays open is one that the client left open.
#[derive(Debug, Clone)]
pub enum Step {
    /// Reads a whole request and notes it.
    Request,
    /// Reads the head of a request, leaves its body, and notes it.
    RequestHead,
    /// Reads whatever comes first and throws it away: the beginning of a TLS handshake, say.
    Something,
    /// Sends these bytes.
    Send(Bytes),
    /// Sends these bytes again and again, as fast as they are taken.
    SendForever(Bytes),
    /// Sends these bytes again and again, one in each period.
    Drip(Bytes, Duration),
    /// Gives the client time to read what was sent, before something follows that could overtake it.
    Settle,
    /// Does nothing, not even read, until [`Destination::release`](super::Destination::release) is called.
    Hold,
    /// Says that nothing more will come, and reads on.
    Finish,
    /// Closes in the ordinary way.
    Close,
    /// Closes with a reset.
    Reset,
}

impl Step {
    /// Sends these bytes.
    pub fn send(bytes: impl Into<Bytes>) -> Self {
        Step::Send(bytes.into())
    }
}

/// Many times as long as a client needs to read what has come over a loopback interface. That it has been read cannot
/// be seen from here, and a reset throws away what has not.
const SETTLE: Duration = Duration::from_millis(200);

/// How the last step leaves the connection.
pub(super) enum End {
    Close,
    Reset,
}

/// Plays `steps` on one connection. An error means that the client broke off, which is part of the game.
pub(super) async fn play(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    connection: usize,
    log: &Log,
    steps: &[Step],
) -> io::Result<End> {
    let mut buffer = BytesMut::new();
    for step in steps {
        match step {
            Step::Request => {
                let Some(request) = request::read(stream, &mut buffer, connection).await else {
                    return Ok(End::Close);
                };
                log.note(request);
            }
            Step::RequestHead => {
                let Some(request) = request::read_head(stream, &mut buffer, connection).await else {
                    return Ok(End::Close);
                };
                log.note(request);
            }
            Step::Something => {
                stream.read_buf(&mut buffer).await?;
                buffer.clear();
            }
            Step::Send(bytes) => {
                stream.write_all(bytes).await?;
                // A TLS stream keeps back what it could not write at once.
                stream.flush().await?;
            }
            Step::SendForever(bytes) => loop {
                stream.write_all(bytes).await?;
            },
            Step::Drip(bytes, period) => {
                for byte in bytes.iter().cycle() {
                    stream.write_all(&[*byte]).await?;
                    stream.flush().await?;
                    tokio::time::sleep(*period).await;
                }
            }
            Step::Settle => tokio::time::sleep(SETTLE).await,
            Step::Hold => log.released().await,
            Step::Finish => stream.shutdown().await?,
            Step::Close => return Ok(End::Close),
            Step::Reset => return Ok(End::Reset),
        }
    }
    // Large, so that what is left of a large request is read in no time.
    buffer.reserve(64 * 1024);
    loop {
        buffer.clear();
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(End::Close);
        }
    }
}
