//! A client of the management API: JSON over one connection that is kept.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::answer::{AnswerHead, Malformed};
use crate::error::Error;

/// The API answers within milliseconds; a machine under full load takes a while longer.
const PATIENCE: Duration = Duration::from_secs(30);
/// An answer of the routes that are used here has a few hundred bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The status.
    pub(crate) status: u16,
    /// The body, `null` if there was none.
    pub(crate) body: Value,
}

/// A client with one connection.
#[derive(Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    key: Option<String>,
    stream: Option<TcpStream>,
}

impl Client {
    /// A client that has not connected yet. With a key, each request shows it.
    pub(crate) fn new(address: SocketAddr, key: Option<String>) -> Self {
        Client { address, key, stream: None }
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn call(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<Reply, Error> {
        let exchange = tokio::time::timeout(PATIENCE, self.exchange(method, path, body));
        let result = exchange.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        if result.is_err() {
            self.stream = None;
        }
        result.map_err(Error::io(format!("{method} http://{}{path}", self.address)))
    }

    async fn exchange(&mut self, method: &str, path: &str, body: Option<&Value>) -> io::Result<Reply> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let key = self.key.as_ref().map(|key| format!("Authorization: Bearer {key}\r\n")).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{key}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        let mut stream = match self.stream.take().filter(is_open) {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(self.address).await?;
                stream.set_nodelay(true)?;
                stream
            }
        };
        stream.write_all(request.as_bytes()).await?;
        let (head, bytes) = read_answer(&mut stream).await?;
        let content = bytes.get(head.head_bytes..head.bytes()).unwrap_or_default();
        if !head.is_last {
            self.stream = Some(stream);
        }
        Ok(Reply { status: head.status, body: serde_json::from_slice(content).unwrap_or(Value::Null) })
    }
}

/// A server may have closed the connection while it lay idle; then there is something to read, namely its end.
fn is_open(stream: &TcpStream) -> bool {
    matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

async fn read_answer(stream: &mut TcpStream) -> io::Result<(AnswerHead, Vec<u8>)> {
    let invalid = |error: Malformed| io::Error::new(io::ErrorKind::InvalidData, error);
    let mut bytes = Vec::with_capacity(4_096);
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(head) = AnswerHead::read(&bytes).map_err(invalid)?
            && bytes.len() >= head.bytes()
        {
            return Ok((head, bytes));
        }
        if bytes.len() > ANSWER_BYTES_MAX {
            return Err(invalid(Malformed::Size(ANSWER_BYTES_MAX)));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_connection_is_kept_and_made_anew_after_its_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let mut heads = Vec::new();
            // Two answers on the first connection, one on the second.
            for answers in [2, 1] {
                let (mut stream, _) = listener.accept().await.unwrap();
                for _ in 0..answers {
                    let mut bytes = vec![0; 4_096];
                    let read = stream.read(&mut bytes).await.unwrap();
                    heads.push(String::from_utf8_lossy(&bytes[..read]).into_owned());
                    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{\"a\":1}";
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            }
            heads
        });
        let mut client = Client::new(address, Some("secret".to_owned()));
        for _ in 0..2 {
            let reply = client.call("GET", "/one", None).await.unwrap();
            assert_eq!((reply.status, &reply.body["a"]), (200, &Value::from(1)));
        }
        // Wait until the end of the connection has arrived.
        client.stream.as_ref().unwrap().readable().await.unwrap();
        client.call("POST", "/two", Some(&Value::from("x"))).await.unwrap();
        let heads = server.await.unwrap();
        assert!(heads[0].contains("Authorization: Bearer secret\r\n"));
        assert!(heads[2].starts_with("POST /two HTTP/1.1\r\n") && heads[2].ends_with("\r\n\r\n\"x\""));
    }
}
