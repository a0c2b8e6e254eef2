//! While its store answers, a store with a spool is a store like any other.

use std::future::{Ready, ready};
use std::sync::Arc;

use kapsel_store::contract::Fixture;
use kapsel_store::{MemoryStore, SpoolSettings, SpooledStore};

use crate::spool::open;

fn fresh() -> Ready<Fixture> {
    let folder = tempfile::tempdir().unwrap();
    let spool = Arc::new(open(folder.path(), 1_000_000));
    let store = SpooledStore::new(Arc::new(MemoryStore::new()), spool, SpoolSettings::default(), Arc::new(|| {}));
    ready(Fixture::keeping(Arc::new(store), folder))
}

kapsel_store::contract_suite!(fresh);
