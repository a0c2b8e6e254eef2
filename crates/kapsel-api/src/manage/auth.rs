//! Who is asking, and what for. Every handler of the management API takes a [`Principal`] with the right that it needs, and
//! passes its tenant to the store.
//!
//! The operator's key opens everything, for one tenant at a time: the one that the header `Kapsel-Tenant` names, otherwise
//! the default tenant. The key of a tenant (`kps_…`) opens what its scopes say, for its own tenant alone.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use http::HeaderName;
use http::header::{AUTHORIZATION, HOST};
use http::request::Parts;
use http::uri::Authority;
use kapsel_core::api_key::InvalidKey;
use kapsel_core::{ApiKey, ApiKeyId, ErrorCode, KeySecret, Scope, Scopes, TenantId, TenantStatus};
use kapsel_store::StoreError;
use kapsel_store::error::with_sources;
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

/// What a handler needs.
pub(crate) trait Right: Send + Sync + 'static {
    /// Any of these scopes gives it. Without any, it is the operator's alone.
    const SCOPES: &'static [Scope];
}

macro_rules! rights {
    ($($(#[$doc:meta])* $name:ident = $($scope:ident)|*;)*) => {
        $($(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub(crate) struct $name;

        impl Right for $name {
            const SCOPES: &'static [Scope] = &[$(Scope::$scope),*];
        })*
    };
}

rights! {
    /// Looking at events, replays and proofs.
    Read = Read | Write;
    /// Changing them.
    Write = Write;
    /// Looking at endpoints.
    ReadEndpoints = Read | Write | IngestAdmin;
    /// Changing them.
    WriteEndpoints = Write | IngestAdmin;
    /// Managing tenants and keys.
    Operate = ;
}

/// Who was let in, with the right `R`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Principal<R> {
    /// Whose endpoints and events the request is about.
    pub(crate) tenant_id: TenantId,
    /// Whether the request names that tenant, be it by its key or by a header.
    pub(crate) is_named: bool,
    /// The key that was sent, unless it was the operator's.
    pub(crate) key_id: Option<ApiKeyId>,
    right: PhantomData<R>,
}

/// The header by which the operator says for whom a request is.
const KAPSEL_TENANT: HeaderName = HeaderName::from_static("kapsel-tenant");

/// How old the noted last use of a key may be. Noting each use would be a write for each request.
const USE_KEPT: Duration = Duration::from_secs(600);

impl<R: Right> FromRequestParts<Arc<Shared>> for Principal<R> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Problem> {
        let caller = Caller::of(parts, shared).await?;
        caller.check_right::<R>()?;
        let Caller { tenant_id, is_named, key_id, .. } = caller;
        Ok(Principal { tenant_id, is_named, key_id, right: PhantomData })
    }
}

/// Who sends a request, whatever for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    /// Whose endpoints and events the request is about.
    pub(crate) tenant_id: TenantId,
    is_named: bool,
    /// The key, unless it is the operator's.
    key_id: Option<ApiKeyId>,
    /// What its key may do; the operator may do everything.
    scopes: Option<Scopes>,
}

