//! A whole store, and all the ways in which one can be damaged, each with what has to be found.

use std::sync::Arc;
use std::time::Duration;

use kapsel_attestation::Finding;
use kapsel_core::{AttemptId, LogId};
use kapsel_store::attestation::{AttemptTrace, Head, LogEntry, TileId};
use kapsel_store::{AttestationStore, StoreError};
use kapsel_verification::{
    AttemptLeaf, Checkpoint, Hash, KeyType, LeafError, NoteError, OpenError, SignatureError, VerifierKey, leaf_hash,
};
use test_harness::builders::LOG_ID;

use crate::tampered::TamperedStore;
use crate::world::{World, findings, key, run_to_end};

pub(crate) const SIZE: u64 = 305;

/// A log with heads of 300 and 305 leaves, and two leaves that wait.
pub(crate) struct Whole {
    pub(crate) world: World,
    entries: Vec<LogEntry>,
    pub(crate) pending: Vec<AttemptId>,
}

impl Whole {
    pub(crate) async fn new() -> Self {
        let world = World::new().await;
        for count in [300, 5] {
            world.settle(count).await;
            run_to_end(&world.sequencer(), &world.clock).await.unwrap();
            world.pass_seconds(60);
        }
        let pending = world.settle(2).await;
        let entries = world.store.entry_list(LOG_ID, 0, 1_000).await.unwrap();
        assert_eq!(findings(&*world.store).await, []);
        Whole { world, entries, pending }
    }

    pub(crate) fn attempt(&self, index: usize) -> AttemptId {
        self.entries[index].attempt_id
    }

    pub(crate) fn tampered(&self) -> Arc<TamperedStore> {
        TamperedStore::new(self.world.attestation_store())
    }

    /// With the entry of `index` changed.
    pub(crate) fn entry(&self, index: u64, change: impl Fn(&mut LogEntry) + Send + 'static) -> Arc<TamperedStore> {
        self.tampered().change_entries(move |entries| {
            entries.iter_mut().filter(|entry| entry.index == index).for_each(&change);
        })
    }

    /// With the leaf of `index` changed, and written as it should be.
    pub(crate) fn leaf(&self, index: u64, change: impl Fn(&mut AttemptLeaf) + Send + 'static) -> Arc<TamperedStore> {
        self.entry(index, move |entry| {
            let mut leaf = AttemptLeaf::from_canonical(entry.data.as_ref().unwrap()).unwrap();
            change(&mut leaf);
            entry.data = Some(leaf.to_canonical().into());
        })
    }

    /// With the head of `size` changed.
    pub(crate) fn head(&self, size: u64, change: impl Fn(&mut Head) + Send + 'static) -> Arc<TamperedStore> {
        self.tampered().change_heads(move |heads| {
            heads.iter_mut().filter(|head| head.size == size).for_each(&change);
        })
    }

    /// With the bytes of a tile changed.
    pub(crate) fn tile(&self, id: TileId, change: impl Fn(&mut Vec<u8>) + Send + 'static) -> Arc<TamperedStore> {
        self.tampered().change_tiles(move |tiles| {
            for tile in tiles.iter_mut().flatten().filter(|tile| tile.id == id) {
                let mut hashes = tile.hashes.to_vec();
                change(&mut hashes);
                tile.hashes = hashes.into();
            }
        })
    }

    /// With the trace of an attempt changed.
    pub(crate) fn trace(
        &self,
        attempt_id: AttemptId,
        change: impl Fn(&mut AttemptTrace) + Send + 'static,
    ) -> Arc<TamperedStore> {
        self.tampered().change_traces(move |traces| {
            traces.iter_mut().filter(|trace| trace.place.attempt_id == attempt_id).for_each(&change);
        })
    }
}

pub(crate) fn tile_id(level: u8, index: u64) -> TileId {
    TileId { level, index }
}

pub(crate) fn flipped(hash: Hash) -> Hash {
    let mut bytes = *hash.as_bytes();
    bytes[31] ^= 1;
    Hash::from_bytes(bytes)
}

pub(crate) type Case = (Arc<TamperedStore>, Vec<Finding>);

