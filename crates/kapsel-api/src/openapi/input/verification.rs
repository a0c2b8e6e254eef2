//! How incoming webhooks prove where they come from, and what outgoing ones are signed with.

use kapsel_core::signature::inbound::{SECRETS_MAX, TOLERANCE_SECONDS_DEFAULT, TOLERANCE_SECONDS_MAX};
use kapsel_core::signature::outbound::{SECRET_BYTES_MAX, SECRET_BYTES_MIN};
use serde_json::{Value, json};

use super::endpoint::Change;
use crate::openapi::described::{about, closed, or_null};
use crate::openapi::words;

/// The bytes of an Ed25519 seed, and of a seed with its public key behind it.
const SEED_BYTES: usize = 32;
const PAIR_BYTES: usize = 64;

/// One scheme with its secrets.
pub(super) fn verification(change: Change) -> Value {
    let text = || json!({"type": "string", "minLength": 1});
    let tolerance = || {
        let mut seconds = or_null(words::whole(1, TOLERANCE_SECONDS_MAX.into()));
        seconds["default"] = TOLERANCE_SECONDS_DEFAULT.into();
        ("tolerance_seconds", about("How far the time of signing may lie from the present, in seconds.", seconds))
    };
    let word = |default: &str, others: [&str; 2]| {
        let mut schema = or_null(words::words([default, others[0], others[1]]));
        schema["default"] = default.into();
        schema
    };
    let prefix = json!({"type": ["string", "null"], "pattern": "^(?! )[ -~]*$", "examples": ["sha256="]});
    let scheme = |scheme: Value, secret: Value, more: Vec<(&'static str, Value)>, needed: &[&str]| {
        let secrets =
            json!({"type": "array", "items": secret, "minItems": 1, "maxItems": SECRETS_MAX, "writeOnly": true});
        let secrets = about("Any of them may have signed. Never shown again.", secrets);
        // A change of an endpoint can leave them as they are.
        let (secrets, secrets_needed): (_, &[&str]) = match change {
            Change::New => (secrets, &["scheme", "secrets"]),
            Change::Present => (or_null(secrets), &["scheme"]),
        };
        closed(&[secrets_needed, needed].concat(), [vec![("scheme", scheme), ("secrets", secrets)], more].concat())
    };
    let none = json!({"type": ["array", "null"], "maxItems": 0});
    let encoding = about("How the MAC is written.", {
        let mut schema = or_null(words::words(["hex", "base64"]));
        schema["default"] = "hex".into();
        schema
    });
    json!({
        "description": "How incoming webhooks prove where they come from.",
        "default": {"scheme": "none"},
        "anyOf": [
            closed(&["scheme"], vec![("scheme", json!({"const": "none"})), ("secrets", none)]),
            scheme(words::words(["github", "shopify"]), text(), vec![], &[]),
            scheme(words::words(["stripe", "slack"]), text(), vec![tolerance()], &[]),
            scheme(json!({"const": "standard-webhooks"}), standard_secret(), vec![tolerance()], &[]),
            scheme(json!({"const": "hmac"}), text(), vec![
                ("algorithm", about("The hash function.", word("sha256", ["sha1", "sha512"]))),
                ("header", about("The header that has the MAC.", words::header_name())),
                ("encoding", encoding),
                ("prefix", about("What stands before the MAC.", prefix)),
            ], &["header"]),
        ],
    })
}

/// What Standard Webhooks signs with: a shared secret, or the public half of a key.
fn standard_secret() -> Value {
    json!({
        "type": "string",
        "description": "`whsec_…` for `v1`, `whpk_…` (an Ed25519 public key) for `v1a`.",
        "pattern": format!("^(?:(?:whsec_)?{}|whpk_{})$", base64(1, 64), base64(32, 32)),
        "examples": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
    })
}

/// A key that outgoing requests are signed with.
pub(super) fn signing_secret() -> Value {
    let secret = base64(SECRET_BYTES_MIN, SECRET_BYTES_MAX);
    let (seed, pair) = (base64(SEED_BYTES, SEED_BYTES), base64(PAIR_BYTES, PAIR_BYTES));
    json!({
        "type": "string",
        "description": "`whsec_…` for `v1`; `whsk_…` for `v1a`: an Ed25519 seed, with or without its public key behind it.",
        "pattern": format!("^(?:whsec_{secret}|whsk_{seed}|whsk_{pair})$"),
        "examples": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        "writeOnly": true,
    })
}

/// The same, or with `signature_header` any text.
pub(super) fn signing_secret_or_text() -> Value {
    json!({
        "type": "string",
        "minLength": 1,
        "description": "The key that outgoing requests are signed with: `whsec_…` for `v1`, `whsk_…` for `v1a`. Without \
            it, one is made. With `signature_header`, any text: the secret of incoming signatures.",
        "examples": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        "writeOnly": true,
    })
}

/// A pattern for base64 of `min` to `max` bytes with padding, in its canonical form: the bits that are left over in the last
/// character are zero.
fn base64(min: usize, max: usize) -> String {
    let ends = ["", "[A-Za-z0-9+/][AQgw]==", "[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]="];
    let forms = ends.iter().enumerate().filter(|(over, _)| *over <= max).map(|(over, end)| {
        let (least, most) = (min.saturating_sub(over).div_ceil(3), (max - over) / 3);
        (least <= most).then(|| format!("(?:[A-Za-z0-9+/]{{4}}){{{least},{most}}}{end}"))
    });
    format!("(?:{})", forms.flatten().collect::<Vec<_>>().join("|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_base64_are_those_of_its_bytes() {
        assert_eq!(base64(32, 32), "(?:(?:[A-Za-z0-9+/]{4}){10,10}[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)");
        let all = base64(24, 64);
        for part in ["{8,21}|", "{8,21}[A-Za-z0-9+/][AQgw]==", "{8,20}[A-Za-z0-9+/]{2}"] {
            assert!(all.contains(part), "{part}: {all}");
        }
    }
}