impl Caller {
    /// Looks at the request's key, the first time that somebody asks.
    pub(crate) async fn of(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Problem> {
        if let Some(known) = parts.extensions.get::<Caller>() {
            return Ok(*known);
        }
        let caller = Caller::identify(parts, shared).await?;
        if let Some(notes) = Notes::of(&parts.extensions) {
            notes.tenant(caller.tenant_id);
        }
        parts.extensions.insert(caller);
        Ok(caller)
    }

    async fn identify(parts: &Parts, shared: &Arc<Shared>) -> Result<Self, Problem> {
        check_host(parts, &shared.settings.allowed_hosts)?;
        let claimed = bearer(parts).ok_or_else(|| {
            unauthenticated("the API key is missing; send it as: Authorization: Bearer <key>".to_owned())
        })?;
        let named = named_tenant(parts)?;
        if shared.operator_key.is(claimed) {
            let tenant_id = tenant_for_operator(shared, named).await?;
            return Ok(Caller { tenant_id, is_named: named.is_some(), key_id: None, scopes: None });
        }
        let key = live_key(shared, claimed).await?;
        if named.is_some_and(|named| named != key.tenant_id) {
            let message = "the key belongs to another tenant than Kapsel-Tenant says";
            return Err(Problem::new(ErrorCode::Forbidden, message));
        }
        check_rate(shared, key.tenant_id)?;
        note_use(shared, &key);
        Ok(Caller { tenant_id: key.tenant_id, is_named: true, key_id: Some(key.id), scopes: Some(key.scopes) })
    }

    /// What its key may do, in words.
    pub(crate) fn rights(&self) -> String {
        self.scopes.map_or_else(|| "operator".to_owned(), Scopes::to_stored)
    }

    fn check_right<R: Right>(&self) -> Result<(), Problem> {
        let Some(held) = self.scopes else { return Ok(()) };
        if R::SCOPES.iter().any(|scope| held.contains(*scope)) {
            return Ok(());
        }
        let message = match R::SCOPES {
            [] => "this is for the operator alone".to_owned(),
            scopes => {
                let scopes: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
                format!("the API key lacks the scope for this: {}", scopes.join(" or "))
            }
        };
        Err(Problem::new(ErrorCode::Forbidden, message))
    }
}

fn unauthenticated(message: String) -> Problem {
    Problem::new(ErrorCode::Unauthenticated, message)
}

/// What the header says.
fn named_tenant(parts: &Parts) -> Result<Option<TenantId>, Problem> {
    let mut values = parts.headers.get_all(KAPSEL_TENANT).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let id = value.to_str().ok().and_then(|text| text.trim().parse().ok()).filter(|_| values.next().is_none());
    id.map(Some).ok_or_else(|| Problem::bad_request("Kapsel-Tenant: must be one id of a tenant, ten_…"))
}

/// The operator may act for a suspended tenant, and for nobody who is not there.
async fn tenant_for_operator(shared: &Shared, named: Option<TenantId>) -> Result<TenantId, Problem> {
    let Some(id) = named else { return Ok(TenantId::DEFAULT) };
    let found = shared.tenants.get_or_refresh(id).await?;
    match found.map(|active| active.tenant.status) {
        Some(TenantStatus::Active | TenantStatus::Suspended) => Ok(id),
        Some(TenantStatus::Deleted) | None => Err(Problem::not_found()),
    }
}

/// The key that was sent, if it opens anything now. Why it does not is told only to who has the whole of it.
async fn live_key(shared: &Shared, claimed: &[u8]) -> Result<ApiKey, Problem> {
    let unknown = || unauthenticated("the API key is wrong".to_owned());
    let text = std::str::from_utf8(claimed).map_err(|_| unknown())?;
    let secret = match KeySecret::parse(text) {
        Ok(secret) => secret,
        Err(InvalidKey::Start) => return Err(unknown()),
        Err(error @ InvalidKey::Checksum) => return Err(unauthenticated(format!("the API key is wrong: {error}"))),
    };
    let key = match shared.accounts.api_key_find(secret.prefix()).await {
        Ok(key) => key,
        Err(StoreError::NotFound) => return Err(unknown()),
        Err(error) => return Err(error.into()),
    };
    if !key.is(&secret) {
        return Err(unknown());
    }
    if key.revoked_at.is_some() {
        return Err(unauthenticated("the API key was revoked".to_owned()));
    }
    if !key.is_live(shared.clock.now()) {
        return Err(unauthenticated("the API key has expired".to_owned()));
    }
    match shared.tenants.get_or_refresh(key.tenant_id).await?.map(|active| active.tenant.status) {
        Some(TenantStatus::Active) => Ok(key),
        Some(TenantStatus::Suspended) => Err(Problem::suspended()),
        // Its keys went with it; this one is on its way.
        Some(TenantStatus::Deleted) | None => Err(unknown()),
    }
}

/// The operator is not limited: whoever runs the server has to get in when a tenant does not let up.
fn check_rate(shared: &Shared, tenant_id: TenantId) -> Result<(), Problem> {
    let tenant = shared.tenants.get(tenant_id);
    let limit = tenant.and_then(|active| active.limits.api_rate);
    let checked = limit.map_or(Ok(()), |limit| shared.api_rates.check(tenant_id, &limit));
    checked.map_err(|exceeded| Problem::rate_limited(exceeded, "the management API"))
}

/// Beside the request: nobody waits for it, and nothing depends on it.
fn note_use(shared: &Arc<Shared>, key: &ApiKey) {
    let now = shared.clock.now();
    if key.last_used_at.is_some_and(|noted| now.saturating_since(noted) < USE_KEPT) {
        return;
    }
    let (accounts, tenant_id, id) = (Arc::clone(&shared.accounts), key.tenant_id, key.id);
    tokio::spawn(async move {
        if let Err(error) = accounts.api_key_touch(tenant_id, id, now).await {
            tracing::debug!(key_id = %id, error = with_sources(&error), "the use of a key was not noted");
        }
    });
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