pub(crate) fn entry_cases(whole: &Whole) -> Vec<Case> {
    let (fourth, late) = (whole.attempt(4), whole.attempt(303));
    let other = AttemptId::MAX;
    let missing = |from, until| Finding::EntriesMissing { from, until };
    let without = |gone: std::ops::Range<u64>| {
        whole.tampered().change_entries(move |entries| entries.retain(|entry| !gone.contains(&entry.index)))
    };
    let beyond = whole.attempt(0);
    vec![
        (without(7..10), vec![missing(7, 10)]),
        (without(0..1), vec![missing(0, 1)]),
        (without(250..260), vec![missing(250, 260)]),
        (without(304..305), vec![missing(304, 305)]),
        (without(0..305), vec![missing(0, 305)]),
        (
            whole.tampered().change_entries(|entries| {
                if let Some(third) = entries.iter().position(|entry| entry.index == 3) {
                    entries.insert(third, entries[third].clone());
                }
            }),
            vec![Finding::EntryTwice { index: 3 }],
        ),
        (
            whole.tampered().change_entries(move |entries| {
                if entries.is_empty() {
                    entries.push(LogEntry { index: SIZE, attempt_id: beyond, data: None });
                }
            }),
            vec![Finding::EntryBeyond { index: SIZE, size: SIZE }],
        ),
        (whole.entry(4, |entry| entry.data = None), vec![Finding::LeafMissing { index: 4, attempt_id: fourth }]),
        (
            whole.entry(4, |entry| entry.data = Some([entry.data.as_ref().unwrap(), &b" "[..]].concat().into())),
            vec![
                Finding::LeafForm { attempt_id: fourth, source: LeafError::NotCanonical },
                Finding::LeafHash { index: 4, attempt_id: fourth },
            ],
        ),
        (
            whole.entry(4, move |entry| entry.attempt_id = other),
            vec![Finding::LeafDiffers { attempt_id: other, field: "attempt_id" }],
        ),
        (
            whole.leaf(4, |leaf| leaf.log_id = LogId::MAX.to_string()),
            vec![
                Finding::LeafDiffers { attempt_id: fourth, field: "log_id" },
                Finding::LeafHash { index: 4, attempt_id: fourth },
            ],
        ),
        // In a full tile and in one that is not.
        (
            whole.leaf(4, |leaf| leaf.outcome = "delivered twice".to_owned()),
            vec![Finding::LeafHash { index: 4, attempt_id: fourth }],
        ),
        (
            whole.leaf(303, |leaf| leaf.http_status = Some(201)),
            vec![Finding::LeafHash { index: 303, attempt_id: late }],
        ),
    ]
}

pub(crate) fn tile_cases(whole: &Whole) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for (id, width) in [(tile_id(0, 0), 256), (tile_id(0, 1), 49), (tile_id(1, 0), 1)] {
        let gone = whole.tampered().change_tiles(move |tiles| {
            if let Ok(tiles) = tiles {
                tiles.retain(|tile| tile.id != id);
            }
        });
        cases.push((gone, vec![Finding::TileMissing(id)]));
        let unreadable = whole.tampered().change_tiles(move |tiles| {
            if tiles.iter().flatten().any(|tile| tile.id == id) {
                *tiles = Err(StoreError::Corrupt { message: "a tile", cause: None });
            }
        });
        cases.push((unreadable, vec![Finding::TileUnreadable(id)]));
        for position in [0, width / 2, width - 1] {
            let other = whole.tile(id, move |hashes| hashes[position * Hash::LEN + 7] ^= 0x10);
            cases.push((other, vec![Finding::TileDiffers { id, position }]));
        }
        let narrow = whole.tile(id, |hashes| hashes.truncate(hashes.len() - Hash::LEN));
        cases.push((narrow, vec![Finding::TileDiffers { id, position: width - 1 }]));
        let wide = whole.tile(id, |hashes| hashes.extend([0; Hash::LEN]));
        cases.push((wide, vec![Finding::TileDiffers { id, position: width }]));
    }
    let root = whole.tampered().change_log(|log| log.root = flipped(log.root));
    cases.push((root, vec![Finding::Root { size: SIZE }]));
    cases
}

