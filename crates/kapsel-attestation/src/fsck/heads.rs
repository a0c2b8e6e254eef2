//! The heads that were published, looked at while the tree grows past their sizes.

use std::collections::VecDeque;

use kapsel_core::Timestamp;
use kapsel_store::StoreError;
use kapsel_store::attestation::Head;
use kapsel_verification::{Hash, KeyType, SignedCheckpoint, VerifierKey};

use super::{Check, Finding};

/// How many heads are read at once.
const PAGE: usize = 1_000;

/// The heads in order, and what is known of those that were looked at.
pub(super) struct Heads {
    keys: Vec<VerifierKey>,
    page: VecDeque<Head>,
    /// Up to which size they are read; `None` before the first page.
    read: Option<u64>,
    is_whole: bool,
    last: Option<(u64, Timestamp)>,
}

impl Heads {
    /// Reads the keys and the first heads.
    pub(super) async fn new(check: &mut Check<'_>) -> Result<Self, StoreError> {
        let mut keys = Vec::new();
        for key in check.store.log_key_list(check.log.id).await? {
            check.summary.keys += 1;
            match key.verifier_key.parse() {
                Ok(key) => keys.push(key),
                Err(source) => check.found(Finding::Key { verifier_key: key.verifier_key, source }),
            }
        }
        let mut heads = Heads { keys, page: VecDeque::new(), read: None, is_whole: false, last: None };
        heads.read(check).await?;
        Ok(heads)
    }

    /// The size of the next head.
    pub(super) fn next_size(&self) -> Option<u64> {
        self.page.front().map(|head| head.size)
    }

    /// Looks at the heads up to `size`, which is how far the tree has come, with this root.
    pub(super) async fn reach(&mut self, check: &mut Check<'_>, size: u64, root: &Hash) -> Result<(), StoreError> {
        while let Some(head) = self.page.pop_front_if(|head| head.size <= size) {
            // A smaller one is out of order: its tree is gone by.
            if head.size == size && head.root != *root {
                check.found(Finding::HeadRoot { size });
            }
            self.look(check, &head);
            self.read(check).await?;
        }
        Ok(())
    }

    /// Looks at those that are left when the tree has come to its end, and at which one is the last.
    pub(super) async fn finish(mut self, check: &mut Check<'_>, reached: u64) -> Result<(), StoreError> {
        while let Some(head) = self.page.pop_front() {
            // The log may have gone on since the beginning, up to the moment when this head was read.
            let tree = if reached == check.log.size { check.store.log_get(check.log.id).await?.size } else { reached };
            if head.size > tree {
                check.found(Finding::HeadBeyond { size: head.size, tree });
            }
            self.look(check, &head);
            self.read(check).await?;
        }
        let last = self.last.map(|(size, _)| size);
        let size = |published: Option<(u64, Hash)>| published.map(|(size, _)| size);
        let named_now = size(check.store.log_get(check.log.id).await?.published);
        if last < size(check.log.published) || last > named_now {
            check.found(Finding::Published { named: named_now, last });
        }
        Ok(())
    }

    /// Reads on where all heads that were read are looked at.
    async fn read(&mut self, check: &Check<'_>) -> Result<(), StoreError> {
        if self.is_whole || !self.page.is_empty() {
            return Ok(());
        }
        self.page = check.store.head_list(check.log.id, self.read, PAGE).await?.into();
        let last = self.page.iter().map(|head| head.size).max();
        // Whatever the store answers, it comes to an end.
        self.is_whole = last.is_none_or(|last| self.read.is_some_and(|read| last <= read));
        self.read = last.max(self.read);
        Ok(())
    }

    /// Everything about a head that does not need the tree.
    fn look(&mut self, check: &mut Check<'_>, head: &Head) {
        check.summary.heads += 1;
        let size = head.size;
        if let Some((before, time)) = self.last {
            if size <= before {
                check.found(Finding::HeadOrder { size, before });
            }
            if head.signed_at < time {
                check.found(Finding::HeadTime { size });
            }
        }
        self.last = Some((size, head.signed_at));
        if check.log.published.is_some_and(|(published, root)| published == size && root != head.root) {
            check.found(Finding::HeadDiffers { size, field: "root" });
        }
        match SignedCheckpoint::parse(head.checkpoint.as_bytes()) {
            Ok(signed) => self.look_at_note(check, head, &signed),
            Err(source) => check.found(Finding::HeadForm { size, source }),
        }
    }

    fn look_at_note(&self, check: &mut Check<'_>, head: &Head, signed: &SignedCheckpoint) {
        let (size, checkpoint) = (head.size, signed.checkpoint());
        let times: Vec<u64> = signed.timestamps().map(|(_, time)| time).collect();
        let signed_at = u64::try_from(head.signed_at.unix_seconds()).ok();
        let fields = [
            ("origin", checkpoint.origin() == check.log.origin),
            ("size", checkpoint.size() == size),
            ("root", *checkpoint.root() == head.root),
            ("time", times.is_empty() || times.iter().any(|time| Some(*time) == signed_at)),
        ];
        for (field, is_same) in fields {
            if !is_same {
                check.found(Finding::HeadDiffers { size, field });
            }
        }
        match signed.note().open(&self.keys) {
            Err(source) => check.found(Finding::HeadSignature { size, source }),
            Ok(verified) => {
                let signs_for_log =
                    |key: &VerifierKey| key.key_type() == KeyType::Ed25519 && key.name() == check.log.origin;
                if !verified.iter().any(|signature| signs_for_log(&signature.key)) {
                    check.found(Finding::HeadUnsigned { size });
                }
            }
        }
    }
}
