//! Checkpoints: whatever is read is written back as it was, and no signature is forged.
#![no_main]

use kapsel_verification::{Checkpoint, PublicKey, SignedCheckpoint, VerifierKey};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(signed) = SignedCheckpoint::parse(data) {
        assert_eq!(signed.checkpoint().to_text(), signed.note().text());
        if let Ok(head) = kapsel_fuzz::verifier().verify_checkpoint(&signed) {
            assert!(head.tree_size <= 5);
        }
    }
    if let Ok(text) = std::str::from_utf8(data) {
        if let Ok(checkpoint) = Checkpoint::parse(text) {
            assert_eq!(checkpoint.to_text(), text);
        }
        if let Ok(key) = text.parse::<VerifierKey>() {
            assert_eq!(key.to_string(), text);
        }
        let _ = text.parse::<PublicKey>();
    }
});
