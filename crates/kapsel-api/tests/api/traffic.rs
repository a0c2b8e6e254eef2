//! Every webhook is counted once, as what became of it, and the page of metrics shows what the program has to say.

use http::Request;
use kapsel_core::endpoint::{DisabledReason, EndpointStatus};
use kapsel_core::signature::VerificationScheme;
use kapsel_core::{EndpointId, IdGenerator, SystemEntropy, Timestamp};
use std::sync::Arc;

use crate::support::App;
use crate::support::store::Fault;

#[tokio::test]
async fn the_page_ends_with_the_figures_of_the_program() {
    let app = App::new().await;
    *app.figures.lock().unwrap() = "# TYPE one gauge\none 1\n".to_owned();
    let page = app.call(Request::get("/metrics").body("".into()).unwrap()).await.text();
    assert!(page.starts_with("# HELP kapsel_store_up") && page.ends_with("\n# TYPE one gauge\none 1\n"), "{page}");
}

#[tokio::test]
async fn every_webhook_is_counted_as_what_became_of_it() {
    let app = App::with(|settings| settings.body_bytes_max = 10).await;
    let plain = app.endpoint().await;
    let signed = app.endpoint_with(|builder| builder.verification(VerificationScheme::Github, &["secret"])).await;
    let off = EndpointStatus::Disabled(DisabledReason::Gone);
    let disabled = app.endpoint_with(|builder| builder.with(|endpoint| endpoint.status = off)).await;
    let unknown: EndpointId = IdGenerator::new(Arc::new(SystemEntropy)).next(Timestamp::EPOCH);

    let key = [("idempotency-key", "one")];
    app.ingest(plain, &key, "body").await.expect_received();
    assert!(app.ingest(plain, &key, "body").await.is_replay());
    app.ingest(plain, &key, "other").await.expect_error(409, "E1005");
    app.ingest(plain, &[("idempotency-key", "")], "body").await.expect_error(400, "E1006");
    app.ingest(plain, &[], "too much of it").await.expect_error(413, "E1002");
    app.ingest(signed, &[], "body").await.expect_error(401, "E1001");
    app.ingest(disabled, &[], "body").await.expect_error(410, "E1003");
    app.ingest(unknown, &[], "body").await.expect_error(404, "E1003");
    app.store.fail([Fault::Short]);
    app.ingest(plain, &[], "body").await.expect_error(503, "E3001");
    app.store.refuse(b"poison");
    app.ingest(plain, &[], "poison").await.expect_error(500, "E3006");
    app.store.set_spooling();
    app.ingest(plain, &[], "body").await.expect_received();
    app.api.drain().await;
    app.ingest(plain, &[], "body").await.expect_error(503, "E3005");

    let expected = [
        "accepted",
        "spooled",
        "duplicate",
        "conflict",
        "invalid_signature",
        "too_large",
        "bad_request",
        "unknown_endpoint",
        "disabled",
        "stopping",
        "store_unavailable",
        "internal",
    ];
    assert_eq!(app.ingested(), expected.map(|word| (word, 1)));
}
