//! The contract suite on this engine.

use std::sync::Arc;

use kapsel_store::contract::Fixture;

use crate::support::fresh_store;

async fn fresh() -> Fixture {
    Fixture::new(Arc::new(fresh_store().await))
}

kapsel_store::contract_suite!(fresh);
