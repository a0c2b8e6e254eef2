//! Keys by table, and what holds for any request.

use proptest::prelude::*;

use super::*;
use crate::signature::inbound::{HmacAlgorithm, MacEncoding};

type Headers<'a> = &'a [(&'a str, &'a str)];

fn block(headers: Headers<'_>) -> HeaderBlock {
    HeaderBlock::from_pairs(headers.iter().map(|(name, value)| (*name, value.as_bytes())))
}

fn policy(mode: IdempotencyMode) -> IdempotencyPolicy {
    IdempotencyPolicy { mode, ..IdempotencyPolicy::default() }
}

fn key_by(
    mode: IdempotencyMode,
    scheme: &VerificationScheme,
    headers: Headers<'_>,
    body: &str,
) -> Result<Option<IdempotencyKey>, InvalidIdempotencyKey> {
    let sha256 = Sha256::digest(body).into();
    policy(mode).key_of(scheme, &block(headers), body.as_bytes(), &sha256)
}

fn text_by(mode: IdempotencyMode, scheme: &VerificationScheme, headers: Headers<'_>, body: &str) -> Option<String> {
    key_by(mode, scheme, headers, body).unwrap().map(|key| {
        assert!(!key.explicit);
        key.text
    })
}

fn schemes() -> [VerificationScheme; 7] {
    [
        VerificationScheme::None,
        VerificationScheme::Hmac {
            algorithm: HmacAlgorithm::Sha256,
            header: "x-signature".to_owned(),
            encoding: MacEncoding::Hex,
            prefix: String::new(),
        },
        VerificationScheme::Stripe { tolerance_seconds: 300 },
        VerificationScheme::Github,
        VerificationScheme::Shopify,
        VerificationScheme::Slack { tolerance_seconds: 300 },
        VerificationScheme::StandardWebhooks { tolerance_seconds: 300 },
    ]
}

fn modes() -> [IdempotencyMode; 5] {
    [
        IdempotencyMode::Auto,
        IdempotencyMode::Header { header: "x-request-id".to_owned() },
        IdempotencyMode::JsonPointer { pointer: "/data/id".to_owned() },
        IdempotencyMode::ContentHash,
        IdempotencyMode::ExplicitOnly,
    ]
}

/// A request in which every mode and scheme would find something.
const FULL_HEADERS: Headers<'_> = &[
    ("x-request-id", "req_1"),
    ("webhook-id", "msg_1"),
    ("svix-id", "svix_1"),
    ("x-github-delivery", "gh_1"),
    ("x-shopify-webhook-id", "shop_1"),
];
const FULL_BODY: &str = r#"{"id":"evt_1","event_id":"Ev1","data":{"id":77}}"#;

#[test]
fn an_explicit_key_comes_first_whatever_the_policy() {
    for mode in modes() {
        for scheme in schemes() {
            for name in ["X-Idempotency-Key", "Idempotency-Key"] {
                let headers = [FULL_HEADERS, &[(name, "my key")]].concat();
                let key = key_by(mode.clone(), &scheme, &headers, FULL_BODY).unwrap().unwrap();
                assert_eq!((key.text.as_str(), key.explicit), ("my key", true), "{mode:?} {scheme:?}");
            }
        }
    }
}

