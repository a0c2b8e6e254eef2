//! A spool whose commits fail.

use std::sync::Arc;

use kapsel_core::{Clock, EndpointId, IdGenerator};
use kapsel_store::spool::SpoolStore;
use kapsel_store::{Ingested, NewDelivery, NewEvent, StoreError};
use test_harness::{EndpointBuilder, EventBuilder, SeededEntropy, TestClock};

use crate::faults::CommitFault;
use crate::spool::{SpoolOptions, SqliteSpool};

#[tokio::test]
async fn a_failed_commit_is_an_unknown_outcome_that_reading_makes_known() {
    let clock = TestClock::new();
    let now = clock.now();
    let ids = IdGenerator::new(Arc::new(SeededEntropy::new(1)));
    let endpoint_id: EndpointId = ids.next(now);
    let endpoint = EndpointBuilder::new(endpoint_id, "https://destination.example/hook", now).build();
    for (fault, stored) in [(CommitFault::NothingStored, 0), (CommitFault::AllStored, 1)] {
        let folder = tempfile::tempdir().unwrap();
        let spool = SqliteSpool::open(SpoolOptions { folder: folder.path().to_owned(), bytes_max: 10_000 }).unwrap();
        let event = EventBuilder::new(ids.next(now), &endpoint, now).build();
        let delivery = NewDelivery { id: ids.next(now), endpoint_id, lease: None, ended: None };
        let batch = Arc::new(vec![NewEvent { event: Arc::new(event), key: None, deliveries: vec![delivery] }]);

        spool.faults().fail_commit(fault, 1);
        let error = spool.spool_insert_batch(now, Arc::clone(&batch)).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
        assert_eq!(spool.spool_size().events, 0, "unknown counts as nothing until it is seen");
        assert_eq!(spool.spool_read(0, 10, 10_000).await.unwrap().events.len(), stored);
        assert_eq!(spool.spool_size().events, u64::try_from(stored).unwrap());

        assert_eq!(spool.spool_insert_batch(now, batch).await.unwrap(), [Ingested::Spooled]);
        let read = spool.spool_read(0, 10, 10_000).await.unwrap().events;
        assert_eq!(read.len(), 1);
        assert_eq!(spool.spool_size().events, 1);

        spool.faults().fail_commit(fault, 1);
        spool.spool_remove(vec![read[0].seq]).await.unwrap_err();
        spool.spool_remove(vec![read[0].seq]).await.unwrap();
        assert_eq!((spool.spool_size().events, spool.spool_size().bytes), (0, 0));
        spool.close().await;
    }
}
