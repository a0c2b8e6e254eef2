//! Webhooks that are refused: with which answer, and without leaving anything behind.

use std::time::Duration;

use hmac::{Hmac, Mac as _};
use http::Request;
use kapsel_core::endpoint::{DisabledReason, EndpointStatus};
use kapsel_core::signature::VerificationScheme;
use kapsel_core::{EndpointId, IdGenerator, SystemEntropy};
use sha2::Sha256;
use std::sync::Arc;

use crate::support::App;
use crate::support::app::webhook;
use crate::support::body::{End, by_hand, in_pieces};

const SECRET: &str = "It's a Secret to Everybody";

fn github(body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap().chain_update(body).finalize();
    format!("sha256={}", hex::encode(mac.into_bytes()))
}

/// Nothing was stored and nothing was even sent to the store.
async fn expect_no_trace(app: &App) {
    assert!(app.events().await.is_empty());
    assert!(app.store.batches().is_empty());
    assert!(app.handoff.started().is_empty());
}

#[tokio::test]
async fn unknown_and_malformed_endpoints_are_not_found() {
    let app = App::new().await;
    let unknown: EndpointId = IdGenerator::new(Arc::new(SystemEntropy)).next(kapsel_core::Timestamp::EPOCH);
    let known = app.endpoint().await.to_string();
    let shouted = known.to_uppercase();
    for id in [unknown.to_string().as_str(), "ep_nonsense", "evt_01h455vb4pex5vsknk084sn02q", "%65p_x", &shouted] {
        let request = Request::post(format!("/ingest/{id}")).body("body".into()).unwrap();
        app.call(request).await.expect_error(404, "E1003");
    }
    expect_no_trace(&app).await;
}

#[tokio::test]
async fn a_disabled_endpoint_takes_nothing_in() {
    let app = App::new().await;
    for reason in DisabledReason::ALL {
        let disabled = EndpointStatus::Disabled(*reason);
        let endpoint = app.endpoint_with(|builder| builder.with(|endpoint| endpoint.status = disabled)).await;
        app.ingest(endpoint, &[("idempotency-key", "k")], "body").await.expect_error(410, "E1003");
    }
    expect_no_trace(&app).await;
}

#[tokio::test]
async fn a_wrong_signature_is_refused_before_anything_is_remembered() {
    let app = App::new().await;
    let endpoint =
        app.endpoint_with(|builder| builder.verification(VerificationScheme::Github, &["old", SECRET])).await;
    let good = github(b"body");
    let for_other_bytes = github(b"other body");
    let key = ("idempotency-key", "k");
    let refusals = [
        (vec![key], "the signature header is missing"),
        (vec![key, ("x-hub-signature-256", for_other_bytes.as_str())], "no signature matches"),
        (vec![key, ("x-hub-signature-256", "sha256=zz")], "the signature header is malformed"),
    ];
    for (headers, expected) in refusals {
        let answer = app.ingest(endpoint, &headers, "body").await;
        assert_eq!(answer.expect_error(401, "E1001"), expected);
        assert!(answer.header("www-authenticate").is_none());
        assert!(!answer.text().contains(&good[7..15]), "{}", answer.text());
    }
    expect_no_trace(&app).await;
    // The key was not burnt.
    let answer = app.ingest(endpoint, &[key, ("x-hub-signature-256", &good)], "body").await;
    answer.expect_received();
    assert!(!answer.is_replay());
}

#[tokio::test]
async fn large_bodies_are_verified_too() {
    let app = App::new().await;
    let endpoint = app.endpoint_with(|builder| builder.verification(VerificationScheme::Github, &[SECRET])).await;
    let body = vec![b'x'; 1_000_000];
    app.ingest(endpoint, &[("x-hub-signature-256", "sha256=00")], body.clone()).await.expect_error(401, "E1001");
    app.ingest(endpoint, &[("x-hub-signature-256", &github(&body))], body).await.expect_received();
}

