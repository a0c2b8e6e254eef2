//! Signatures that the vendors' own libraries make are accepted, and refused after one changed byte.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kapsel_core::{Clock as _, SystemClock};
use serde_json::{Value, json};

use crate::judges::Judge;
use crate::program::Program;

async fn signed(judge: &mut Judge, vendor: &str, secret: &str, timestamp: i64, body: &str) -> Vec<(String, String)> {
    let question = json!({
        "vendor": vendor, "secret": secret, "timestamp": timestamp, "body_base64": STANDARD.encode(body),
    });
    let answer: Value = judge.ask(&question).await;
    let headers = answer["headers"].as_object().unwrap_or_else(|| panic!("{answer}"));
    headers.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
}

fn borrowed(headers: &[(String, String)]) -> Vec<(&str, &str)> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn stripe_and_slack_signatures_of_their_own_libraries_are_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path()).await;
    let mut judge = Judge::start("sign_vendor.py");
    let now = SystemClock.now().unix_seconds();
    let cases = [
        ("stripe", "whsec_5f0c1e", r#"{"id": "evt_1", "object": "event", "type": "charge.refunded", "ü": "€"}"#),
        ("slack", "8f742231b10e8888abcd99yyyzzz85a5", "token=x&text=gr%C3%BC%C3%9Fe&command=%2Fweather"),
    ];
    for (vendor, secret, body) in cases {
        // The right secret stands second: rotation is under way.
        let verification = json!({"scheme": vendor, "secrets": ["an older secret", secret]});
        let endpoint = program
            .create_endpoint(json!({
                "url": "https://example.com/", "verification": verification,
                "idempotency": {"mode": "explicit_only"},
            }))
            .await;
        let url = endpoint["ingest_url"].as_str().unwrap();
        let headers = signed(&mut judge, vendor, secret, now, body).await;
        program.post(url, &borrowed(&headers), body.to_owned()).await.expect(200);

        for position in [0, body.len() / 2, body.len() - 1] {
            let mut changed = body.as_bytes().to_vec();
            changed[position] ^= 1;
            let answer = program.post(url, &borrowed(&headers), changed).await.expect(401);
            assert_eq!(answer.code(), "E1001", "{vendor}, byte {position}");
        }
        for (index, _) in headers.iter().enumerate() {
            let mut changed = headers.clone();
            let last = changed[index].1.pop().unwrap();
            changed[index].1.push(if last == '0' { '1' } else { '0' });
            program.post(url, &borrowed(&changed), body.to_owned()).await.expect(401);
        }
        let foreign = signed(&mut judge, vendor, "another secret", now, body).await;
        program.post(url, &borrowed(&foreign), body.to_owned()).await.expect(401);
        for stale in [now - 3_600, now + 3_600] {
            let headers = signed(&mut judge, vendor, secret, stale, body).await;
            program.post(url, &borrowed(&headers), body.to_owned()).await.expect(401);
        }
    }
    assert_eq!(program.list_events("").await.len(), cases.len(), "nothing refused was stored");
}
