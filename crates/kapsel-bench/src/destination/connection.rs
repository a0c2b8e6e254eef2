//! One connection to the destination.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::http::incoming::IncomingHead;
use crate::ledger::Ledger;

/// Room for a request of the usual size; it grows for larger ones.
const ROOM_BYTES: usize = 8_192;
/// Larger than any body that Kapsel takes with its default settings, and its head.
const REQUEST_BYTES_MAX: usize = 16 << 20;
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const NOT_UNDERSTOOD: &[u8] = b"HTTP/1.1 501 Not Implemented\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// Serves requests until the other side has no more, or something is no request.
pub(super) async fn serve(mut stream: TcpStream, ledger: Arc<Ledger>, delay: Duration) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let mut bytes = vec![0; ROOM_BYTES];
    let mut filled = 0;
    loop {
        let head = match IncomingHead::read(bytes.get(..filled).unwrap_or_default()) {
            Ok(head) => head,
            Err(_) => return refuse(stream, &ledger).await,
        };
        if let Some(head) = head.filter(|head| head.bytes() <= filled) {
            let now_us = ledger.clock().now_us();
            match head.sequence {
                Some(sequence) => ledger.received(sequence, now_us),
                None => ledger.stranger(),
            }
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            if stream.write_all(ANSWER).await.is_err() || head.is_last {
                return;
            }
            // Nobody sends a second request before the first is answered, so nothing is usually left to be moved.
            bytes.copy_within(head.bytes()..filled, 0);
            filled -= head.bytes();
            if filled > 0 {
                continue;
            }
        } else {
            let needed = head.map_or(filled + 1, |head| head.bytes());
            if needed > REQUEST_BYTES_MAX {
                return refuse(stream, &ledger).await;
            }
            if needed > bytes.len() {
                bytes.resize(needed.next_power_of_two(), 0);
            }
        }
        let Some(room) = bytes.get_mut(filled..) else { return };
        match stream.read(room).await {
            Ok(0) | Err(_) => return,
            Ok(read) => filled += read,
        }
    }
}

async fn refuse(mut stream: TcpStream, ledger: &Ledger) {
    ledger.stranger();
    // The other side sees the status or the end of the connection; either way it knows.
    let _already_closed = stream.write_all(NOT_UNDERSTOOD).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::Destination;

    /// Sends bytes in pieces, and returns everything that comes back until the connection ends.
    async fn answers(ledger: &Arc<Ledger>, pieces: &[&str]) -> String {
        let destination = Destination::start(Arc::clone(ledger), [127, 0, 0, 1].into(), Duration::ZERO).unwrap();
        let mut stream = TcpStream::connect(destination.address()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        for piece in pieces {
            stream.write_all(piece.as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
        }
        stream.shutdown().await.unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        destination.stop().await.unwrap();
        said
    }

    #[tokio::test]
    async fn requests_are_noted_however_they_are_cut() {
        let ledger = Arc::new(Ledger::new());
        for _ in 0..3 {
            ledger.issue(1);
        }
        let one = "POST / HTTP/1.1\r\nX-Bench-Sequence: 000000000000\r\nContent-Length: 3\r\n\r\nabc";
        let two = "POST / HTTP/1.1\r\nX-Bench-Sequence: 000000000002\r\nContent-Length: 20000\r\n\r\n";
        let large = "x".repeat(20_000);
        let said = answers(&ledger, &[&one[..30], &one[30..], two, &large, "GET / HTTP/1.1\r\n\r\n", one]).await;
        assert_eq!(said.matches("200 OK").count(), 4);
        assert_eq!((ledger.received_count(), ledger.stranger_count()), (2, 1));
        assert_eq!(ledger.repetitions_us().len(), 1);
        let received: Vec<bool> = ledger.events().map(|event| event.received_us.is_some()).collect();
        assert_eq!(received, [true, false, true]);
    }

    #[tokio::test]
    async fn what_is_no_request_is_refused() {
        let ledger = Arc::new(Ledger::new());
        assert!(answers(&ledger, &["hello\r\n\r\n"]).await.starts_with("HTTP/1.1 501"));
        let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert!(answers(&ledger, &[chunked]).await.starts_with("HTTP/1.1 501"));
        assert_eq!(ledger.stranger_count(), 2);
    }
}
