//! Just enough of HTTP/1.1 to read what Kapsel sends, for the destinations that write their answers by hand.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::Instant;

use super::Received;

/// Reads the head of the next request. `None` when the client closes instead.
pub(super) async fn read_head(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    connection: usize,
) -> Option<Received> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = buffer.split_to(end);
    let head = std::str::from_utf8(&head).expect("Kapsel writes text in the tests");
    let mut lines = head.split("\r\n");
    let line = lines.next().expect("a request line").trim_end_matches(" HTTP/1.1").to_owned();
    let mut headers = HeaderMap::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').expect("a header line");
        let name: HeaderName = name.parse().expect("a header name");
        headers.append(name, HeaderValue::from_str(value.trim()).expect("a header value"));
    }
    Some(Received { line, headers, body: Bytes::new(), at: Instant::now(), connection })
}

/// Reads a whole request. `None` when the client closes instead.
pub(super) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    connection: usize,
) -> Option<Received> {
    let mut request = read_head(stream, buffer, connection).await?;
    let length: usize = request.header("content-length").expect("Kapsel sends a length").parse().expect("a number");
    while buffer.remaining() < length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    request.body = buffer.split_to(length).freeze();
    request.at = Instant::now();
    Some(request)
}
