//! One connection of the load: a request, its answer, the next request.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Job;
use super::in_flight::InFlight;
use super::outcome::{Counts, Failure};
use super::tickets::Tickets;
use crate::http::answer::AnswerHead;

/// Answers have some hundred bytes.
const ANSWER_BYTES_MAX: usize = 8_192;
/// Before the next try when no connection can be made.
const RECONNECT: Duration = Duration::from_millis(50);
/// How much of a refusal is kept.
const REFUSAL_BYTES_MAX: usize = 600;

/// What the connections of a load share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) job: Job,
    pub(super) tickets: Rc<Tickets>,
    pub(super) counts: RefCell<Counts>,
    pub(super) in_flight: Rc<[InFlight]>,
}

/// Sends until the load is over.
pub(super) async fn drive(shared: Rc<Shared>, number: usize) {
    let Some(in_flight) = shared.in_flight.get(number) else { return };
    let mut request = Vec::new();
    let mut answer = vec![0; ANSWER_BYTES_MAX];
    let mut open = None;
    loop {
        // A ticket is taken with a connection in hand: in a closed loop, connecting is no part of the latency.
        let mut stream = match open.take() {
            Some(stream) => stream,
            None => match connect(&shared, in_flight).await {
                Some(stream) => stream,
                None => return,
            },
        };
        let Some(ticket) = shared.tickets.next().await else { return };
        shared.job.requests.compose(ticket.sequence, &mut request);
        in_flight.begin(shared.job.ledger.clock().now_us());
        let exchanged = exchange(&mut stream, &request, &mut answer).await;
        let now_us = shared.job.ledger.clock().now_us();
        in_flight.end();
        match exchanged {
            Ok(head) => {
                if head.status == 200 {
                    shared.job.ledger.answered(ticket.sequence, now_us);
                }
                shared.counts.borrow_mut().answer(head.status, || text(&answer, head.bytes()));
                if !head.is_last {
                    open = Some(stream);
                    continue;
                }
            }
            Err(error) => {
                let failure = match error.kind() {
                    _ if in_flight.is_late() => Failure::Timeout,
                    io::ErrorKind::InvalidData => Failure::Malformed,
                    _ => Failure::Reset,
                };
                shared.counts.borrow_mut().failure(failure);
            }
        }
        in_flight.disconnected();
    }
}

/// A connection, tried for again and again; nothing if the load is over before there is one.
async fn connect(shared: &Shared, in_flight: &InFlight) -> Option<TcpStream> {
    while !shared.tickets.is_over() {
        let connected = async {
            let stream = TcpStream::connect(shared.job.target).await?;
            stream.set_nodelay(true)?;
            in_flight.connected(&stream)?;
            io::Result::Ok(stream)
        };
        match tokio::time::timeout(shared.job.timeout, connected).await {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err(_)) | Err(_) => shared.counts.borrow_mut().failure(Failure::Connect),
        }
        tokio::time::sleep(RECONNECT).await;
    }
    None
}

/// One write, and as many reads as the answer takes, which is one.
async fn exchange(stream: &mut TcpStream, request: &[u8], answer: &mut [u8]) -> io::Result<AnswerHead> {
    stream.write_all(request).await?;
    let mut filled = 0;
    loop {
        let room = answer.get_mut(filled..).unwrap_or_default();
        let read = stream.read(room).await?;
        if read == 0 {
            let is_full = filled == answer.len();
            return Err(if is_full { io::ErrorKind::InvalidData } else { io::ErrorKind::UnexpectedEof }.into());
        }
        filled += read;
        let bytes = answer.get(..filled).unwrap_or_default();
        let head = AnswerHead::read(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if let Some(head) = head
            && filled >= head.bytes()
        {
            return Ok(head);
        }
    }
}

fn text(answer: &[u8], bytes: usize) -> String {
    let shown = answer.get(..bytes.min(REFUSAL_BYTES_MAX)).unwrap_or_default();
    String::from_utf8_lossy(shown).into_owned()
}
