//! Answers that no HTTP library would write.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Behaviour, Log, request};

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n";

/// Serves one connection until either side has had enough.
pub(super) async fn serve(
    mut stream: TcpStream,
    connection: usize,
    log: &Log,
    behaviour: &Behaviour,
) -> io::Result<()> {
    match behaviour {
        Behaviour::ResetAfterAccept => return stream.set_zero_linger(),
        Behaviour::Deaf => return std::future::pending().await,
        _ => {}
    }
    let mut buffer = BytesMut::new();
    if let Behaviour::AnswerEarly(status) = behaviour {
        let Some(request) = request::read_head(&mut stream, &mut buffer, connection).await else { return Ok(()) };
        log.note(request);
        let answer = format!("HTTP/1.1 {status} Early\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await?;
        return std::future::pending().await;
    }
    while let Some(request) = request::read(&mut stream, &mut buffer, connection).await {
        log.note(request);
        answer(&mut stream, behaviour).await?;
        if !matches!(behaviour, Behaviour::Hang) {
            return Ok(());
        }
    }
    Ok(())
}

async fn answer(stream: &mut TcpStream, behaviour: &Behaviour) -> io::Result<()> {
    match behaviour {
        Behaviour::Drip(period) => {
            stream.write_all(HEAD).await?;
            stream.write_all(b"content-length: 1000000\r\n\r\n").await?;
            for _ in 0..1_000_000 {
                stream.write_all(b".").await?;
                tokio::time::sleep(*period).await;
            }
            Ok(())
        }
        Behaviour::DripHead(period) => {
            let value_without_end = std::iter::repeat(b'.');
            for byte in HEAD.iter().copied().chain(*b"x-slow: ").chain(value_without_end) {
                stream.write_all(&[byte]).await?;
                tokio::time::sleep(*period).await;
            }
            Ok(())
        }
        Behaviour::EndlessBody => {
            stream.write_all(HEAD).await?;
            stream.write_all(b"transfer-encoding: chunked\r\n\r\n").await?;
            let mut chunk = b"10000\r\n".to_vec();
            chunk.resize(chunk.len() + 0x10000, b'x');
            chunk.extend(b"\r\n");
            without_end(stream, &chunk).await
        }
        Behaviour::ResetAfterHeaders => {
            stream.write_all(HEAD).await?;
            stream.write_all(b"content-length: 10\r\n\r\n").await?;
            // The reset must not overtake the head: a reset throws away what the other side has not read yet. That it
            // was read shows in the window, but not to a program; that the peer has acknowledged it is near enough.
            acknowledged(stream).await?;
            stream.set_zero_linger()
        }
        Behaviour::InformationalFlood => without_end(stream, &b"HTTP/1.1 100 Continue\r\n\r\n".repeat(100)).await,
        Behaviour::Garbage => stream.write_all(b"SSH-2.0-OpenSSH_9.9\r\n\0\x01\x02\xff garbage\r\n\r\n").await,
        Behaviour::BadChunking => {
            stream.write_all(HEAD).await?;
            stream.write_all(b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\nnot a length\r\n").await
        }
        Behaviour::TruncatedBody => {
            stream.write_all(HEAD).await?;
            stream.write_all(b"content-length: 100\r\n\r\nonly this").await
        }
        Behaviour::HugeHeaders => {
            stream.write_all(HEAD).await?;
            without_end(stream, &[b"x-more: ", &b"x".repeat(1_000)[..], b"\r\n"].concat()).await
        }
        Behaviour::CloseKeepAlive => {
            stream.write_all(HEAD).await?;
            stream.write_all(b"connection: keep-alive\r\ncontent-length: 2\r\n\r\nok").await
        }
        // `LostAnswer` closes, `Hang` goes on reading; neither says anything.
        _ => Ok(()),
    }
}

/// Writes `bytes` again and again. The client ends it.
async fn without_end(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    loop {
        stream.write_all(bytes).await?;
    }
}

/// Waits until the client has taken note of everything written so far: until it closes, or for so long as a head needs
/// on a loopback interface many times over.
async fn acknowledged(stream: &mut TcpStream) -> io::Result<()> {
    let mut rest = [0; 64];
    let _ = tokio::time::timeout(std::time::Duration::from_millis(100), stream.read(&mut rest)).await;
    Ok(())
}
