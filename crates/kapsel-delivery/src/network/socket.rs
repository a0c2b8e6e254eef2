//! The socket of a connection, with three habits that neither tokio nor hyper have.
//!
//! **It can look for itself.** tokio remembers what the system reported about a socket and does not ask again while
//! nothing was reported, and a report is as late as the program is busy. That is too late for a connection that is about
//! to be used again: the request would be written, and an answer that was there before it, to which nobody had asked
//! the question, would be taken for its own. So the system is asked once more at that moment. What comes later cannot
//! be told from an answer, by no client.
//!
//! **It does not read without end.** HTTP and TLS have forms that say nothing and may be repeated for ever: zeroes in
//! front of a chunk's size, say. Their sum is limited, so that none of them keeps a processor busy until the deadline.
//!
//! **It hears the other side out.** A destination may answer before it has read the request, "413" or "410" say, and
//! close. Then writing the rest fails, while the answer lies there unread. hyper would give up at the failed write; here
//! the write is left undone, and what reading comes to decides: an answer, or the end of the connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// How many bytes are read for one exchange, whatever they are. The longest answer that is read to its end has less than
/// 5 MiB: 64 interim answers and a final one with heads of 64 KiB, and 64 KiB of body in chunks of one byte.
const EXCHANGE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A TCP stream with its watch.
pub(super) struct Socket {
    stream: TcpStream,
    watch: Arc<Watch>,
    /// Whether a write has failed because the other side is gone.
    is_written_off: bool,
}

/// What the user of a connection tells its socket, wherever the socket is by then.
#[derive(Default)]
pub(super) struct Watch {
    has_to_look: AtomicBool,
    read_bytes: AtomicUsize,
}

impl Watch {
    /// Another exchange begins.
    pub(super) fn begin_exchange(&self) {
        self.read_bytes.store(0, Ordering::Relaxed);
        self.has_to_look.store(true, Ordering::Relaxed);
    }
}

impl Socket {
    pub(super) fn new(stream: TcpStream) -> Self {
        Socket { stream, watch: Arc::default(), is_written_off: false }
    }

    pub(super) fn watch(&self) -> Arc<Watch> {
        Arc::clone(&self.watch)
    }

    /// Reads what the system has, without asking tokio. `None` if it has nothing.
    fn look(&self, buf: &mut ReadBuf<'_>) -> Option<io::Result<()>> {
        match recv(&self.stream, buf.initialize_unfilled(), RecvFlags::DONTWAIT) {
            Ok((_, count)) => {
                buf.advance(count);
                Some(Ok(()))
            }
            Err(Errno::AGAIN | Errno::INTR) => None,
            Err(error) => Some(Err(error.into())),
        }
    }

    fn write(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        use io::ErrorKind::{BrokenPipe, ConnectionReset};
        if self.is_written_off {
            return Poll::Pending;
        }
        match write(Pin::new(&mut self.stream), cx) {
            Poll::Ready(Err(error)) if matches!(error.kind(), BrokenPipe | ConnectionReset) => {
                self.is_written_off = true;
                // Once, so that reading is tried. It comes to an end by itself: nothing more can arrive.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            written => written,
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let mut read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if read.is_pending()
            && self.watch.has_to_look.swap(false, Ordering::Relaxed)
            && let Some(seen) = self.look(buf)
        {
            read = Poll::Ready(seen);
        }
        ready!(read)?;
        let count = buf.filled().len() - before;
        if self.watch.read_bytes.fetch_add(count, Ordering::Relaxed) + count > EXCHANGE_BYTES_MAX {
            return Poll::Ready(Err(io::Error::other("it goes on without end")));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, |stream, cx| stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::task::Waker;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// A socket with its other end, which does not know of tokio.
    async fn pair() -> (Socket, std::net::TcpStream) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Socket::new(stream), listener.accept().unwrap().0)
    }

    fn poll(socket: &mut Socket) -> Option<Vec<u8>> {
        let mut bytes = [0; 16];
        let mut buf = ReadBuf::new(&mut bytes);
        match Pin::new(socket).poll_read(&mut Context::from_waker(Waker::noop()), &mut buf) {
            Poll::Ready(read) => read.map(|()| Some(buf.filled().to_vec())).unwrap(),
            Poll::Pending => None,
        }
    }

    /// Waits until something can be read, in a way that tokio does not notice.
    fn arrived(socket: &Socket) {
        let stream = std::net::TcpStream::from(socket.stream.as_fd().try_clone_to_owned().unwrap());
        while stream.peek(&mut [0]).is_err() {
            std::thread::yield_now();
        }
    }

    #[tokio::test]
    async fn what_has_come_is_seen_before_tokio_knows_of_it() {
        let (mut socket, mut other) = pair().await;
        socket.watch.begin_exchange();
        assert_eq!(poll(&mut socket), None, "there is nothing to see");

        other.write_all(b"unasked").unwrap();
        arrived(&socket);
        assert_eq!(poll(&mut socket), None, "nobody has told tokio");
        socket.watch.begin_exchange();
        assert_eq!(poll(&mut socket).unwrap(), b"unasked");
        assert_eq!(poll(&mut socket), None);

        drop(other);
        arrived(&socket);
        socket.watch.begin_exchange();
        assert_eq!(poll(&mut socket).unwrap(), b"", "the end is seen as well");
    }

    #[tokio::test]
    async fn what_is_read_for_one_exchange_is_limited() {
        let (mut socket, mut other) = pair().await;
        let writer = std::thread::spawn(move || {
            let bytes = vec![0; 64 * 1024];
            while other.write_all(&bytes).is_ok() {}
        });
        let mut buffer = vec![0; EXCHANGE_BYTES_MAX];
        for _ in 0..3 {
            socket.watch.begin_exchange();
            socket.read_exact(&mut buffer).await.unwrap();
        }
        assert_eq!(socket.read_exact(&mut buffer).await.unwrap_err().to_string(), "it goes on without end");
        drop(socket);
        writer.join().unwrap();
    }

    #[tokio::test]
    async fn an_answer_is_read_though_the_question_cannot_be_written() {
        let (mut socket, mut other) = pair().await;
        socket.write_all(b"question").await.unwrap();
        other.write_all(b"answer").unwrap();
        // With the question unread, this is a reset.
        drop(other);
        while !socket.is_written_off {
            let mut cx = Context::from_waker(Waker::noop());
            assert!(!matches!(Pin::new(&mut socket).poll_write(&mut cx, b"more"), Poll::Ready(Err(_))));
            tokio::task::yield_now().await;
        }
        let mut read = Vec::new();
        // How the connection ends is told by reading: as a reset or, where writing was told already, as an end.
        let _ = socket.read_to_end(&mut read).await;
        assert_eq!(read, b"answer");
    }
}
