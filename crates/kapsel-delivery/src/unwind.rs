//! Futures whose panics are values.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;

/// The work panicked. What it said went to the panic hook, and stays out of everything that is stored: it may quote
/// a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Panicked;

/// Runs `work` to its end; a panic inside ends it with [`Panicked`].
///
/// A task of its own with its `JoinError` would do the same at the price of a second task per delivery. Nothing of
/// `work` is looked at after a panic, it is only dropped; that is what makes the unwind safe to assert.
pub(crate) async fn caught<T>(work: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut work = pin!(work);
    std::future::poll_fn(|cx| {
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx)));
        match polled {
            Ok(polled) => polled.map(Ok),
            Err(_) => std::task::Poll::Ready(Err(Panicked)),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_before_and_behind_an_await_is_caught() {
        assert_eq!(caught(async { 7 }).await, Ok(7));
        assert_eq!(caught(async { panic!("at once") }).await.map(|(): ()| ()), Err(Panicked));
        let later = caught(async {
            tokio::task::yield_now().await;
            panic!("later")
        });
        assert_eq!(later.await.map(|(): ()| ()), Err(Panicked));
    }
}
