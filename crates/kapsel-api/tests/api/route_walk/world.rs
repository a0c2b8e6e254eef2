//! Two tenants with one of everything each. What is tenant B's can be told by its mark.

use std::collections::BTreeMap;

use http::Method;
use kapsel_core::settlement::Next;
use kapsel_core::{Clock as _, FinalReason, Scope, SystemEntropy, TenantId};
use serde_json::json;

use crate::attest::Logger;
use crate::manage_events::{answered, deliver_body, settle};
use crate::support::{App, KEY};

/// It stands in everything of tenant B that has a text.
pub(super) const MARK: &str = "marked-b";

/// The ids of one tenant's things, by what stands in front of them.
type Ids = BTreeMap<String, String>;

pub(super) struct World {
    pub(super) app: App,
    /// Of tenant A, who asks.
    pub(super) ours: Ids,
    /// Of tenant B.
    pub(super) theirs: Ids,
    our_tenant: TenantId,
}

impl World {
    pub(super) async fn new() -> Self {
        let app = App::new().await;
        let logger = Logger::of(&app).await;
        let our_tenant = app.tenant().await;
        let ours = one_of_everything(&app, our_tenant, "ours").await;
        let theirs = one_of_everything(&app, app.tenant().await, MARK).await;
        logger.publish(&app).await;
        World { app, ours, theirs, our_tenant }
    }

    /// A key of tenant A.
    pub(super) async fn our_key(&self, scopes: &[Scope]) -> String {
        self.app.api_key(self.our_tenant, scopes).await
    }

    /// A well-formed key that nobody has.
    pub(super) fn unknown_key(&self) -> String {
        let now = self.app.clock.now();
        let (_, secret) =
            test_harness::builders::api_key(kapsel_core::ApiKeyId::MIN, self.our_tenant, now, &SystemEntropy);
        secret.expose().to_owned()
    }

    /// An id of this kind that is nobody's.
    pub(super) fn nobodys(&self, prefix: &str) -> String {
        if prefix == "hash" { "ab".repeat(32) } else { format!("{prefix}_01h455vb4pex5vsknk084sn02q") }
    }

    /// Everything of tenant B, as the operator sees it.
    pub(super) async fn all_of_theirs(&self) -> String {
        let id = |prefix: &str| &self.theirs[prefix];
        let mut all = String::new();
        for path in [
            format!("/v1/tenants/{}", id("ten")),
            format!("/v1/endpoints/{}", id("ep")),
            format!("/v1/events/{}", id("evt")),
            format!("/v1/replays/{}", id("rpl")),
            format!("/v1/erasures/{}", id("ers")),
            format!("/v1/api-keys/{}", id("key")),
            "/v1/endpoints".to_owned(),
            "/v1/events".to_owned(),
            "/v1/replays".to_owned(),
            "/v1/erasures".to_owned(),
            "/v1/api-keys".to_owned(),
            format!("/attestation/proof/{}", id("hash")),
        ] {
            let answer = self.app.manage_with(Method::GET, &path, &[("kapsel-tenant", id("ten"))], None).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            all.push_str(&answer.text());
        }
        all
    }
}

/// Makes one of everything for a tenant, each with `mark` in its texts.
async fn one_of_everything(app: &App, tenant: TenantId, mark: &str) -> Ids {
    let name = tenant.to_string();
    let make = async |path: &str, body| {
        let answer = app.manage_with(Method::POST, path, &[("kapsel-tenant", &name)], Some(body)).await;
        assert!(answer.status.is_success(), "{}", answer.text());
        answer.json()["id"].as_str().unwrap().to_owned()
    };
    let url = format!("https://{mark}.example/{mark}");
    let endpoint = make("/v1/endpoints", json!({"name": mark, "url": url, "headers": {mark: mark}})).await;
    let (event, claimed) = deliver_body(app, endpoint.parse().unwrap(), &json!({"payload": mark}).to_string()).await;
    settle(app, &claimed, answered(500, mark.to_owned()), Next::Failed(FinalReason::Refused)).await;
    let replay = make("/v1/replays", json!({"endpoint_id": endpoint, "statuses": ["delivered"]})).await;
    let erasure = make("/v1/erasures", json!({"event_id": event.to_string()})).await;
    let key = make("/v1/api-keys", json!({"name": mark, "scopes": ["read"]})).await;
    let request = http::Request::get(format!("/v1/events/{event}")).header("kapsel-tenant", &name);
    let request = request.header("authorization", format!("Bearer {KEY}")).body("".into()).unwrap();
    let shown = app.call(request).await.json();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    [
        ("ten", name.clone()),
        ("ep", endpoint),
        ("evt", event),
        ("dlv", text(&shown["deliveries"][0]["id"])),
        ("da", text(&shown["attempts"][0]["id"])),
        ("hash", text(&shown["attempts"][0]["leaf_hash"])),
        ("rpl", replay),
        ("ers", erasure),
        ("key", key),
    ]
    .map(|(prefix, id)| (prefix.to_owned(), id))
    .into()
}
