//! Well-formed answers, by hyper.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::{Behaviour, Log, Received};

pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send>(
    stream: S,
    connection: usize,
    log: Arc<Log>,
    behaviour: Arc<Behaviour>,
) {
    let service = service_fn(|request| answer(request, connection, &log, &behaviour));
    // That the client breaks off is part of the game.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(
    request: Request<Incoming>,
    connection: usize,
    log: &Log,
    behaviour: &Behaviour,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        // A request that was broken off in its body has not arrived.
        return Ok(Response::builder().status(400).body(Full::default()).expect("a plain response"));
    };
    let received = Received {
        line: format!("{} {}", parts.method, parts.uri),
        headers: parts.headers,
        body: body.to_bytes(),
        at: Instant::now(),
        connection,
    };
    let answer = behaviour.answer(log.note(received));
    if let Behaviour::Delay(delay) = behaviour {
        tokio::time::sleep(*delay).await;
    }
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(name, value);
    }
    Ok(response.body(Full::new(answer.body)).expect("a valid answer in the script"))
}

/// A gzip file (RFC 1952) that unpacks to so many MiB of zeroes: one byte literally, then back references to it.
pub(super) fn gzip_of_zeroes(mebibytes: usize) -> Bytes {
    let mut bits = BitWriter::default();
    // One last block with fixed codes (RFC 1951, section 3.2.6).
    bits.put(1, 1);
    bits.put(1, 2);
    // The literal 0 has the code 00110000, codes are written from their highest bit.
    bits.put_code(0b0011_0000, 8);
    let mut left = mebibytes * 1024 * 1024 - 1;
    while left >= 258 {
        // Length 258 is code 285 without extra bits: 11000101. Distance 1 is code 0: 00000.
        bits.put_code(0b1100_0101, 8);
        bits.put_code(0, 5);
        left -= 258;
    }
    for _ in 0..left {
        bits.put_code(0b0011_0000, 8);
    }
    bits.put_code(0, 7);
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    file.extend(bits.bytes);
    // Nobody gets as far as the checksum.
    file.extend([0; 8]);
    file.into()
}

#[derive(Default)]
struct BitWriter {
    bytes: Vec<u8>,
    used: u32,
}

impl BitWriter {
    /// Appends `count` bits of `value`, the lowest first.
    fn put(&mut self, value: u32, count: u32) {
        for bit in 0..count {
            if self.used == 0 {
                self.bytes.push(0);
            }
            let last = self.bytes.len() - 1;
            self.bytes[last] |= u8::from(value >> bit & 1 == 1) << self.used;
            self.used = (self.used + 1) % 8;
        }
    }

    /// Appends a Huffman code of `count` bits, the highest first.
    fn put_code(&mut self, code: u32, count: u32) {
        for bit in (0..count).rev() {
            self.put(code >> bit & 1, 1);
        }
    }
}
