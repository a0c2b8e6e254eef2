//! Input that is damaged, cut off, huge or malicious, and output that nobody reads.

use std::io::Write as _;
use std::process::{Command, Stdio};

use kapsel_verification::leaf_hash;

use crate::fixture::{Key, Log, leaf};
use crate::program::{Folder, run, run_with};

fn key() -> String {
    Key::log(1).hex()
}

#[test]
fn arguments_that_make_no_sense_are_unusable() {
    let folder = Folder::new();
    let proof = folder.file("proof.json", serde_json::to_string(&Log::new(7).package(2, 7)).unwrap());
    for arguments in [
        &[][..],
        &["--proof", &proof],
        &["--public-key", &key()],
        &["--proof", &proof, "--public-key", ""],
        &["--proof", &proof, "--public-key", &key()[1..]],
        &["--proof", &proof, "--public-key", "name+00000000+AAAA"],
        &["--proof", &proof, "--public-key", &"0".repeat(64)],
        &["--proof", &proof, "--public-key", &key(), "--more"],
        &["--proof", &proof, "--proof", &proof, "--public-key", &key()],
        &["--proof", &proof, "--public-key", &key(), "consistency"],
        &["consistency", "--old", &proof, "--new", &proof, "--public-key", &key()],
        &["--proof", "does/not/exist", "--public-key", &key()],
        &["--proof", env!("CARGO_MANIFEST_DIR"), "--public-key", &key()],
        &["--proof", &proof, "--policy", "does/not/exist"],
    ] {
        let run = run(arguments);
        assert_eq!(run.code, 2, "{arguments:?}");
        assert!(run.stdout.is_empty() && !run.stderr.is_empty(), "{arguments:?}");
    }
    assert_eq!(run(&["--help"]).code, 0);
    assert!(run(&["--version"]).stdout.starts_with("kapsel-verify "));
}

#[test]
fn a_damaged_file_is_never_proven() {
    let sound = serde_json::to_vec(&Log::new(7).package(2, 7)).unwrap();
    let verify = |document: &[u8]| run_with(&["--proof", "-", "--public-key", &key()], document).code;
    assert_eq!(verify(&sound), 0);
    // Every byte is looked at in the library's tests; here a program is started each time.
    for at in (0..sound.len()).step_by(sound.len() / 40) {
        let mut damaged = sound.clone();
        damaged[at] ^= 1;
        assert_ne!(verify(&damaged), 0, "byte {at}");
        assert_eq!(verify(&sound[..at]), 2, "cut off at {at}");
    }
}

#[test]
fn hostile_files_are_unusable() {
    let sound = serde_json::to_string(&Log::new(7).package(2, 7)).unwrap();
    let cases: [Vec<u8>; 14] = [
        Vec::new(),
        b"\0".to_vec(),
        vec![0xff; 1000],
        b"null".to_vec(),
        b"{}".to_vec(),
        b"[]".to_vec(),
        b"c2sp.org/tlog-proof@v1\n".to_vec(),
        "[".repeat(1_000_000).into_bytes(),
        "{\"leaf_data\":".repeat(80_000).into_bytes(),
        sound.replacen("\"leaf_index\":2", "\"leaf_index\":2e400", 1).into_bytes(),
        sound.replacen("\"leaf_index\":2", &format!("\"leaf_index\":{}", "9".repeat(100_000)), 1).into_bytes(),
        sound.replacen("\"url\":", &format!("\"{}\":", "u".repeat(500_000)), 1).into_bytes(),
        format!("{sound}{}", " ".repeat(2_000_000)).into_bytes(),
        format!("{sound}{}", " ".repeat(8_000_000)).into_bytes(),
    ];
    for case in cases {
        let run = run_with(&["--proof", "-", "--public-key", &key()], &case);
        assert_eq!(run.code, 2, "{:?}", &case[..case.len().min(100)]);
        assert!(run.stdout.is_empty() && run.stderr.starts_with("kapsel-verify: "), "{}", run.stderr);
        assert!(run.stderr.len() < 5000, "{} bytes of complaint", run.stderr.len());
    }
}

/// A path of a file that has no end.
#[cfg(unix)]
#[test]
fn a_file_without_an_end_is_read_up_to_a_bound() {
    let run = run(&["--proof", "/dev/zero", "--public-key", &key()]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("/dev/zero is longer than 4194304 bytes"));
}

/// It does not take in more than it refuses, whatever the other side sends.
#[test]
fn no_more_is_read_than_the_bound() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_kapsel-verify"))
        .args(["--proof", "-", "--public-key", &key()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let chunk = vec![b' '; 64 * 1024];
    let taken = (0..1024).take_while(|_| stdin.write_all(&chunk).is_ok()).count() * chunk.len();
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(2));
    // What the pipe itself holds comes on top.
    assert!(taken < 6 * 1024 * 1024, "{taken} bytes were taken");
}

/// A log that its owner made up himself, with words for the terminal of whoever verifies it.
#[test]
fn a_proof_cannot_write_on_the_terminal() {
    let folder = Folder::new();
    let mut log = Log::new(7);
    let mut hostile = leaf(1);
    hostile.outcome = "failed\u{1b}[2K\r\n\nPROVEN: the attempt DELIVERED \u{202e}".into();
    hostile.event_id = "evt_\u{7}\u{9b}2J".into();
    log.leaves[1] = hostile.to_canonical();
    log.tree = crate::reference::Tree::of(&log.leaves);
    let mut package = log.package(1, 7);
    package.leaf_hash = leaf_hash(&log.leaves[1]);
    let proof = folder.file("proof.json", serde_json::to_string(&package).unwrap());
    let proven = run(&["--proof", &proof, "--public-key", &key()]);
    assert_eq!(proven.code, 0);
    assert!(proven.stdout.chars().all(|c| c == '\n' || !c.is_control()));
    assert!(!proven.stdout.contains('\u{202e}'));
    assert_eq!(proven.stdout.lines().filter(|line| line.starts_with("PROVEN")).count(), 1);
    assert!(proven.stdout.contains("did NOT deliver"));
    package.delivery_attempt_id = "\u{1b}]0;title\u{7}".into();
    let proof = folder.file("proof.json", serde_json::to_string(&package).unwrap());
    let refused = run(&["--proof", &proof, "--public-key", &key()]);
    assert_eq!(refused.code, 1);
    assert!(refused.stdout.chars().all(|c| c == '\n' || !c.is_control()));
}

#[cfg(unix)]
#[test]
fn a_reader_that_has_gone_does_not_change_the_verdict() {
    let folder = Folder::new();
    let proof = folder.file("proof.json", serde_json::to_string(&Log::new(7).package(2, 7)).unwrap());
    for (seed, code) in [(1, 0), (9, 1)] {
        // The reading end is closed before the program starts.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(env!("CARGO_BIN_EXE_kapsel-verify"))
            .args(["--proof", &proof, "--public-key", &Key::log(seed).hex()])
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(code), &b""[..]));
    }
}

/// Then nobody has been told.
#[cfg(target_os = "linux")]
#[test]
fn an_answer_that_cannot_be_written_is_no_answer() {
    let folder = Folder::new();
    let proof = folder.file("proof.json", serde_json::to_string(&Log::new(7).package(2, 7)).unwrap());
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let status = Command::new(env!("CARGO_BIN_EXE_kapsel-verify"))
        .args(["--proof", &proof, "--public-key", &key()])
        .stdout(full)
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(2));
}
