//! Who may send next: in a closed loop whoever is free, in an open loop whoever takes the next ticket that is due.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use tokio::sync::Notify;

use super::schedule::Schedule;
use super::timer::Timer;
use super::{Job, Pace};

/// The stop sign is looked at at least as often.
const LOOK_NS: u64 = 50_000_000;
/// What is due at the end and still waits for a free connection may start within this time; its latency counts in full.
const GRACE_NS: u64 = 1_000_000_000;

/// The right to send one event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket {
    pub(super) sequence: u64,
}

/// The tickets of one load.
#[derive(Debug)]
pub(super) struct Tickets {
    job: Job,
    issued: Cell<u64>,
    waiting: RefCell<VecDeque<Ticket>>,
    arrival: Notify,
    /// No ticket is added any more.
    is_closed: Cell<bool>,
}

impl Tickets {
    pub(super) fn new(job: Job) -> Self {
        Tickets {
            job,
            issued: Cell::new(0),
            waiting: RefCell::default(),
            arrival: Notify::new(),
            is_closed: Cell::new(false),
        }
    }

    /// The next one, as soon as it is due; nothing when the load is over.
    pub(super) async fn next(&self) -> Option<Ticket> {
        match self.job.pace {
            Pace::Closed => self.issue(self.job.ledger.clock().now_us()),
            Pace::Open { .. } => loop {
                if let Some(ticket) = self.waiting.borrow_mut().pop_front() {
                    return Some(ticket);
                }
                if self.is_closed.get() {
                    return None;
                }
                self.arrival.notified().await;
            },
        }
    }

    /// Whether no connection has to be made any more.
    pub(super) fn is_over(&self) -> bool {
        match self.job.pace {
            Pace::Closed => self.is_at_end(self.job.ledger.clock().now_us()),
            Pace::Open { .. } => self.is_closed.get() && self.waiting.borrow().is_empty(),
        }
    }

    fn is_at_end(&self, now_us: u64) -> bool {
        let is_late = self.job.end_us.is_some_and(|end_us| now_us >= end_us);
        let is_enough = self.job.count.is_some_and(|count| self.issued.get() >= count);
        is_late || is_enough || self.job.stop.is_raised()
    }

    /// A ticket for an event that is to be sent at `intended_us`, unless the load is over by then.
    fn issue(&self, intended_us: u64) -> Option<Ticket> {
        if self.is_at_end(intended_us) {
            return None;
        }
        let sequence = self.job.ledger.issue(intended_us)?;
        self.issued.set(self.issued.get() + 1);
        Some(Ticket { sequence })
    }

    /// Hands tickets out when they are due, until the end. Returns how many found no free connection.
    pub(super) async fn hand_out(self: Rc<Self>) -> io::Result<u64> {
        let Pace::Open { per_second, arrivals } = self.job.pace else { return Ok(0) };
        let clock = self.job.ledger.clock();
        let timer = Timer::new(clock)?;
        let mut schedule = Schedule::new(clock.now_ns(), per_second, arrivals);
        'due: loop {
            let now_ns = clock.now_ns();
            while schedule.next_ns() <= now_ns {
                let Some(ticket) = self.issue(schedule.next_ns() / 1_000) else { break 'due };
                self.waiting.borrow_mut().push_back(ticket);
                self.arrival.notify_one();
                schedule.advance();
            }
            if self.is_at_end(now_ns / 1_000) {
                break;
            }
            timer.wait_until(schedule.next_ns().min(now_ns + LOOK_NS)).await?;
        }
        let last_start_ns = clock.now_ns() + GRACE_NS;
        while !self.waiting.borrow().is_empty() && clock.now_ns() < last_start_ns && !self.job.stop.is_raised() {
            timer.wait_until(clock.now_ns() + LOOK_NS / 10).await?;
        }
        let unsent = crate::rounding::count(self.waiting.borrow_mut().drain(..).count());
        self.is_closed.set(true);
        self.arrival.notify_waiters();
        Ok(unsent)
    }
}
