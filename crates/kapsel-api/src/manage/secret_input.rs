//! Input that holds secrets: `verification`, `signing_secret`, `headers`. No value of them is ever shown back.

use http::{HeaderName, HeaderValue};
use kapsel_core::endpoint::SigningSecret;
use kapsel_core::headers::custom_header_refusal;
use kapsel_core::signature::inbound::{
    HmacAlgorithm, InvalidVerification, MacEncoding, SECRETS_MAX, TOLERANCE_SECONDS_DEFAULT, TOLERANCE_SECONDS_MAX,
};
use kapsel_core::signature::{OutboundSigner, VerificationScheme, Verifier};
use kapsel_core::{Endpoint, EndpointSecrets};
use secrecy::{ExposeSecret as _, SecretString};

use super::fields::{Object, Problems};

/// How many custom headers an endpoint can have, and how long a value can be, in bytes.
pub(crate) const HEADERS_MAX: usize = 50;
pub(crate) const HEADER_VALUE_BYTES_MAX: usize = 8 * 1024;

/// What names a verification scheme.
#[derive(Clone, Copy)]
enum Kind {
    None,
    Hmac,
    Stripe,
    Github,
    Shopify,
    Slack,
    StandardWebhooks,
}

const KINDS: &[(&str, Kind)] = &[
    ("none", Kind::None),
    ("hmac", Kind::Hmac),
    ("stripe", Kind::Stripe),
    ("github", Kind::Github),
    ("shopify", Kind::Shopify),
    ("slack", Kind::Slack),
    ("standard-webhooks", Kind::StandardWebhooks),
];

const HMAC_FIELDS: &[&str] = &["algorithm", "header", "encoding", "prefix"];
const TOLERANCE_FIELDS: &[&str] = &["tolerance_seconds"];
pub(crate) const VERIFICATION: &[&str] =
    &["scheme", "secrets", "algorithm", "header", "encoding", "prefix", "tolerance_seconds"];

/// Reads `verification` or its short form `signature_header`.
pub(crate) fn verification(
    root: &Object<'_>,
    problems: &Problems,
    present: Option<&Endpoint>,
) -> Option<(VerificationScheme, Vec<SecretString>)> {
    if root.has("verification") {
        if root.has("signature_header") {
            root.refuse("signature_header", "is the short form of verification; give one of the two");
        }
        return long_form(root, problems, present);
    }
    if root.has("signature_header") {
        return short_form(root, problems, present);
    }
    let kept = present.map(|endpoint| (endpoint.config.verification.clone(), endpoint.secrets.verification.clone()));
    Some(kept.unwrap_or((VerificationScheme::None, Vec::new())))
}

fn long_form(
    root: &Object<'_>,
    problems: &Problems,
    present: Option<&Endpoint>,
) -> Option<(VerificationScheme, Vec<SecretString>)> {
    let input = root.object("verification", VERIFICATION)?;
    let given_secrets = input.secrets("secrets");
    if !input.has("scheme") {
        problems.add(input.path_of("scheme"), "is required");
    }
    let kind = input.word("scheme", KINDS)?;
    let own_fields = match kind {
        Kind::Hmac => HMAC_FIELDS,
        Kind::Stripe | Kind::Slack | Kind::StandardWebhooks => TOLERANCE_FIELDS,
        Kind::None | Kind::Github | Kind::Shopify => &[],
    };
    let all_fields = HMAC_FIELDS.iter().chain(TOLERANCE_FIELDS);
    for foreign in all_fields.filter(|name| !own_fields.contains(name) && input.has(name)) {
        input.refuse(foreign, "does not belong to this scheme");
    }
    let tolerance_seconds = match own_fields.contains(&"tolerance_seconds") {
        true => input.whole("tolerance_seconds", 1..=TOLERANCE_SECONDS_MAX).unwrap_or(TOLERANCE_SECONDS_DEFAULT),
        false => TOLERANCE_SECONDS_DEFAULT,
    };
    let scheme = match kind {
        Kind::None => VerificationScheme::None,
        Kind::Github => VerificationScheme::Github,
        Kind::Shopify => VerificationScheme::Shopify,
        Kind::Stripe => VerificationScheme::Stripe { tolerance_seconds },
        Kind::Slack => VerificationScheme::Slack { tolerance_seconds },
        Kind::StandardWebhooks => VerificationScheme::StandardWebhooks { tolerance_seconds },
        Kind::Hmac => {
            if !input.has("header") {
                problems.add(input.path_of("header"), "is required by the scheme hmac");
            }
            let algorithm = input.word(
                "algorithm",
                &[("sha256", HmacAlgorithm::Sha256), ("sha1", HmacAlgorithm::Sha1), ("sha512", HmacAlgorithm::Sha512)],
            );
            let encoding = input.word("encoding", &[("hex", MacEncoding::Hex), ("base64", MacEncoding::Base64)]);
            VerificationScheme::Hmac {
                algorithm: algorithm.unwrap_or(HmacAlgorithm::Sha256),
                header: input.text("header").unwrap_or_default().to_ascii_lowercase(),
                encoding: encoding.unwrap_or(MacEncoding::Hex),
                prefix: input.text("prefix").unwrap_or_default().to_owned(),
            }
        }
    };
    let secrets = match (given_secrets, present) {
        (Some(given), _) => given,
        (None, Some(present)) if scheme != VerificationScheme::None => with_places(&present.secrets.verification),
        (None, _) => Vec::new(),
    };
    for (field, problem) in faults(&scheme, &secrets) {
        let path = input.path_of(&field);
        // What was noted already is not noted twice.
        if problems.is_fine(&path) {
            problems.add(path, problem);
        }
    }
    Some((scheme, without_places(secrets)))
}