pub(crate) fn head_cases(whole: &Whole) -> Vec<Case> {
    let differs = |size, field| Finding::HeadDiffers { size, field };
    let public = key(1).verifier_key().clone();
    let unknown = VerifierKey::new("kapsel.example/log", KeyType::Ed25519, key(9).verifier_key().public_key()).unwrap();
    let is_of_checkpoints = |text: &str| text.parse::<VerifierKey>().unwrap().key_type() == KeyType::Ed25519;
    let truncated = public.to_string().split_at(60).0.to_owned();
    let signature = SignatureError::Mismatch;
    let bad_signature = Finding::HeadSignature {
        size: 300,
        source: OpenError::Signature { name: public.name().to_owned(), key_id: public.id(), source: signature },
    };
    vec![
        (
            {
                let (public, truncated) = (public.to_string(), truncated.clone());
                whole.tampered().change_keys(move |keys| {
                    keys.iter_mut()
                        .filter(|key| key.verifier_key == public)
                        .for_each(|key| key.verifier_key.clone_from(&truncated));
                })
            },
            vec![
                Finding::Key { source: truncated.parse::<VerifierKey>().unwrap_err(), verifier_key: truncated },
                Finding::HeadUnsigned { size: 300 },
                Finding::HeadUnsigned { size: 305 },
            ],
        ),
        (
            whole.tampered().change_keys(move |keys| keys.retain(|key| !is_of_checkpoints(&key.verifier_key))),
            vec![Finding::HeadUnsigned { size: 300 }, Finding::HeadUnsigned { size: 305 }],
        ),
        (
            whole.tampered().change_keys(move |keys| {
                keys.truncate(1);
                keys[0].verifier_key = unknown.to_string();
            }),
            [300, 305].map(|size| Finding::HeadSignature { size, source: OpenError::UnknownSigners }).to_vec(),
        ),
        (
            // Another root would be another text, which nobody signed.
            whole.head(300, |head| {
                let text = head.checkpoint.clone();
                let other = Checkpoint::new(&head_origin(&text), 300, flipped(head.root), &[]);
                let (_, lines) = text.split_once("\n\n").unwrap();
                head.checkpoint = format!("{}\n{lines}", other.unwrap().to_text());
            }),
            vec![differs(300, "root"), bad_signature],
        ),
        (
            whole.head(300, |head| head.checkpoint = head.checkpoint.trim_end().to_owned()),
            vec![Finding::HeadForm { size: 300, source: NoteError::SignatureLine(2).into() }],
        ),
        (
            whole.head(300, |head| head.root = flipped(head.root)),
            vec![Finding::HeadRoot { size: 300 }, differs(300, "root")],
        ),
        (whole.head(300, |head| head.signed_at = head.signed_at + Duration::from_secs(1)), vec![differs(300, "time")]),
        (whole.head(300, |head| head.size = 299), vec![Finding::HeadRoot { size: 299 }, differs(299, "size")]),
        (
            whole.head(305, |head| head.size = 400),
            vec![
                Finding::HeadBeyond { size: 400, tree: SIZE },
                differs(400, "size"),
                Finding::Published { named: Some(305), last: Some(400) },
            ],
        ),
        (
            whole.tampered().change_heads(|heads| {
                if let Some(first) = heads.iter().position(|head| head.size == 300) {
                    heads.insert(first, heads[first].clone());
                }
            }),
            vec![Finding::HeadOrder { size: 300, before: 300 }],
        ),
        (
            whole.head(305, |head| head.signed_at = head.signed_at - Duration::from_secs(3_600)),
            vec![Finding::HeadTime { size: 305 }, differs(305, "time")],
        ),
        (
            whole.tampered().change_log(|log| log.origin = "other.example".to_owned()),
            [300, 305].into_iter().flat_map(|size| [differs(size, "origin"), Finding::HeadUnsigned { size }]).collect(),
        ),
        (
            whole.tampered().change_heads(|heads| heads.retain(|head| head.size != 305)),
            vec![Finding::Published { named: Some(305), last: Some(300) }],
        ),
        (whole.tampered().change_heads(Vec::clear), vec![Finding::Published { named: Some(305), last: None }]),
        (
            whole.tampered().change_log(|log| log.published = None),
            vec![Finding::Published { named: None, last: Some(305) }],
        ),
        (
            whole.tampered().change_log(|log| log.published = log.published.map(|(size, root)| (size, flipped(root)))),
            vec![differs(305, "root")],
        ),
    ]
}

pub(crate) fn head_origin(checkpoint: &str) -> String {
    checkpoint.lines().next().unwrap().to_owned()
}

pub(crate) fn attempt_cases(whole: &Whole) -> Vec<Case> {
    let [one, other] = whole.pending[..] else { panic!("two wait") };
    let both = |finding: fn(AttemptId) -> Finding| vec![finding(one), finding(other)];
    let integrated = whole.attempt(17);
    vec![
        (
            whole.tampered().change_leaf(|leaf| *leaf = Err(StoreError::NotFound)),
            both(|attempt_id| Finding::PendingMissing { attempt_id }),
        ),
        (
            whole.tampered().change_leaf(|leaf| {
                let stored = leaf.as_mut().unwrap();
                let mut written = AttemptLeaf::from_canonical(&stored.data).unwrap();
                written.duration_ms += 1;
                stored.data = written.to_canonical().into();
            }),
            both(|attempt_id| Finding::PendingHash { attempt_id }),
        ),
        (
            whole.tampered().change_leaf(|leaf| leaf.as_mut().unwrap().log_id = LogId::MAX),
            both(|attempt_id| Finding::LeafDiffers { attempt_id, field: "log" }),
        ),
        (
            whole.tampered().change_pending(|pending| pending.iter_mut().for_each(|leaf| leaf.hash = leaf_hash(b"x"))),
            both(|attempt_id| Finding::PendingHash { attempt_id }),
        ),
        (
            whole.trace(integrated, |trace| (trace.has_leaf, trace.is_integrated) = (false, false)),
            vec![Finding::AttemptWithoutLeaf { attempt_id: integrated }],
        ),
        (whole.trace(one, |trace| trace.is_pending = false), vec![Finding::AttemptNowhere { attempt_id: one }]),
        (
            whole.trace(integrated, |trace| trace.is_pending = true),
            vec![Finding::AttemptTwice { attempt_id: integrated }],
        ),
    ]
}
