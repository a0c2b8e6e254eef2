//! Who is asking. Every handler of the management API takes a [`Principal`] and passes its tenant to the store.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::header::{AUTHORIZATION, HOST};
use http::request::Parts;
use http::uri::Authority;
use kapsel_core::{ErrorCode, TenantId};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::Shared;
use crate::problem::Problem;
use crate::request_log::Notes;

/// The operator's key, as far as it is needed to recognise it.
pub(crate) struct OperatorKey {
    /// `None` without a key: then nobody is let in.
    sha256: Option<[u8; 32]>,
}

impl OperatorKey {
    pub(crate) fn new(key: &SecretString) -> Self {
        let key = key.expose_secret();
        OperatorKey { sha256: (!key.is_empty()).then(|| Sha256::digest(key).into()) }
    }

    /// Compares hashes, so that the time it takes tells neither the key nor its length.
    fn is(&self, claimed: &[u8]) -> bool {
        let claimed: [u8; 32] = Sha256::digest(claimed).into();
        self.sha256.is_some_and(|sha256| sha256.ct_eq(&claimed).into())
    }
}

/// Who was let in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Principal {
    /// Whose endpoints and events the request is about.
    pub(crate) tenant_id: TenantId,
}

impl FromRequestParts<Arc<Shared>> for Principal {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Problem> {
        check_host(parts, &shared.settings.allowed_hosts)?;
        let unauthenticated = || {
            Problem::new(
                ErrorCode::Unauthenticated,
                "the operator key is missing or wrong; send it as: Authorization: Bearer <operator key>",
            )
        };
        let claimed = bearer(parts).ok_or_else(unauthenticated)?;
        if shared.operator_key.is(claimed) {
            if let Some(notes) = Notes::of(&parts.extensions) {
                notes.tenant(TenantId::DEFAULT);
            }
            Ok(Principal { tenant_id: TenantId::DEFAULT })
        } else {
            Err(unauthenticated())
        }
    }
}

/// The key of the one `Authorization` header, whose scheme is written in any case (RFC 9110, section 11.1).
fn bearer(parts: &Parts) -> Option<&[u8]> {
    let mut values = parts.headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?.as_bytes(), values.next()) else {
        return None;
    };
    let (scheme, key) = value.split_at_checked("bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(key.trim_ascii_start())
}

/// The host that the request was sent to, with its port.
pub(crate) fn host(parts: &Parts) -> Option<Authority> {
    let named = parts.headers.get(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    // A request line with a whole URL comes first (RFC 9112, section 3.2.2).
    parts.uri.authority().cloned().or(named).filter(|host| !host.as_str().contains('@'))
}

fn check_host(parts: &Parts, allowed: &[String]) -> Result<(), Problem> {
    let is_allowed = |host: Authority| allowed.iter().any(|name| name.eq_ignore_ascii_case(host.host()));
    if allowed.is_empty() || host(parts).is_some_and(is_allowed) {
        Ok(())
    } else {
        Err(Problem::bad_request("the Host header names a host that this API does not answer to"))
    }
}
