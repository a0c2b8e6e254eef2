//! What became of each event: when it was to be sent, when it was answered 200, when the destination first had it.
//!
//! The thread that sends and the thread that receives write into it, each its own columns; nobody waits for anybody. After
//! the run everything is computed from it: which events were lost or came twice, every rate and every latency.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::clock::Clock;
use crate::rounding::index;

/// Events of one chunk; 768 KiB of memory.
const CHUNK: u64 = 1 << 16;
/// Chunks are made when they are needed; this many bound the ledger to 67 million events.
const CHUNKS: usize = 1 << 10;
/// Stands for "has not happened".
const NEVER: u32 = 0;

/// One event. Times are microseconds of the ledger's clock, which 32 bits hold for 71 minutes.
#[derive(Debug, Default)]
struct Row {
    intended_us: AtomicU32,
    answered_us: AtomicU32,
    received_us: AtomicU32,
}

/// What became of one event, in microseconds of the ledger's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Event {
    /// When it was to be sent.
    pub(crate) intended_us: u32,
    /// When its answer 200 was there.
    pub(crate) answered_us: Option<u32>,
    /// When the destination first had its last byte.
    pub(crate) received_us: Option<u32>,
}

/// The ledger of one run.
#[derive(Debug)]
pub(crate) struct Ledger {
    clock: Clock,
    chunks: Box<[OnceLock<Box<[Row]>>]>,
    issued: AtomicU64,
    accepted: AtomicU64,
    received: AtomicU64,
    /// When events came that had come before. Rare, so a lock does not matter.
    repetitions_us: Mutex<Vec<u32>>,
    strangers: AtomicU64,
}

impl Ledger {
    /// The longest run that it can hold, in seconds.
    pub(crate) const SECONDS_MAX: u64 = 4_290;

    /// An empty one, whose clock begins now.
    pub(crate) fn new() -> Self {
        Ledger {
            clock: Clock::start(),
            chunks: (0..CHUNKS).map(|_| OnceLock::new()).collect(),
            issued: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            received: AtomicU64::new(0),
            repetitions_us: Mutex::new(Vec::new()),
            strangers: AtomicU64::new(0),
        }
    }

    /// Its clock.
    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    /// Opens the row of the next event and returns its sequence number; nothing if the ledger is full. Called by one thread.
    pub(crate) fn issue(&self, intended_us: u64) -> Option<u64> {
        let sequence = self.issued.load(Relaxed);
        let chunk = self.chunks.get(index(sequence / CHUNK))?;
        let rows = chunk.get_or_init(|| (0..CHUNK).map(|_| Row::default()).collect());
        rows.get(index(sequence % CHUNK))?.intended_us.store(stamp(intended_us), Relaxed);
        self.issued.store(sequence + 1, Relaxed);
        Some(sequence)
    }

    /// The event was answered with 200. Called by the thread that issues.
    pub(crate) fn answered(&self, sequence: u64, now_us: u64) {
        if let Some(row) = self.row(sequence) {
            row.answered_us.store(stamp(now_us), Relaxed);
            add_one(&self.accepted);
        }
    }

    /// The destination has the event. Called by the one thread that receives.
    pub(crate) fn received(&self, sequence: u64, now_us: u64) {
        let Some(row) = self.row(sequence) else { return self.stranger() };
        if row.received_us.load(Relaxed) == NEVER {
            row.received_us.store(stamp(now_us), Relaxed);
            add_one(&self.received);
        } else {
            self.repetitions_us.lock().unwrap_or_else(PoisonError::into_inner).push(stamp(now_us));
        }
    }

    /// The destination has something that was never sent. Called by the one thread that receives.
    pub(crate) fn stranger(&self) {
        add_one(&self.strangers);
    }

    /// How many events were issued.
    pub(crate) fn issued_count(&self) -> u64 {
        self.issued.load(Relaxed)
    }

    /// How many were answered with 200.
    pub(crate) fn accepted_count(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// How many different ones the destination has.
    pub(crate) fn received_count(&self) -> u64 {
        self.received.load(Relaxed)
    }

    /// How many requests came to the destination that bore no number of an event.
    pub(crate) fn stranger_count(&self) -> u64 {
        self.strangers.load(Relaxed)
    }

    /// When events came that had come before.
    pub(crate) fn repetitions_us(&self) -> Vec<u32> {
        self.repetitions_us.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many requests with events came to the destination, repetitions included.
    pub(crate) fn arrival_count(&self) -> u64 {
        let repetitions = self.repetitions_us.lock().unwrap_or_else(PoisonError::into_inner).len();
        self.received_count() + crate::rounding::count(repetitions)
    }

    /// How many events were answered with 200 and have not been received.
    pub(crate) fn missing_count(&self) -> u64 {
        let is_missing = |event: &Event| event.answered_us.is_some() && event.received_us.is_none();
        crate::rounding::count(self.events().filter(is_missing).count())
    }

    /// What became of each event, in the order of their numbers.
    pub(crate) fn events(&self) -> impl Iterator<Item = Event> {
        let happened = |time: &AtomicU32| Some(time.load(Relaxed)).filter(|time| *time != NEVER);
        (0..self.issued_count()).filter_map(|sequence| self.row(sequence)).map(move |row| Event {
            intended_us: row.intended_us.load(Relaxed),
            answered_us: happened(&row.answered_us),
            received_us: happened(&row.received_us),
        })
    }

    fn row(&self, sequence: u64) -> Option<&Row> {
        let chunk = self.chunks.get(usize::try_from(sequence / CHUNK).ok()?)?;
        chunk.get()?.get(index(sequence % CHUNK))
    }
}

/// Each counter has one writer, so that nothing has to be locked for it.
fn add_one(counter: &AtomicU64) {
    counter.store(counter.load(Relaxed) + 1, Relaxed);
}

/// A time as it is kept: zero is taken, and what does not fit is the end of the scale.
fn stamp(time_us: u64) -> u32 {
    u32::try_from(time_us).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_followed_from_intention_to_arrival() {
        let ledger = Ledger::new();
        assert_eq!((ledger.issue(10), ledger.issue(20), ledger.issue(0)), (Some(0), Some(1), Some(2)));
        ledger.answered(0, 15);
        ledger.answered(1, 30);
        ledger.received(0, 40);
        ledger.received(2, 50);
        let event = |intended_us, answered_us, received_us| Event { intended_us, answered_us, received_us };
        let expected = [event(10, Some(15), Some(40)), event(20, Some(30), None), event(1, None, Some(50))];
        assert_eq!(ledger.events().collect::<Vec<_>>(), expected);
        assert_eq!((ledger.issued_count(), ledger.accepted_count(), ledger.received_count()), (3, 2, 2));
        assert_eq!(ledger.missing_count(), 1);
    }

    #[test]
    fn repetitions_and_strangers_are_told_apart() {
        let ledger = Ledger::new();
        ledger.issue(1);
        ledger.received(0, 5);
        ledger.received(0, 9);
        ledger.received(CHUNK * 3, 9);
        ledger.received(u64::MAX, 9);
        ledger.stranger();
        assert_eq!((ledger.received_count(), ledger.repetitions_us()), (1, vec![9]));
        assert_eq!((ledger.arrival_count(), ledger.stranger_count()), (2, 3));
    }

    #[test]
    fn it_grows_by_chunks() {
        let ledger = Ledger::new();
        for sequence in 0..=CHUNK {
            assert_eq!(ledger.issue(sequence), Some(sequence));
        }
        ledger.received(CHUNK, 7);
        assert_eq!(ledger.events().last().and_then(|event| event.received_us), Some(7));
    }
}
