//! The load against the destination: what one counts, the other has.

use std::time::Duration;

use super::bodies::signed_bodies;
use super::outcome::Failure;
use super::*;
use crate::destination::Destination;

fn job(ledger: &Arc<Ledger>, target: SocketAddr, pace: Pace) -> Job {
    Job {
        target,
        requests: Arc::new(Requests::new(target, &["/".to_owned()], &signed_bodies(300), None)),
        ledger: Arc::clone(ledger),
        pace,
        connections: 8,
        end_us: None,
        count: None,
        timeout: Duration::from_secs(5),
        stop: Stop::default(),
    }
}

#[tokio::test]
async fn a_closed_loop_sends_as_many_as_it_should() {
    let ledger = Arc::new(Ledger::new());
    let destination = Destination::start(Arc::clone(&ledger), [127, 0, 0, 1].into(), Duration::ZERO).unwrap();
    let job = Job { count: Some(2_000), ..job(&ledger, destination.address(), Pace::Closed) };
    let counts = start(job).unwrap().join().await.unwrap();
    destination.stop().await.unwrap();
    assert_eq!((counts.statuses[&200], counts.error_count()), (2_000, 0));
    assert_eq!((ledger.accepted_count(), ledger.received_count(), ledger.missing_count()), (2_000, 2_000, 0));
    assert!(ledger.events().all(|event| event.intended_us <= event.answered_us.unwrap()));
}

#[tokio::test]
async fn an_open_loop_keeps_its_schedule() {
    let ledger = Arc::new(Ledger::new());
    let destination = Destination::start(Arc::clone(&ledger), [127, 0, 0, 1].into(), Duration::ZERO).unwrap();
    let pace = Pace::Open { per_second: 2_000.0, arrivals: Arrivals::Uniform };
    let job = Job { count: Some(400), ..job(&ledger, destination.address(), pace) };
    let counts = start(job).unwrap().join().await.unwrap();
    destination.stop().await.unwrap();
    assert_eq!((ledger.received_count(), counts.error_count(), counts.unsent), (400, 0, 0));
    let starts: Vec<u32> = ledger.events().map(|event| event.intended_us).collect();
    assert!(starts.windows(2).all(|pair| pair[1] - pair[0] == 500), "{starts:?}");
}

#[tokio::test]
async fn an_open_loop_without_free_connections_counts_the_wait() {
    let ledger = Arc::new(Ledger::new());
    let delay = Duration::from_millis(100);
    let destination = Destination::start(Arc::clone(&ledger), [127, 0, 0, 1].into(), delay).unwrap();
    let pace = Pace::Open { per_second: 1_000.0, arrivals: Arrivals::Poisson };
    let job = Job { count: Some(10), connections: 1, ..job(&ledger, destination.address(), pace) };
    start(job).unwrap().join().await.unwrap();
    destination.stop().await.unwrap();
    let last = ledger.events().last().unwrap();
    // Nine were before it on the one connection, 100 ms each; it was to start within about 10 ms.
    assert!(last.answered_us.unwrap() - last.intended_us > 800_000, "{last:?}");
}

#[tokio::test]
async fn late_answers_and_missing_servers_are_counted() {
    let ledger = Arc::new(Ledger::new());
    let delay = Duration::from_secs(3_600);
    let destination = Destination::start(Arc::clone(&ledger), [127, 0, 0, 1].into(), delay).unwrap();
    let address = destination.address();
    let timeout = Duration::from_millis(300);
    let late = Job { count: Some(8), timeout, ..job(&ledger, address, Pace::Closed) };
    let counts = start(late).unwrap().join().await.unwrap();
    assert_eq!(counts.failures.into_iter().collect::<Vec<_>>(), [(Failure::Timeout, 8)]);
    destination.stop().await.unwrap();

    let gone = Job { end_us: Some(ledger.clock().now_us() + 200_000), ..job(&ledger, address, Pace::Closed) };
    let counts = start(gone).unwrap().join().await.unwrap();
    assert!(counts.failures[&Failure::Connect] >= 8);
    assert_eq!(ledger.accepted_count(), 0);
}

#[tokio::test]
async fn a_stop_ends_an_open_loop() {
    let ledger = Arc::new(Ledger::new());
    let destination = Destination::start(Arc::clone(&ledger), [127, 0, 0, 1].into(), Duration::ZERO).unwrap();
    let pace = Pace::Open { per_second: 1.0, arrivals: Arrivals::Uniform };
    let job = job(&ledger, destination.address(), pace);
    let stop = job.stop.clone();
    let load = start(job).unwrap();
    stop.raise();
    load.join().await.unwrap();
    destination.stop().await.unwrap();
}
