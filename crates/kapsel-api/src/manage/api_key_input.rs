//! What `POST /v1/api-keys` takes.

use kapsel_core::{Scope, Scopes, TenantId, Timestamp};
use serde_json::Value;

use super::fields::{Object, Problems};
use crate::problem::Problem;

pub(crate) const FIELDS: &[&str] = &["name", "scopes", "expires_at", "tenant_id"];

/// A key as the input wants it.
#[derive(Debug, PartialEq)]
pub(crate) struct Draft {
    /// For people.
    pub(crate) name: String,
    /// What it may do.
    pub(crate) scopes: Scopes,
    /// From when on it opens nothing.
    pub(crate) expires_at: Option<Timestamp>,
    /// Whose it is, if the body says so.
    pub(crate) tenant_id: Option<TenantId>,
}

/// Reads the input at `now`. `named` is the tenant that the request itself names.
///
/// # Errors
/// 422 with every field that is not acceptable.
pub(crate) fn read(body: &Value, named: Option<TenantId>, now: Timestamp) -> Result<Draft, Problem> {
    let problems = Problems::default();
    let draft = Object::root(body, FIELDS, &problems).map(|root| read_root(&root, named, now));
    problems.into_result()?;
    draft.ok_or_else(|| Problem::internal("the input of a key was refused without a reason"))
}

fn read_root(root: &Object<'_>, named: Option<TenantId>, now: Timestamp) -> Draft {
    root.require("scopes");
    let words: Vec<(&str, Scope)> = Scope::ALL.iter().map(|scope| (scope.as_str(), *scope)).collect();
    let scopes = root.words("scopes", &words).unwrap_or_default();
    let expires_at = root.time("expires_at");
    if expires_at.is_some_and(|end| end <= now) {
        root.refuse("expires_at", "must lie ahead");
    }
    let tenant_id = root.parsed("tenant_id", "must be the id of a tenant (ten_...)", |text| text.parse().ok());
    if tenant_id.is_some() && named.is_some() && tenant_id != named {
        root.refuse("tenant_id", "is not the tenant that Kapsel-Tenant names");
    }
    Draft { name: root.name("name").unwrap_or_default(), scopes: scopes.into_iter().collect(), expires_at, tenant_id }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_767_225_600);

    #[test]
    fn a_key_needs_scopes() {
        let draft = read(&json!({"scopes": ["ingest-admin", "read"]}), None, NOW).unwrap();
        let scopes = [Scope::Read, Scope::IngestAdmin].into_iter().collect();
        assert_eq!(draft, Draft { name: String::new(), scopes, expires_at: None, tenant_id: None });
        for refused in [json!({}), json!({"scopes": []}), json!({"scopes": ["root"]}), json!({"scopes": "read"})] {
            assert!(read(&refused, None, NOW).is_err(), "{refused}");
        }
    }

    #[test]
    fn it_expires_later_and_belongs_to_one_tenant() {
        let expires_at = NOW + Duration::from_millis(1);
        let body = |at: Timestamp, id: TenantId| json!({"scopes": ["read"], "expires_at": at, "tenant_id": id});
        let draft = read(&body(expires_at, TenantId::MAX), Some(TenantId::MAX), NOW).unwrap();
        assert_eq!((draft.expires_at, draft.tenant_id), (Some(expires_at), Some(TenantId::MAX)));
        assert!(read(&body(NOW, TenantId::MAX), None, NOW).is_err());
        assert!(read(&body(expires_at, TenantId::MAX), Some(TenantId::DEFAULT), NOW).is_err());
    }
}