/// `signature_header` with `signing_secret`: HMAC-SHA256 in hex, as most self-made senders have it.
fn short_form(
    root: &Object<'_>,
    problems: &Problems,
    present: Option<&Endpoint>,
) -> Option<(VerificationScheme, Vec<SecretString>)> {
    let header = root.text("signature_header")?.to_ascii_lowercase();
    // GitHub's header has this in front of the MAC, and so has everybody who copied the header.
    let prefix = if header == "x-hub-signature-256" { "sha256=" } else { "" };
    let scheme = VerificationScheme::Hmac {
        algorithm: HmacAlgorithm::Sha256,
        header,
        encoding: MacEncoding::Hex,
        prefix: prefix.to_owned(),
    };
    let secrets = match (root.has("signing_secret"), present) {
        (true, _) => root.secret("signing_secret").into_iter().map(|secret| (0, secret)).collect(),
        (false, Some(present)) => with_places(&present.secrets.verification),
        (false, None) => Vec::new(),
    };
    for (field, problem) in faults(&scheme, &secrets) {
        let name = if field == "header" { "signature_header" } else { "signing_secret" };
        if problems.is_fine(name) {
            problems.add(name, problem);
        }
    }
    Some((scheme, without_places(secrets)))
}

/// A secret with its place in the list that was given.
type Placed = (usize, SecretString);

fn with_places(secrets: &[SecretString]) -> Vec<Placed> {
    secrets.iter().cloned().enumerate().collect()
}

fn without_places(secrets: Vec<Placed>) -> Vec<SecretString> {
    secrets.into_iter().map(|(_, secret)| secret).collect()
}

/// Everything that the verifier finds wrong with a scheme and its secrets, as field and problem. It names one fault at
/// a time, so each one found is taken out and the rest looked at again.
fn faults(scheme: &VerificationScheme, secrets: &[Placed]) -> Vec<(String, String)> {
    let mut scheme = scheme.clone();
    let mut secrets = secrets.to_vec();
    let mut faults = Vec::new();
    loop {
        let Err(error) = Verifier::new(&scheme, &without_places(secrets.clone())) else {
            return faults;
        };
        let text = error.to_string();
        let problem = text.split_once(": ").map_or(text.as_str(), |(_, problem)| problem).to_owned();
        let is_last = match &error {
            InvalidVerification::EmptySecret { index } | InvalidVerification::SecretForm { index, .. } => {
                if *index < secrets.len() {
                    let (place, _) = secrets.remove(*index);
                    faults.push((format!("secrets[{place}]"), problem));
                    secrets.is_empty()
                } else {
                    true
                }
            }
            InvalidVerification::TooManySecrets => {
                faults.push(("secrets".to_owned(), problem));
                secrets.truncate(SECRETS_MAX);
                false
            }
            InvalidVerification::NoSecret | InvalidVerification::UnusedSecret => {
                faults.push(("secrets".to_owned(), problem));
                true
            }
            InvalidVerification::Header | InvalidVerification::Prefix | InvalidVerification::Tolerance => {
                faults.push((error.field().to_owned(), problem));
                mend(&mut scheme, &error);
                false
            }
        };
        // A verifier that found fault with what was mended would go round for ever.
        if is_last || faults.len() > 2 * SECRETS_MAX {
            return faults;
        }
    }
}

