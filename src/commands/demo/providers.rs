//! Webhooks as real providers sign them. Written from the sender's side, independently of the verification code.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// One webhook to send, with the endpoint configuration that accepts it.
pub(super) struct Webhook {
    /// The provider, as shown.
    pub(super) provider: &'static str,
    /// The `verification` object of the endpoint.
    pub(super) verification: serde_json::Value,
    /// Request headers.
    pub(super) headers: Vec<(&'static str, String)>,
    /// Request body.
    pub(super) body: Vec<u8>,
}

/// The MAC itself, as raw bytes.
fn hmac_sha256(secret: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    // HMAC takes keys of every length; only fixed-length MACs can refuse one.
    let Ok(mut mac) = <Hmac<Sha256> as Mac>::new_from_slice(secret) else { return Vec::new() };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

/// One webhook of each provider, signed now. `nonce` makes ids and secrets unlike those of other runs.
pub(super) fn all(unix_seconds: i64, nonce: u64) -> Vec<Webhook> {
    vec![
        github(nonce),
        stripe(unix_seconds, nonce),
        shopify(nonce),
        slack(unix_seconds, nonce),
        standard_webhooks(unix_seconds, nonce),
        generic_hmac(nonce),
        unsigned_binary(nonce),
    ]
}

fn github(nonce: u64) -> Webhook {
    let secret = format!("github-secret-{nonce}");
    let body = format!(
        r#"{{"action":"opened","number":{number},"pull_request":{{"title":"Añade una función ✓"}}}}"#,
        number = nonce % 10_000
    )
    .into_bytes();
    let mac = hex::encode(hmac_sha256(secret.as_bytes(), &[&body]));
    Webhook {
        provider: "github",
        verification: serde_json::json!({"scheme": "github", "secrets": [secret]}),
        headers: vec![
            ("content-type", "application/json".to_owned()),
            ("x-github-event", "pull_request".to_owned()),
            ("x-github-delivery", format!("72d3162e-cc78-11e3-81ab-{nonce:012x}", nonce = nonce & 0xffff_ffff_ffff)),
            ("x-hub-signature-256", format!("sha256={mac}")),
        ],
        body,
    }
}

fn stripe(unix_seconds: i64, nonce: u64) -> Webhook {
    let secret = format!("whsec_stripe{nonce}");
    let body = format!(
        "{{\n  \"id\": \"evt_{nonce}\",\n  \"object\": \"event\",\n  \"type\": \"payment_intent.succeeded\",\n  \
         \"data\": {{\"object\": {{\"amount\": 1099, \"currency\": \"eur\"}}}}\n}}"
    )
    .into_bytes();
    let timestamp = unix_seconds.to_string();
    let mac = hex::encode(hmac_sha256(secret.as_bytes(), &[timestamp.as_bytes(), b".", &body]));
    Webhook {
        provider: "stripe",
        verification: serde_json::json!({"scheme": "stripe", "secrets": [secret]}),
        headers: vec![
            ("content-type", "application/json; charset=utf-8".to_owned()),
            ("stripe-signature", format!("t={timestamp},v1={mac}")),
        ],
        body,
    }
}

fn shopify(nonce: u64) -> Webhook {
    let secret = format!("shpss_{nonce:x}");
    let body = format!(r#"{{"id":{nonce},"line_items":[{{"title":"Teapot","price":"19.99"}}]}}"#).into_bytes();
    let mac = STANDARD.encode(hmac_sha256(secret.as_bytes(), &[&body]));
    Webhook {
        provider: "shopify",
        verification: serde_json::json!({"scheme": "shopify", "secrets": [secret]}),
        headers: vec![
            ("content-type", "application/json".to_owned()),
            ("x-shopify-topic", "orders/create".to_owned()),
            ("x-shopify-webhook-id", format!("b54557e4-bdd9-4b37-8a5f-{nonce:012x}", nonce = nonce & 0xffff_ffff_ffff)),
            ("x-shopify-hmac-sha256", mac),
        ],
        body,
    }
}

fn slack(unix_seconds: i64, nonce: u64) -> Webhook {
    let secret = format!("slack-signing-secret-{nonce}");
    let body = format!("token=demo&command=%2Fdeploy&text=production&trigger_id={nonce}").into_bytes();
    let timestamp = unix_seconds.to_string();
    let mac = hex::encode(hmac_sha256(secret.as_bytes(), &[b"v0:", timestamp.as_bytes(), b":", &body]));
    Webhook {
        provider: "slack",
        verification: serde_json::json!({"scheme": "slack", "secrets": [secret]}),
        headers: vec![
            ("content-type", "application/x-www-form-urlencoded".to_owned()),
            ("x-slack-request-timestamp", timestamp),
            ("x-slack-signature", format!("v0={mac}")),
        ],
        body,
    }
}

fn standard_webhooks(unix_seconds: i64, nonce: u64) -> Webhook {
    let key = hmac_sha256(b"demo", &[&nonce.to_le_bytes()]);
    let body = format!(r#"{{"type":"invoice.paid","data":{{"invoice":{nonce}}}}}"#).into_bytes();
    let id = format!("msg_{nonce:x}");
    let timestamp = unix_seconds.to_string();
    let mac = STANDARD.encode(hmac_sha256(&key, &[id.as_bytes(), b".", timestamp.as_bytes(), b".", &body]));
    Webhook {
        provider: "standard-webhooks",
        verification: serde_json::json!({
            "scheme": "standard-webhooks",
            "secrets": [format!("whsec_{}", STANDARD.encode(&key))],
        }),
        headers: vec![
            ("content-type", "application/json".to_owned()),
            ("webhook-id", id),
            ("webhook-timestamp", timestamp),
            ("webhook-signature", format!("v1,{mac}")),
        ],
        body,
    }
}

fn generic_hmac(nonce: u64) -> Webhook {
    let secret = format!("gitea-like-{nonce}");
    let body = format!("<order><id>{nonce}</id><note>größer als XML denkt</note></order>\r\n").into_bytes();
    let mac = hex::encode(hmac_sha256(secret.as_bytes(), &[&body]));
    Webhook {
        provider: "hmac (x-signature)",
        verification: serde_json::json!({
            "scheme": "hmac", "algorithm": "sha256", "header": "x-signature", "encoding": "hex", "prefix": "",
            "secrets": [secret],
        }),
        headers: vec![("content-type", "application/xml".to_owned()), ("x-signature", mac)],
        body,
    }
}

fn unsigned_binary(nonce: u64) -> Webhook {
    // Every byte value once, so that nothing on the way can take it for text.
    let body = (0..=u8::MAX).chain(nonce.to_le_bytes()).collect();
    Webhook {
        provider: "none (binary)",
        verification: serde_json::json!({"scheme": "none"}),
        headers: vec![("content-type", "application/octet-stream".to_owned())],
        body,
    }
}
