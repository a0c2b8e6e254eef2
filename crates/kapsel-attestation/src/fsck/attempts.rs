//! The attempts and their leaves: each has one, which waits or is in the tree.

use kapsel_core::{AttemptId, LogId};
use kapsel_store::StoreError;
use kapsel_store::attestation::{AttemptTrace, LeafName, PendingLeaf, StoredLeaf};
use kapsel_verification::{AttemptLeaf, leaf_hash};

use super::{Check, Finding};

/// How many attempts are read at once.
const PAGE: usize = 1_000;
/// How many waiting leaves are looked at: 64 MiB of them. The list has no pages, and where more wait the log has stood
/// still for long.
const PENDING_MAX: usize = 1_000_000;

/// Looks at what a leaf says about itself.
pub(super) fn check_leaf(check: &mut Check<'_>, attempt_id: AttemptId, data: &[u8]) {
    match AttemptLeaf::from_canonical(data) {
        Err(source) => check.found(Finding::LeafForm { attempt_id, source }),
        Ok(leaf) => {
            if leaf.attempt_id.parse() != Ok(attempt_id) {
                check.found(Finding::LeafDiffers { attempt_id, field: "attempt_id" });
            }
            if leaf.log_id.parse::<LogId>() != Ok(check.log.id) {
                check.found(Finding::LeafDiffers { attempt_id, field: "log_id" });
            }
        }
    }
}

/// Looks at the leaves that wait.
pub(super) async fn check_pending(check: &mut Check<'_>) -> Result<(), StoreError> {
    let store = check.store;
    for PendingLeaf { attempt_id, tenant_id, hash } in store.leaves_pending(check.log.id, PENDING_MAX).await? {
        check.summary.pending += 1;
        let StoredLeaf { data, log_id, .. } = match store.leaf_get(tenant_id, LeafName::Attempt(attempt_id)).await {
            Err(StoreError::NotFound) => {
                check.found(Finding::PendingMissing { attempt_id });
                continue;
            }
            result => result?,
        };
        if leaf_hash(&data) != hash {
            check.found(Finding::PendingHash { attempt_id });
        }
        check_leaf(check, attempt_id, &data);
        if log_id != check.log.id {
            check.found(Finding::LeafDiffers { attempt_id, field: "log" });
        }
    }
    Ok(())
}

/// Looks at every attempt that is stored.
pub(super) async fn check_traces(check: &mut Check<'_>) -> Result<(), StoreError> {
    let first = AttemptId::lower_bound(check.log.created_at);
    let mut after = None;
    loop {
        let page = check.store.attempt_traces(after, PAGE).await?;
        let Some(last) = page.last().map(|trace| trace.place) else { return Ok(()) };
        if after.is_some_and(|after| last <= after) {
            return Err(StoreError::Corrupt { message: "the attempts do not come in order", cause: None });
        }
        after = Some(last);
        for trace in &page {
            if trace.place.attempt_id < first {
                check.summary.attempts_before += 1;
            } else {
                check_trace(check, trace);
            }
        }
    }
}

fn check_trace(check: &mut Check<'_>, trace: &AttemptTrace) {
    let attempt_id = trace.place.attempt_id;
    check.summary.attempts += 1;
    check.summary.attempts_integrated += u64::from(trace.is_integrated);
    if !trace.has_leaf {
        check.found(Finding::AttemptWithoutLeaf { attempt_id });
    }
    match (trace.is_pending, trace.is_integrated) {
        (true, true) => check.found(Finding::AttemptTwice { attempt_id }),
        // One without a leaf is found already.
        (false, false) if trace.has_leaf => check.found(Finding::AttemptNowhere { attempt_id }),
        (true, false) | (false, _) => {}
    }
}
