//! Request bodies that arrive in pieces, never end, or break off.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::Frame;
use tokio::sync::mpsc;

/// What a body does after its pieces.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End {
    /// It ends.
    Whole,
    /// It waits for ever.
    Stuck,
    /// It breaks off.
    Broken,
}

struct Pieces {
    pieces: VecDeque<Bytes>,
    end: End,
}

/// A body of unknown length, as with chunked encoding.
pub(crate) fn in_pieces(pieces: impl IntoIterator<Item = impl Into<Bytes>>, end: End) -> Body {
    Body::new(Pieces { pieces: pieces.into_iter().map(Into::into).collect(), end })
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match (self.pieces.pop_front(), self.end) {
            (Some(piece), _) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            (None, End::Whole) => Poll::Ready(None),
            (None, End::Stuck) => Poll::Pending,
            (None, End::Broken) => Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into()))),
        }
    }
}

/// A body whose pieces the test sends one by one. A piece stays in the channel, which holds one, until it is read.
pub(crate) fn by_hand() -> (mpsc::Sender<Bytes>, Body) {
    let (sender, receiver) = mpsc::channel(1);
    (sender, Body::new(ByHand(receiver)))
}

struct ByHand(mpsc::Receiver<Bytes>);

impl http_body::Body for ByHand {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}