#[tokio::test]
async fn an_endpoint_whose_verification_is_damaged_fails_closed() {
    let app = App::new().await;
    // A scheme without a secret cannot be configured; only a damaged store could hold it.
    let endpoint = app.endpoint_with(|builder| builder.verification(VerificationScheme::Github, &[])).await;
    app.ingest(endpoint, &[("x-hub-signature-256", &github(b"body"))], "body").await.expect_error(500, "E3006");
    expect_no_trace(&app).await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_by_its_declared_length() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    let message = app.ingest(endpoint, &[], vec![0; 11_000_000]).await.expect_error(413, "E1002");
    assert_eq!(message, "the body has 11000000 bytes; the limit is 10485760 bytes");
    expect_no_trace(&app).await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_while_it_is_read() {
    let app = App::with(|settings| settings.body_bytes_max = 1_000).await;
    let endpoint = app.endpoint().await;
    // It would never end: the limit is enforced while reading, not afterwards.
    let endless = in_pieces([vec![0; 600], vec![0; 600]], End::Stuck);
    let message = app.ingest(endpoint, &[], endless).await.expect_error(413, "E1002");
    assert_eq!(message, "the body has more than 1000 bytes; the limit is 1000 bytes");
    expect_no_trace(&app).await;

    app.ingest(endpoint, &[], in_pieces([vec![0; 600], vec![0; 400]], End::Whole)).await.expect_received();
    app.ingest(endpoint, &[], vec![0; 1_000]).await.expect_received();
    app.ingest(endpoint, &[], vec![0; 1_001]).await.expect_error(413, "E1002");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_in_time_is_refused() {
    let app = App::with(|settings| settings.body_read_timeout = Duration::from_secs(30)).await;
    let endpoint = app.endpoint().await;
    let begun = tokio::time::Instant::now();
    let message = app.ingest(endpoint, &[], in_pieces(["some"], End::Stuck)).await.expect_error(408, "E1012");
    assert_eq!(begun.elapsed(), Duration::from_secs(30));
    assert!(message.contains("30 s"), "{message}");
    expect_no_trace(&app).await;
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    app.ingest(endpoint, &[], in_pieces(["some"], End::Broken)).await.expect_error(400, "E1006");
    expect_no_trace(&app).await;
}

#[tokio::test]
async fn an_unusable_explicit_key_is_refused() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    let long = "k".repeat(256);
    for key in ["", &long] {
        app.ingest(endpoint, &[("idempotency-key", key)], "body").await.expect_error(400, "E1006");
    }
    let two = [("idempotency-key", "a"), ("x-idempotency-key", "b")];
    app.ingest(endpoint, &two, "body").await.expect_error(400, "E1006");
    expect_no_trace(&app).await;
}

#[tokio::test]
async fn the_ingest_route_takes_post_alone() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    for method in ["GET", "PUT", "DELETE", "PATCH"] {
        let mut request = webhook(endpoint, &[], "body");
        *request.method_mut() = method.parse().unwrap();
        let answer = app.call(request).await;
        answer.expect_error(405, "E1010");
        assert_eq!(answer.header("allow"), Some("POST"));
    }
    expect_no_trace(&app).await;
}

/// Many senders write their whole body before they read, so the rest of a refused one is read and thrown away. Who
/// waits for "100 Continue" has sent nothing, and reading would ask for it.
#[tokio::test]
async fn the_rest_of_a_refused_body_is_thrown_away_unless_it_was_not_sent_yet() {
    let app = App::new().await;
    for (headers, is_read) in [(vec![], true), (vec![("expect", "100-continue")], false)] {
        let (pieces, body) = by_hand();
        pieces.try_send("piece".into()).unwrap();
        app.ingest(EndpointId::MIN, &headers, body).await.expect_error(404, "E1003");
        assert_eq!(!pieces.is_closed(), is_read);
        if is_read {
            // There is room again when the piece was read.
            pieces.reserve().await.unwrap();
        }
    }
}
