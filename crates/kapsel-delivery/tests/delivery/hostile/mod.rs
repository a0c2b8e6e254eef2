//! Destinations that do not behave. The catalogue has one row for each way: what is done, and the class of outcome that
//! has to come of it. What a test says beyond the class stands in `finer.rs` and `reuse.rs`.

mod bodies;
mod connections;
mod finer;
mod heads;
mod names;
mod reuse;
mod row;
mod tls;

use std::collections::HashSet;
use std::sync::Arc;

use kapsel_delivery::HttpTransport;
use test_harness::{Behaviour, Destination};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::row::Row;
use crate::network::{LONG, answer, send, transport};

fn catalogue() -> Vec<Row> {
    [heads::rows(), bodies::rows(), connections::rows(), tls::rows(), names::rows()].into_iter().flatten().collect()
}

/// How many rows that are busy run at once. More would not be faster, and each would be nearer to its limits.
const BUSY_AT_ONCE: usize = 16;

/// What is not as expected.
async fn judge(rows: Vec<Row>, at_once: usize, transport: &Arc<HttpTransport>) -> Vec<String> {
    let turns = Arc::new(Semaphore::new(at_once));
    let mut judged = JoinSet::new();
    for row in rows {
        let (turns, transport) = (Arc::clone(&turns), Arc::clone(transport));
        judged.spawn(async move {
            let _turn = turns.acquire().await.unwrap();
            // A task of its own, so that a row which panics is named like one that is not as expected.
            match (row.name, tokio::spawn(row.judge(transport)).await) {
                (_, Ok(Ok(()))) => None,
                (name, Ok(Err(complaint))) => Some(format!("{name}: {complaint}")),
                (name, Err(panic)) => Some(format!("{name}: {panic}")),
            }
        });
    }
    judged.join_all().await.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_behaviour_ends_in_its_class_in_time_and_leaves_nothing_open() {
    let transport = Arc::new(transport());
    // Those that wait for a deadline come last and all at once: they do next to nothing, and together take as long as
    // one. Beside the others, the deadline could pass before they got as far as they should.
    let (waiting, busy): (Vec<_>, Vec<_>) = catalogue().into_iter().partition(Row::waits);
    let mut wrong = judge(busy, BUSY_AT_ONCE, &transport).await;
    wrong.extend(judge(waiting, Semaphore::MAX_PERMITS, &transport).await);
    assert!(wrong.is_empty(), "{} rows are not as expected:\n{}", wrong.len(), wrong.join("\n"));

    let good = Destination::start(Behaviour::Ok(200)).await;
    assert_eq!(answer(send(&transport, &good.url(), LONG).await).status, 200, "the transport is unharmed");
}

#[test]
fn the_catalogue_has_many_rows_with_names_of_their_own() {
    let rows = catalogue();
    let names: HashSet<_> = rows.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), rows.len(), "two rows with one name");
    assert!(rows.len() >= 30, "{} rows", rows.len());
}
