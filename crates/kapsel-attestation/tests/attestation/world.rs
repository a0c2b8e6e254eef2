//! A log with everything around it, and sentences about it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use kapsel_attestation::{
    AttestationError, Finding, KeyRing, LastHead, Prover, RunReport, SecretKey, Sequencer, SequencerDeps,
    SequencerSettings, fsck,
};
use kapsel_core::settlement::{Decision, Next};
use kapsel_core::{
    Attempt, AttemptId, Clock, Endpoint, EndpointId, Entropy as _, HeaderBlock, IdGenerator, InstanceId, Lease,
    LeaseToken, Outcome, ResponseHead, TenantId, Timestamp,
};
use kapsel_store::attestation::Head;
use kapsel_store::{
    AdminStore as _, AttestationStore, ClaimRequest, DeliveryStore as _, IngestStore as _, LaneQuota, MemoryStore,
    NewDelivery, NewEvent, Settled, Settlement,
};
use kapsel_verification::{Checkpoint, Hash, empty_root, leaf_hash, node_hash};
use test_harness::builders::{LOG_ID, leaf_of};
use test_harness::{EndpointBuilder, EventBuilder, SeededEntropy, TestClock};

use crate::scripted::{FaultyHead, FaultyKeys, FaultyStore, MemoryHead, Script, Signed};

pub(crate) const ORIGIN: &str = "kapsel.example/log";

/// As the product has them, but that a head may follow the last one at once.
pub(crate) fn settings() -> SequencerSettings {
    SequencerSettings { publish_interval: Duration::ZERO, ..SequencerSettings::default() }
}

/// A store with a log and one endpoint. Two worlds of one seed in which the same is done are the same to the last byte.
pub(crate) struct World {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) last_head: Arc<MemoryHead>,
    /// Everything that was signed.
    pub(crate) signed: Signed,
    ids: IdGenerator,
    entropy: Arc<SeededEntropy>,
    endpoint: Endpoint,
    settled: Mutex<Vec<AttemptId>>,
}

impl World {
    pub(crate) async fn new() -> Self {
        World::with_seed(0).await
    }

