//! The end of the demo: one proof, checked by the separate verifier; and the same proof with one changed byte.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::Value;
use tokio::process::Command;

use super::Error;
use super::client::Client;

const PROGRAM: &str = "kapsel-verify";
/// How often a proof that is not there yet is asked for.
const POLL: Duration = Duration::from_millis(100);

/// Downloads the proof of an attempt and has it verified. Returns whether all was as it should be: it holds, and with one
/// changed byte it does not.
pub(super) async fn show(client: &Client, attempt_id: &str) -> Result<bool, Error> {
    println!("Downloading the proof of {attempt_id}, once a signed head of the log covers it.");
    let package = download(client, attempt_id).await?;
    let keys = client.call(Method::GET, "/attestation/keys", None).await?;
    // That of the checkpoints, and that of their times.
    let keys: Vec<&str> =
        keys["keys"].as_array().into_iter().flatten().filter_map(|key| key["verifier_key"].as_str()).collect();
    let folder = tempfile::tempdir()?;

    let whole = folder.path().join("proof.json");
    std::fs::write(&whole, serde_json::to_vec(&package)?)?;
    let proven = verify(&whole, &keys).await?;
    println!();
    print!("{}", String::from_utf8_lossy(&proven.stdout));

    let changed = folder.path().join("changed.json");
    std::fs::write(&changed, serde_json::to_vec(&with_changed_byte(&package)?)?)?;
    let refused = verify(&changed, &keys).await?;
    println!();
    println!("The same proof with one byte of the leaf changed:");
    println!();
    print!("{}", String::from_utf8_lossy(&refused.stdout));
    Ok(proven.status.code() == Some(0) && refused.status.code() == Some(1))
}

async fn download(client: &Client, attempt_id: &str) -> Result<Value, Error> {
    let path = format!("/attestation/download-proof/{attempt_id}");
    loop {
        let (status, answer) = client.get(&path).await?;
        match status {
            StatusCode::OK => return Ok(answer),
            StatusCode::ACCEPTED => tokio::time::sleep(POLL).await,
            other => return Err(format!("{path}: {other}: {answer}").into()),
        }
    }
}

/// The package with the status of the answer, in the bytes of the leaf, changed by one byte.
fn with_changed_byte(package: &Value) -> Result<Value, Error> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let leaf = package["leaf_data"].as_str().ok_or("the package has no leaf")?;
    let leaf = String::from_utf8(STANDARD.decode(leaf)?)?;
    let changed = leaf.replacen("\"http_status\":200", "\"http_status\":201", 1);
    if changed == leaf {
        return Err("the leaf has no status 200".into());
    }
    let mut package = package.clone();
    package["leaf_data"] = STANDARD.encode(changed).into();
    Ok(package)
}

async fn verify(proof: &Path, keys: &[&str]) -> Result<Output, Error> {
    let run = |program: PathBuf| {
        let mut command = Command::new(program);
        command.arg("--proof").arg(proof);
        for key in keys {
            command.arg("--public-key").arg(key);
        }
        async move { command.output().await }
    };
    let beside = std::env::current_exe()?.with_file_name(PROGRAM);
    let output = match run(beside).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => run(PROGRAM.into()).await,
        other => other,
    };
    output.map_err(|error| {
        format!("{PROGRAM} is neither beside this program nor in the PATH ({error}); build it with: cargo build --release -p kapsel-verify").into()
    })
}