#[test]
fn explicit_keys_by_table() {
    let (x, plain) = ("x-idempotency-key", "idempotency-key");
    let longest = "k".repeat(KEY_BYTES_MAX);
    let too_long = "k".repeat(KEY_BYTES_MAX + 1);
    let cases: [(Headers<'_>, Result<Option<&str>, InvalidIdempotencyKey>); 15] = [
        (&[], Ok(None)),
        (&[(x, "a")], Ok(Some("a"))),
        (&[(plain, "a")], Ok(Some("a"))),
        (&[(x, "a"), (plain, "a")], Ok(Some("a"))),
        (&[(x, "a"), (x, "a")], Ok(Some("a"))),
        (&[(x, &longest)], Ok(Some(&longest))),
        (&[(x, "~ !\"{}")], Ok(Some("~ !\"{}"))),
        (&[(x, "a"), (plain, "b")], Err(InvalidIdempotencyKey::Ambiguous)),
        (&[(x, "a"), (x, "A")], Err(InvalidIdempotencyKey::Ambiguous)),
        (&[(plain, "a"), (plain, "")], Err(InvalidIdempotencyKey::Ambiguous)),
        (&[(x, "")], Err(InvalidIdempotencyKey::Empty)),
        (&[(x, &too_long)], Err(InvalidIdempotencyKey::TooLong)),
        (&[(x, "é")], Err(InvalidIdempotencyKey::NotPrintable)),
        (&[(x, "a\tb")], Err(InvalidIdempotencyKey::NotPrintable)),
        (&[(x, "a\u{7f}")], Err(InvalidIdempotencyKey::NotPrintable)),
    ];
    for (headers, expected) in cases {
        let key = key_by(IdempotencyMode::ExplicitOnly, &VerificationScheme::None, headers, "");
        let text = key.as_ref().map(|key| key.as_ref().map(|key| key.text.as_str()));
        assert_eq!(text, expected.as_ref().copied(), "{headers:?}");
    }
    let binary = HeaderBlock::from_pairs([(x, &b"\xff"[..])]);
    let key = IdempotencyPolicy::default().key_of(&VerificationScheme::None, &binary, b"", &[0; 32]);
    assert_eq!(key, Err(InvalidIdempotencyKey::NotPrintable));
}

#[test]
fn auto_takes_the_id_of_the_provider() {
    let expected = ["msg_1", "msg_1", "evt_1", "gh_1", "shop_1", "Ev1", "msg_1"];
    for (scheme, expected) in schemes().iter().zip(expected) {
        let text = text_by(IdempotencyMode::Auto, scheme, FULL_HEADERS, FULL_BODY);
        assert_eq!(text.as_deref(), Some(expected), "{scheme:?}");
    }
}

#[test]
fn auto_goes_on_where_an_id_is_missing_or_odd() {
    let [none, hmac, stripe, github, shopify, slack, standard] = &schemes();
    let cases: [(&VerificationScheme, Headers<'_>, &str, Option<&str>); 21] = [
        (none, &[], FULL_BODY, None),
        (none, &FULL_HEADERS[2..], "", Some("svix_1")),
        (hmac, &FULL_HEADERS[3..], "", Some("gh_1")),
        (hmac, &FULL_HEADERS[4..], "", Some("shop_1")),
        (none, &[("webhook-id", ""), ("x-github-delivery", "gh_1")], "", Some("gh_1")),
        (none, &[("webhook-id", "a"), ("webhook-id", "b")], "", None),
        (github, &[("webhook-id", "a")], "", None),
        (github, &[("x-github-delivery", "")], "", None),
        (github, &[("x-github-delivery", "a"), ("x-github-delivery", "b")], "", None),
        (shopify, &[("x-github-delivery", "a")], "", None),
        (standard, &[("svix-id", "a")], "", Some("a")),
        (standard, &[("x-github-delivery", "a")], "", None),
        (stripe, FULL_HEADERS, "", None),
        (stripe, FULL_HEADERS, "not json", None),
        (stripe, FULL_HEADERS, r#"{"id":""}"#, None),
        (stripe, FULL_HEADERS, r#"{"id":7}"#, None),
        (stripe, FULL_HEADERS, r#"{"data":{"id":"evt_1"}}"#, None),
        (stripe, FULL_HEADERS, r#"{"object":"event","id":"evt_2","data":[1,{"id":"x"}]}"#, Some("evt_2")),
        (slack, FULL_HEADERS, "token=x&event_id=y", None),
        (slack, FULL_HEADERS, r#"{"event_id":null}"#, None),
        (slack, FULL_HEADERS, r#"{"event":{"event_id":"x"},"event_id":"Ev2"}"#, Some("Ev2")),
    ];
    for (scheme, headers, body, expected) in cases {
        let text = text_by(IdempotencyMode::Auto, scheme, headers, body);
        assert_eq!(text.as_deref(), expected, "{scheme:?} {headers:?} {body}");
    }
}

#[test]
fn the_other_modes_take_what_they_name() {
    let [_, header, pointer, content, explicit] = modes();
    let scheme = VerificationScheme::Github;
    let text = |mode: &IdempotencyMode, headers, body| text_by(mode.clone(), &scheme, headers, body);
    assert_eq!(text(&header, FULL_HEADERS, "").as_deref(), Some("req_1"));
    assert_eq!(text(&header, &FULL_HEADERS[1..], ""), None);
    assert_eq!(text(&header, &[("x-request-id", "")], ""), None);
    assert_eq!(text(&header, &[("x-request-id", "a"), ("x-request-id", "a")], ""), None);
    assert_eq!(text(&pointer, FULL_HEADERS, FULL_BODY).as_deref(), Some("77"));
    assert_eq!(text(&pointer, FULL_HEADERS, r#"{"data":{"id":"x"}}"#).as_deref(), Some("x"));
    assert_eq!(text(&pointer, FULL_HEADERS, r#"{"data":{"id":1.5}}"#), None);
    assert_eq!(text(&pointer, FULL_HEADERS, r#"{"data":{}}"#), None);
    assert_eq!(text(&pointer, FULL_HEADERS, "not json"), None);
    let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(text(&content, FULL_HEADERS, "").as_deref(), Some(empty));
    assert_eq!(text(&explicit, FULL_HEADERS, FULL_BODY), None);
}

#[test]
fn keys_of_different_kinds_never_meet() {
    let value = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let json = format!("{{\"data\":{{\"id\":\"{value}\"}}}}");
    let [auto, header, pointer, content, explicit] = modes();
    let none = VerificationScheme::None;
    let keys = [
        key_by(explicit, &none, &[("idempotency-key", value)], ""),
        key_by(auto, &none, &[("webhook-id", value)], ""),
        key_by(header, &none, &[("x-request-id", value)], ""),
        key_by(pointer, &none, &[], &json),
        key_by(content, &none, &[], ""),
    ];
    let keys = keys.map(|key| key.unwrap().unwrap());
    for (index, key) in keys.iter().enumerate() {
        assert_eq!(key.text, value);
        assert!(keys[..index].iter().all(|other| other.hash != key.hash), "{index}");
    }
}

/// Hashes are stored: the same key has to have the same hash in every version. Computed with
/// `printf 'explicit\0abc' | sha256sum` and so on.
#[test]
fn hashes_stay_as_they_are() {
    let none = VerificationScheme::None;
    let hash = |mode, headers| hex::encode(key_by(mode, &none, headers, "").unwrap().unwrap().hash);
    let explicit = hash(IdempotencyMode::Auto, &[("idempotency-key", "abc")]);
    assert_eq!(explicit, "273f09a6ed5c3f1d64ccf94fd500eb29ba9b606d6163cd43a34cfe0688c0a0c0");
    let provider = hash(IdempotencyMode::Auto, &[("webhook-id", "abc")]);
    assert_eq!(provider, "0ee3c5a67a3db58cf1cc0d39ac20391da123305318fc1736557ad4ba56bd268d");
    let header = hash(IdempotencyMode::Header { header: "x".to_owned() }, &[("x", "abc")]);
    assert_eq!(header, "09ab00ea441a1e2eb5379cba2e2bfcbcb1915868c88a80bec8ef29e949f075b9");
}

#[test]
fn long_ids_are_told_apart_by_their_end_and_shown_cut() {
    let none = VerificationScheme::None;
    let key = |id: &str| key_by(IdempotencyMode::Auto, &none, &[("webhook-id", id)], "").unwrap().unwrap();
    let (one, two) = (key(&format!("{}1", "é".repeat(200))), key(&format!("{}2", "é".repeat(200))));
    assert_eq!(one.text, "é".repeat(127));
    assert_eq!(one.text, two.text);
    assert_ne!(one.hash, two.hash);
}

#[test]
fn control_characters_are_hashed_but_not_shown() {
    let key = |json: &str| {
        let mode = IdempotencyMode::JsonPointer { pointer: "/id".to_owned() };
        key_by(mode, &VerificationScheme::None, &[], json).unwrap().unwrap()
    };
    let (zero, newline) = (key(r#"{"id":"a\u0000b"}"#), key(r#"{"id":"a\nb"}"#));
    assert_eq!(zero.text, "a\u{fffd}b");
    assert_eq!(newline.text, zero.text);
    assert_ne!(newline.hash, zero.hash);
}

#[test]
fn policies_that_make_no_sense_are_refused() {
    let window = |window_seconds| IdempotencyPolicy { window_seconds, ..IdempotencyPolicy::default() };
    let header = |name: &str| policy(IdempotencyMode::Header { header: name.to_owned() });
    let pointer = |text: &str| policy(IdempotencyMode::JsonPointer { pointer: text.to_owned() });
    let accepted =
        [window(1), window(WINDOW_SECONDS_MAX), header("x-id"), pointer(""), pointer("/"), pointer("/a~1b/0")];
    for policy in accepted.into_iter().chain(modes().map(policy)) {
        assert_eq!(policy.validate(), Ok(()), "{policy:?}");
    }
    let refused = [
        (window(0), InvalidIdempotencyPolicy::Window),
        (window(WINDOW_SECONDS_MAX + 1), InvalidIdempotencyPolicy::Window),
        (header(""), InvalidIdempotencyPolicy::Header),
        (header("X-Id"), InvalidIdempotencyPolicy::Header),
        (header("x id"), InvalidIdempotencyPolicy::Header),
        (pointer("id"), InvalidIdempotencyPolicy::Pointer),
        (pointer("/a~"), InvalidIdempotencyPolicy::Pointer),
    ];
    for (policy, expected) in refused {
        assert_eq!(policy.validate(), Err(expected), "{policy:?}");
        assert!(expected.to_string().starts_with(expected.field()), "{expected}");
    }
}

#[test]
fn policies_keep_their_stored_form() {
    let shown = modes().map(|mode| serde_json::to_string(&policy(mode)).unwrap());
    let expected = [
        r#"{"mode":{"mode":"auto"},"window_seconds":86400}"#,
        r#"{"mode":{"mode":"header","header":"x-request-id"},"window_seconds":86400}"#,
        r#"{"mode":{"mode":"json_pointer","pointer":"/data/id"},"window_seconds":86400}"#,
        r#"{"mode":{"mode":"content_hash"},"window_seconds":86400}"#,
        r#"{"mode":{"mode":"explicit_only"},"window_seconds":86400}"#,
    ];
    assert_eq!(shown, expected);
    for (json, mode) in expected.into_iter().zip(modes()) {
        assert_eq!(serde_json::from_str::<IdempotencyPolicy>(json).unwrap(), policy(mode));
    }
    let upper = r#"{"mode":"header","header":"X-Request-Id"}"#;
    assert_eq!(serde_json::from_str::<IdempotencyMode>(upper).unwrap(), modes()[1]);
}

proptest! {
    #[test]
    fn keys_are_the_same_exactly_if_their_bytes_are(one in "[a-c]{1,3}", two in "[a-c]{1,3}") {
        let none = VerificationScheme::None;
        for name in ["idempotency-key", "webhook-id"] {
            let hash = |id: &str| key_by(IdempotencyMode::Auto, &none, &[(name, id)], "").unwrap().unwrap().hash;
            prop_assert_eq!(hash(&one) == hash(&two), one == two);
        }
    }

    #[test]
    fn no_request_is_refused_for_what_is_not_explicit(
        mode in prop::sample::select(modes().to_vec()), scheme in prop::sample::select(schemes().to_vec()),
        values in prop::collection::vec(any::<Vec<u8>>(), 5), body in any::<Vec<u8>>(),
    ) {
        let pairs = FULL_HEADERS.iter().zip(&values).map(|((name, _), value)| (*name, value.as_slice()));
        let key = policy(mode).key_of(&scheme, &HeaderBlock::from_pairs(pairs), &body, &[7; 32]).unwrap();
        if let Some(key) = key {
            prop_assert!(!key.explicit && (1..=KEY_BYTES_MAX).contains(&key.text.len()));
            prop_assert!(!key.text.chars().any(char::is_control));
        }
    }

    #[test]
    fn an_explicit_key_is_taken_or_refused_by_its_bytes_alone(value in any::<Vec<u8>>()) {
        let headers = HeaderBlock::from_pairs([("Idempotency-Key", value.as_slice())]);
        let key = IdempotencyPolicy::default().key_of(&VerificationScheme::None, &headers, b"", &[0; 32]);
        let fits = (1..=KEY_BYTES_MAX).contains(&value.len()) && value.iter().all(|byte| (0x20..0x7f).contains(byte));
        prop_assert_eq!(key.is_ok(), fits);
        if let Ok(key) = key {
            prop_assert_eq!(key.map(|key| key.text.into_bytes()), Some(value));
        }
    }
}
