//! Secrets at rest: nothing of them stands in the data folder, and without the master key nothing starts.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::json;

use crate::program::{MASTER_KEY, OPERATOR_KEY, Program, run, text};

const VERIFICATION: &str = "marked-verification-secret-4711";
const HEADER: &str = "Bearer marked-header-secret-4712";

/// Everything in the files of a folder, but for those named.
fn bytes_in(folder: &Path, but: &[&str]) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in folder.read_dir().unwrap().map(Result::unwrap) {
        let is_left_out = but.contains(&entry.file_name().to_str().unwrap());
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => all.extend(bytes_in(&entry.path(), but)),
            _ if is_left_out => {}
            _ => all.extend(std::fs::read(entry.path()).unwrap()),
        }
    }
    all
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_alone_gives_no_secret_away() {
    let folder = tempfile::tempdir().unwrap();
    let own_key = [("KAPSEL_MASTER_KEY", "")];
    let program = Program::start_with(folder.path(), &own_key).await;
    let endpoint = program
        .create_endpoint(json!({
            "url": "https://marked-destination.example/",
            "verification": {"scheme": "github", "secrets": [VERIFICATION]},
            "headers": {"authorization": HEADER},
        }))
        .await;
    let signing = endpoint["signing_secret"].as_str().unwrap().to_owned();
    assert!(program.terminate().await.success());

    let master_key = folder.path().join("master-key");
    assert_eq!(std::fs::metadata(&master_key).unwrap().permissions().mode() & 0o777, 0o600);
    let stored = bytes_in(folder.path(), &["master-key", "operator-key"]);
    // The test looks at the right files.
    assert!(has(&stored, "marked-destination"));
    for secret in [VERIFICATION, HEADER, &signing] {
        assert!(!has(&stored, secret), "{secret} stands in a file");
    }

    // With the key they are there again.
    let program = Program::start_with(folder.path(), &own_key).await;
    let url = endpoint["ingest_url"].as_str().unwrap();
    let path = &url[url.find("/ingest").unwrap()..];
    let body = "{}";
    let mac = {
        use hmac::{Hmac, Mac as _};
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(VERIFICATION.as_bytes()).unwrap();
        mac.update(body.as_bytes());
        format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
    };
    let ingest_url = format!("{}{path}", program.base);
    program.post(&ingest_url, &[("x-hub-signature-256", &mac)], body).await.expect(200);
    assert!(program.terminate().await.success());

    // Without it, the program says what is missing and how to mend it, and touches nothing.
    std::fs::remove_file(&master_key).unwrap();
    for key in ["", MASTER_KEY] {
        let settings = [
            ("KAPSEL_DATA_DIR", folder.path().to_str().unwrap()),
            ("SERVER_ADDR", "127.0.0.1:0"),
            ("KAPSEL_OPERATOR_KEY", OPERATOR_KEY),
            ("KAPSEL_MASTER_KEY", key),
        ];
        let output = run(&["serve"], &settings).await;
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("which is not configured") && said.contains("KAPSEL_MASTER_KEY"), "{said}");
        assert!(!said.contains(MASTER_KEY), "{said}");
        assert!(!master_key.exists(), "a new key in the place of the old one would only mislead");
    }
}