/// Puts something acceptable in place of a field that was refused.
fn mend(scheme: &mut VerificationScheme, error: &InvalidVerification) {
    match scheme {
        VerificationScheme::Hmac { header, .. } if *error == InvalidVerification::Header => {
            "x-signature".clone_into(header);
        }
        VerificationScheme::Hmac { prefix, .. } if *error == InvalidVerification::Prefix => prefix.clear(),
        VerificationScheme::Stripe { tolerance_seconds }
        | VerificationScheme::Slack { tolerance_seconds }
        | VerificationScheme::StandardWebhooks { tolerance_seconds } => {
            *tolerance_seconds = TOLERANCE_SECONDS_DEFAULT;
        }
        _ => {}
    }
}

/// Reads the key of outgoing signatures: the given one, else the present ones, else a new one.
pub(crate) fn signing(
    root: &Object<'_>,
    problems: &Problems,
    present: Option<&EndpointSecrets>,
    generate: impl FnOnce() -> SecretString,
) -> Vec<SigningSecret> {
    // Beside `signature_header`, `signing_secret` is the secret of incoming signatures.
    let given = if root.has("signature_header") { None } else { root.secret("signing_secret") };
    let Some(key) = given else {
        let present = present.map(|secrets| secrets.signing.clone()).filter(|keys| !keys.is_empty());
        return present.unwrap_or_else(|| vec![SigningSecret { key: generate(), expires_at: None }]);
    };
    let keys = vec![SigningSecret { key, expires_at: None }];
    if let Err(error) = OutboundSigner::new(&keys) {
        let text = error.to_string();
        problems.add("signing_secret", text.split_once(": ").map_or(text.as_str(), |(_, problem)| problem));
    }
    keys
}

/// Reads `headers`. On a change, `null` as a value keeps the present value of that header.
pub(crate) fn headers(
    root: &Object<'_>,
    problems: &Problems,
    present: Option<&EndpointSecrets>,
) -> Vec<(String, SecretString)> {
    let present = present.map(|secrets| secrets.headers.as_slice()).unwrap_or_default();
    if !root.has("headers") {
        return present.to_vec();
    }
    let Some(input) = root.open_object("headers") else {
        return Vec::new();
    };
    let mut headers: Vec<(String, SecretString)> = Vec::new();
    for (written, value) in input.entries() {
        let path = input.path_of(written);
        let name = written.to_ascii_lowercase();
        if HeaderName::from_bytes(name.as_bytes()).is_err() {
            problems.add(path, "is not the name of a header");
            continue;
        }
        if let Some(refusal) = custom_header_refusal(&name) {
            problems.add(path, refusal);
            continue;
        }
        if headers.iter().any(|(earlier, _)| *earlier == name) {
            problems.add(path, "is given twice, in different case");
            continue;
        }
        let value = match value {
            serde_json::Value::Null => present.iter().find(|(kept, _)| *kept == name).map(|(_, value)| value.clone()),
            given => given.as_str().map(SecretString::from),
        };
        match value {
            Some(value) if is_header_value(value.expose_secret()) => headers.push((name, value)),
            Some(_) => problems.add(
                path,
                format!("must have at most {HEADER_VALUE_BYTES_MAX} bytes and no line breaks or control characters"),
            ),
            None => problems.add(path, "must be a text"),
        }
    }
    if headers.len() > HEADERS_MAX {
        problems.add(root.path_of("headers"), format!("must be at most {HEADERS_MAX}"));
    }
    headers
}

fn is_header_value(text: &str) -> bool {
    text.len() <= HEADER_VALUE_BYTES_MAX && HeaderValue::from_str(text).is_ok()
}