    pub(crate) async fn with_seed(seed: u64) -> Self {
        let entropy = Arc::new(SeededEntropy::new(seed));
        let shared = Arc::clone(&entropy);
        let ids = IdGenerator::new(shared);
        let clock = Arc::new(TestClock::new());
        let store = Arc::new(MemoryStore::new());
        store.log_open(clock.now(), LOG_ID, ORIGIN.to_owned()).await.unwrap();
        let id: EndpointId = ids.next(clock.now());
        let endpoint = EndpointBuilder::new(id, "https://destination.example/hook", clock.now()).build();
        store.endpoint_insert(endpoint.clone()).await.unwrap();
        let (last_head, signed, settled) = Default::default();
        World { store, clock, last_head, signed, ids, entropy, endpoint, settled }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn pass_seconds(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub(crate) fn attestation_store(&self) -> Arc<dyn AttestationStore> {
        Arc::clone(&self.store) as Arc<dyn AttestationStore>
    }

    pub(crate) fn instance_id(&self) -> InstanceId {
        self.ids.next(self.now())
    }

    /// From here on chance is another one than in a world of the same seed.
    pub(crate) fn go_another_way(&self) {
        self.entropy.next_u64();
    }

    /// Settles `count` deliveries as delivered. Returns their attempts, in their order.
    pub(crate) async fn settle(&self, count: usize) -> Vec<AttemptId> {
        let now = self.now();
        let new_event = |_| {
            let event = EventBuilder::new(self.ids.next(now), &self.endpoint, now).build();
            let id = self.ids.next(now);
            let delivery = NewDelivery { id, endpoint_id: self.endpoint.id, lease: None, ended: None };
            NewEvent { event: Arc::new(event), key: None, deliveries: vec![delivery] }
        };
        self.store.event_insert_batch(now, Arc::new((0..count).map(new_event).collect())).await.unwrap();
        let lease = Lease {
            owner: InstanceId::MAX,
            token: LeaseToken(self.entropy.next_u64().cast_signed()),
            until: now + Duration::from_secs(60),
        };
        let lanes = vec![LaneQuota::without_circuit(self.endpoint.id, count)];
        let request = ClaimRequest { lease, lanes, body_bytes_max: usize::MAX };
        let claimed = self.store.delivery_claim_due(now, request).await.unwrap();
        let settlement = |claimed: &kapsel_store::ClaimedDelivery| {
            let head = ResponseHead {
                status: 200,
                headers: HeaderBlock::from_pairs([("server", &b"destination"[..])]),
                body: Bytes::from_static(b"answer"),
                body_truncated: false,
            };
            let attempt = Attempt {
                id: self.ids.next(now),
                delivery: claimed.delivery,
                number: claimed.attempts_total + 1,
                url: "https://destination.example/hook".to_owned(),
                started_at: now,
                duration: Duration::from_millis(500),
                outcome: Outcome::Response(head),
            };
            let leaf = leaf_of(&attempt, &claimed.event.body_sha256);
            let decision = Decision { next: Next::Delivered, disable_endpoint: None };
            Settlement { lease: claimed.lease, attempt, decision, leaf }
        };
        let settlements: Vec<Settlement> = claimed.iter().map(settlement).collect();
        let ids: Vec<AttemptId> = settlements.iter().map(|settlement| settlement.attempt.id).collect();
        let written = self.store.delivery_settle_if_leased(now, Arc::new(settlements)).await.unwrap();
        assert_eq!(written, vec![Settled::Written; count]);
        self.settled.lock().unwrap().extend(&ids);
        ids
    }

    /// How many were settled.
    pub(crate) fn settled(&self) -> u64 {
        self.settled.lock().unwrap().len() as u64
    }

    /// A sequencer as an instance of the product has it, over whatever is given.
    pub(crate) fn sequencer_over(
        &self,
        store: Arc<dyn AttestationStore>,
        keys: Arc<dyn KeyRing>,
        last_head: Arc<dyn LastHead>,
        settings: SequencerSettings,
    ) -> Sequencer {
        let (clock, instance) = (Arc::clone(&self.clock) as Arc<dyn Clock>, self.instance_id());
        Sequencer::new(SequencerDeps { store, keys, last_head, clock, instance, log_id: LOG_ID }, settings)
    }

    /// One with these keys and a memory of the last head, over another store.
    pub(crate) fn over(&self, store: Arc<dyn AttestationStore>, keys: &[SecretKey]) -> Sequencer {
        let keys = FaultyKeys { keys: keys.to_vec(), script: Script::smooth(), signed: Arc::clone(&self.signed) };
        let last_head = FaultyHead { inner: Arc::clone(&self.last_head), script: Script::smooth() };
        self.sequencer_over(store, Arc::new(keys), Arc::new(last_head), settings())
    }

    /// One with these keys, whose store, keys and memory fail where the script says.
    pub(crate) fn scripted(&self, script: &Arc<Script>, keys: &[SecretKey], settings: SequencerSettings) -> Sequencer {
        let script = || Arc::clone(script);
        let store = FaultyStore::new(self.attestation_store(), script());
        let keys = FaultyKeys { keys: keys.to_vec(), script: script(), signed: Arc::clone(&self.signed) };
        let last_head = FaultyHead { inner: Arc::clone(&self.last_head), script: script() };
        self.sequencer_over(Arc::new(store), Arc::new(keys), Arc::new(last_head), settings)
    }

    /// One with the key of the log, to which nothing happens.
    pub(crate) fn sequencer(&self) -> Sequencer {
        self.scripted(&Script::smooth(), &[key(1)], settings())
    }

    pub(crate) fn prover(&self) -> Prover {
        Prover::new(self.attestation_store(), LOG_ID, ORIGIN.to_owned())
    }

    pub(crate) async fn heads(&self) -> Vec<Head> {
        self.store.head_list(LOG_ID, None, usize::MAX).await.unwrap()
    }

    pub(crate) async fn head_sizes(&self) -> Vec<u64> {
        self.heads().await.iter().map(|head| head.size).collect()
    }

    /// The hashes of the leaves in the tree, from their bytes.
    pub(crate) async fn leaf_hashes(&self) -> Vec<Hash> {
        let entries = self.store.entry_list(LOG_ID, 0, usize::MAX).await.unwrap();
        entries.iter().map(|entry| leaf_hash(entry.data.as_ref().unwrap())).collect()
    }

    /// The checkpoints that were signed, published or not.
    pub(crate) fn signed_checkpoints(&self) -> Vec<Checkpoint> {
        let signed = self.signed.lock().unwrap();
        let is_checkpoint = |text: &&String| text.starts_with(ORIGIN);
        signed.iter().filter(is_checkpoint).map(|text| Checkpoint::parse(text).unwrap()).collect()
    }

    /// The times that were signed, in the order of signing.
    pub(crate) fn signed_times(&self) -> Vec<u64> {
        let time = |text: &String| text.strip_prefix("cosignature/v1\ntime ")?.split('\n').next()?.parse().ok();
        self.signed.lock().unwrap().iter().filter_map(time).collect()
    }

    /// Says in `context` what is not right with the log: each settled attempt has to be in it exactly once, all of it is
    /// published, and everything that was ever signed is of one tree.
    pub(crate) async fn assert_sound(&self, context: &str) {
        assert_eq!(findings(&*self.store).await, [], "{context}");
        let entries = self.store.entry_list(LOG_ID, 0, usize::MAX).await.unwrap();
        let indexes: Vec<u64> = entries.iter().map(|entry| entry.index).collect();
        assert_eq!(indexes, (0..self.settled()).collect::<Vec<_>>(), "{context}: no gap, and nothing is lost");
        let integrated: BTreeSet<AttemptId> = entries.iter().map(|entry| entry.attempt_id).collect();
        let settled: BTreeSet<AttemptId> = self.settled.lock().unwrap().iter().copied().collect();
        assert!(integrated == settled, "{context}: each attempt has one leaf in the tree");
        let sizes = self.head_sizes().await;
        assert!(sizes.is_sorted_by(|one, next| one < next), "{context}: heads grow: {sizes:?}");
        assert_eq!(sizes.last(), Some(&self.settled()), "{context}: all of it is published");
        self.assert_one_tree(context).await;
        let remembered = self.last_head.text().expect(context);
        assert_eq!(self.heads().await.last().map(|head| &head.checkpoint), Some(&remembered), "{context}");
    }

    /// Everything that was signed or published is a beginning of the tree that is stored: one root for each size.
    pub(crate) async fn assert_one_tree(&self, context: &str) {
        let leaves = self.leaf_hashes().await;
        for signed in self.signed_checkpoints() {
            let size = usize::try_from(signed.size()).unwrap();
            assert!(size <= leaves.len(), "{context}: {size} leaves were signed");
            assert_eq!(*signed.root(), root_of(&leaves[..size]), "{context}: what was signed for {size} leaves");
        }
    }

    /// No time that was signed is before one that was signed earlier. Where several sign at once, that holds for what is
    /// published alone.
    pub(crate) fn assert_times(&self, context: &str) {
        let times = self.signed_times();
        assert!(times.is_sorted(), "{context}: {times:?}");
    }
}

/// A key of the log.
pub(crate) fn key(seed: u64) -> SecretKey {
    SecretKey::generate(ORIGIN, &SeededEntropy::new(seed)).unwrap()
}

/// What the check of a whole store finds.
pub(crate) async fn findings(store: &dyn AttestationStore) -> Vec<Finding> {
    let mut findings = Vec::new();
    let summary = fsck::check(store, LOG_ID, &mut |finding| findings.push(finding)).await.unwrap();
    assert_eq!(summary.findings, findings.len() as u64);
    findings
}

/// Runs until there is nothing to do any more.
pub(crate) async fn run_to_end(sequencer: &Sequencer, clock: &TestClock) -> Result<(), AttestationError> {
    loop {
        if sequencer.run_once().await? == RunReport::default() {
            return Ok(());
        }
        clock.advance(Duration::from_secs(1));
    }
}

/// RFC 9162, section 2.1.1, word by word.
pub(crate) fn root_of(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(1 << (leaves.len() - 1).ilog2());
            node_hash(&root_of(left), &root_of(right))
        }
    }
}

/// The events of the default tenant.
pub(crate) const TENANT: TenantId = TenantId::DEFAULT;
