//! Proof packages: whatever is read comes back from what is written, and what is proven is true.
#![no_main]

use kapsel_verification::{AttemptLeaf, ProofPackage};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(leaf) = AttemptLeaf::from_canonical(data) {
        assert_eq!(leaf.to_canonical().as_deref(), Ok(data));
    }
    let Ok(package) = ProofPackage::from_json(data) else { return };
    let written = serde_json::to_vec(&package).unwrap_or_default();
    assert_eq!(ProofPackage::from_json(&written).ok().as_ref(), Some(&package));
    if let Some(verified) = kapsel_fuzz::verifier().check_package(&package).verified() {
        kapsel_fuzz::assert_true(verified);
    }
});
