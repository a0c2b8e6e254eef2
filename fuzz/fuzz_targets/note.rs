//! Signed notes: whatever is read is written back as it was.
#![no_main]

use kapsel_verification::{SignedNote, note};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(read) = SignedNote::parse(data) {
        assert_eq!(read.to_text().as_bytes(), data);
        assert_eq!(note::format(read.text(), read.signatures()).as_deref(), Ok(read.to_text().as_str()));
    }
});
