//! Proofs of C2SP's text format: whatever is read is written back as it was, and what is proven is true.
#![no_main]

use kapsel_verification::TlogProof;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(proof) = TlogProof::parse(data) else { return };
    assert_eq!(proof.to_text().as_bytes(), data);
    let leaf = proof.extra().unwrap_or_default();
    if let Some(verified) = kapsel_fuzz::verifier().check_tlog_proof(&proof, leaf).verified() {
        kapsel_fuzz::assert_true(verified);
    }
});
