//! The contract suite on this engine.

use std::future::{Ready, ready};
use std::sync::Arc;

use kapsel_store::contract::Fixture;
use kapsel_store_sqlite::{SqliteOptions, SqliteStore};

fn fresh() -> Ready<Fixture> {
    let folder = tempfile::tempdir().unwrap();
    let mut options = SqliteOptions::new(folder.path(), test_harness::sealer());
    // So that a test of a few events sees them unsorted, sorted, and in between.
    options.unsorted_events_max = 3;
    let store = SqliteStore::open(options).unwrap();
    ready(Fixture::keeping(Arc::new(store), folder))
}

kapsel_store::contract_suite!(fresh);
