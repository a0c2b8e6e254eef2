//! A dispatcher that only writes down what it is given.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kapsel_core::delivery::LeaseToken;
use kapsel_core::{Clock as _, DeliveryRef, EndpointId, InstanceId, Lease, Timestamp};
use kapsel_store::{ClaimedDelivery, Handoff, Slot};
use test_harness::TestClock;

/// Has as many slots as the test says; none to begin with.
pub(crate) struct TestHandoff {
    clock: Arc<TestClock>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    free: AtomicUsize,
    given_back: AtomicUsize,
    started: Mutex<Vec<ClaimedDelivery>>,
    given_up: Mutex<Vec<DeliveryRef>>,
    panics: AtomicUsize,
    reserve_panics: AtomicUsize,
}

impl TestHandoff {
    pub(crate) fn new(clock: Arc<TestClock>) -> Self {
        TestHandoff { clock, shared: Arc::default() }
    }

    pub(crate) fn set_free(&self, slots: usize) {
        self.shared.free.store(slots, Ordering::SeqCst);
    }

    /// The next start panics.
    pub(crate) fn panic_once(&self) {
        self.shared.panics.store(1, Ordering::SeqCst);
    }

    /// The next look for a slot panics.
    pub(crate) fn panic_in_reserve_once(&self) {
        self.shared.reserve_panics.store(1, Ordering::SeqCst);
    }

    pub(crate) fn given_back(&self) -> usize {
        self.shared.given_back.load(Ordering::SeqCst)
    }

    pub(crate) fn started(&self) -> Vec<ClaimedDelivery> {
        self.shared.started.lock().unwrap().clone()
    }

    /// What may have been stored under the lease of a slot or not.
    pub(crate) fn given_up(&self) -> Vec<DeliveryRef> {
        self.shared.given_up.lock().unwrap().clone()
    }

    /// The lease of every slot.
    pub(crate) fn lease(&self) -> Lease {
        let until = self.clock.now() + Duration::from_secs(60);
        Lease { owner: InstanceId::MAX, token: LeaseToken(42), until }
    }
}

impl Handoff for TestHandoff {
    fn reserve(&self, _: EndpointId, _: usize, _: Timestamp) -> Option<Box<dyn Slot>> {
        assert_eq!(self.shared.reserve_panics.swap(0, Ordering::SeqCst), 0, "secret-internal-detail");
        let took = self.shared.free.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |free| free.checked_sub(1));
        took.ok()?;
        Some(Box::new(TestSlot { lease: self.lease(), shared: Arc::clone(&self.shared), is_started: false }))
    }
}

struct TestSlot {
    lease: Lease,
    shared: Arc<Shared>,
    is_started: bool,
}

impl Slot for TestSlot {
    fn lease(&self) -> Lease {
        self.lease
    }

    fn start(mut self: Box<Self>, delivery: ClaimedDelivery) {
        assert_eq!(self.shared.panics.swap(0, Ordering::SeqCst), 0, "asked to panic");
        self.is_started = true;
        self.shared.started.lock().unwrap().push(delivery);
    }

    fn give_up(self: Box<Self>, delivery: DeliveryRef) {
        self.shared.given_up.lock().unwrap().push(delivery);
    }
}

impl Drop for TestSlot {
    fn drop(&mut self) {
        if !self.is_started {
            self.shared.given_back.fetch_add(1, Ordering::SeqCst);
        }
    }
}
