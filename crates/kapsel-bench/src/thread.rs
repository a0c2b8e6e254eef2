//! A thread whose processor time is told apart from that of the rest of the tool, and the sign that stops it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use crate::error::Error;
use crate::proc::cpu;

/// A sign that is raised once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Raises it.
    pub(crate) fn raise(&self) {
        self.0.store(true, Relaxed);
    }

    /// Whether it is raised.
    pub(crate) fn is_raised(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// A thread with a result.
#[derive(Debug)]
pub(crate) struct MeasuredThread<T> {
    name: &'static str,
    id: i32,
    /// What it had used when it ended, in microseconds; zero while it runs.
    final_us: Arc<AtomicU64>,
    handle: JoinHandle<Result<T, Error>>,
}

impl<T: Send + 'static> MeasuredThread<T> {
    /// Starts it.
    pub(crate) fn start(
        name: &'static str,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<Self, Error> {
        let (sender, receiver) = mpsc::channel();
        let final_us = Arc::new(AtomicU64::new(0));
        let final_of_thread = Arc::clone(&final_us);
        let body = move || {
            let id = rustix::thread::gettid().as_raw_nonzero().get();
            // Whoever starts it waits for this; if it is gone, so is the tool.
            let _nobody_waits = sender.send(id);
            let result = work();
            let used = cpu::of_thread(id).unwrap_or_default();
            final_of_thread.store(crate::rounding::whole(used * 1e6), Relaxed);
            result
        };
        let builder = std::thread::Builder::new().name(name.to_owned());
        let handle = builder.spawn(body).map_err(Error::io(format!("starting the thread {name}")))?;
        let id = receiver.recv().map_err(|_| Error::Program(format!("the thread {name} ended at once")))?;
        Ok(MeasuredThread { name, id, final_us, handle })
    }

    /// Seconds of processor time that it has used, also when it has ended.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        match self.final_us.load(Relaxed) {
            0 => cpu::of_thread(self.id).unwrap_or_else(|| self.final_us.load(Relaxed) as f64 / 1e6),
            final_us => final_us as f64 / 1e6,
        }
    }

    /// Whether it has ended.
    pub(crate) fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// Waits for its end, without holding up other tasks, and returns its result.
    pub(crate) async fn join(self) -> Result<T, Error> {
        let joined = tokio::task::spawn_blocking(move || self.handle.join()).await;
        match joined {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(Error::Program(format!("the thread {} failed", self.name))),
        }
    }
}
