//! The contract suite on this engine.

use std::future::{Ready, ready};
use std::sync::Arc;

use kapsel_store::contract::Fixture;
use kapsel_store_sqlite::{SqliteOptions, SqliteStore};

fn fresh() -> Ready<Fixture> {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(SqliteOptions::new(folder.path(), test_harness::sealer())).unwrap();
    ready(Fixture::keeping(Arc::new(store), folder))
}

kapsel_store::contract_suite!(fresh);
