//! Secrets of endpoints as engines keep them: sealed, and brought under the present master key at the start.

use async_trait::async_trait;
use kapsel_core::endpoint::UnreadableSecrets;
use kapsel_core::seal::{SealError, is_sealed};
use kapsel_core::{EndpointId, EndpointSecrets, SealContext, Sealer, TenantId};
use secrecy::ExposeSecret as _;

use crate::error::StoreError;

/// How many rows are looked at in one step.
const STEP_ROWS: usize = 500;

fn context<'a>(tenant_id: TenantId, id: &'a EndpointId) -> SealContext<'a> {
    SealContext { kind: "endpoint", tenant_id, id: id.as_bytes() }
}

/// The bytes to store of an endpoint's secrets.
///
/// # Errors
/// [`StoreError::Corrupt`] without a master key.
pub fn seal(
    sealer: &Sealer,
    tenant_id: TenantId,
    id: EndpointId,
    secrets: &EndpointSecrets,
) -> Result<Vec<u8>, StoreError> {
    let unfit = |error| StoreError::corrupt("an endpoint that cannot be stored", error);
    let plain = secrets.to_stored().map_err(unfit)?;
    let sealed = sealer.seal(&context(tenant_id, &id), &plain);
    sealed.map_err(|error| StoreError::corrupt("secrets that cannot be sealed", error))
}

/// What [`seal`] was given. What dates from before there was sealing is read as it is.
///
/// # Errors
/// [`StoreError::Corrupt`].
pub fn open(
    sealer: &Sealer,
    tenant_id: TenantId,
    id: EndpointId,
    stored: &[u8],
) -> Result<EndpointSecrets, StoreError> {
    let unreadable = |error: UnreadableSecrets| StoreError::corrupt("an endpoint's secrets", error);
    if !is_sealed(stored) {
        return EndpointSecrets::from_stored(stored).map_err(unreadable);
    }
    let plain = sealer.open(&context(tenant_id, &id), stored);
    let plain = plain.map_err(|error| StoreError::corrupt("an endpoint's secrets", error))?;
    EndpointSecrets::from_stored(plain.expose_secret()).map_err(unreadable)
}

/// The secrets of one endpoint as they are stored.
#[derive(Debug, Clone)]
pub struct SecretsRow {
    /// Its tenant.
    pub tenant_id: TenantId,
    /// Its id.
    pub id: EndpointId,
    /// The stored bytes.
    pub stored: Vec<u8>,
}

/// An engine that keeps sealed secrets.
#[async_trait]
pub trait SealedStore: Send + Sync {
    /// The id of the master key that the store's secrets are sealed under. If there is none yet, it is `first` from now
    /// on, whoever else asks at the same moment.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn master_key_claim(&self, first: String) -> Result<String, StoreError>;

    /// Notes that everything is sealed under the key `id` now.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn master_key_replace(&self, id: String) -> Result<(), StoreError>;

    /// The secrets of at most `limit` endpoints behind `after`, by their ids; those of deleted ones are left out.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn secrets_list(&self, after: EndpointId, limit: usize) -> Result<Vec<SecretsRow>, StoreError>;

    /// Puts other bytes in the place of `row`'s, unless they have changed. It is no change of the endpoint: its version
    /// stays, and nobody is told.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn secrets_replace_if_same(&self, row: SecretsRow, stored: Vec<u8>) -> Result<(), StoreError>;
}

/// Why the store's secrets cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SealingError {
    /// The master key is another one than the store's.
    #[error("the secrets in the store are sealed under the master key {id}, which is not configured")]
    UnknownKey {
        /// The id of the key that is missing.
        id: String,
    },
    /// Some secrets do not open.
    #[error("the secrets of {endpoint_id} do not open")]
    Unreadable {
        /// Whose.
        endpoint_id: EndpointId,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// The store failed.
    #[error("the secrets in the store cannot be looked at")]
    Store(#[from] StoreError),
}

/// Shows that the store's secrets can be opened, and seals those anew that are not under the present key. Returns how many
/// were. Any number of instances may do it side by side, and it may be broken off at any point.
///
/// # Errors
/// [`SealingError`]; then the store must not be used with this sealer.
pub async fn bring_up_to_date(store: &dyn SealedStore, sealer: &Sealer) -> Result<usize, SealingError> {
    let present = sealer.key_id().ok_or_else(|| StoreError::corrupt("secrets without a key", SealError::NoKey))?;
    let claimed = store.master_key_claim(present.to_string()).await?;
    if !sealer.has_key(&claimed) {
        return Err(SealingError::UnknownKey { id: claimed });
    }
    let (mut after, mut resealed) = (EndpointId::MIN, 0);
    loop {
        let rows = store.secrets_list(after, STEP_ROWS).await?;
        let is_last = rows.len() < STEP_ROWS;
        for row in rows {
            after = row.id;
            if sealer.is_current(&row.stored) {
                continue;
            }
            let secrets = open(sealer, row.tenant_id, row.id, &row.stored)
                .map_err(|source| SealingError::Unreadable { endpoint_id: row.id, source })?;
            let sealed = seal(sealer, row.tenant_id, row.id, &secrets)?;
            store.secrets_replace_if_same(row, sealed).await?;
            resealed += 1;
        }
        if is_last {
            break;
        }
    }
    if claimed != present.to_string() {
        store.master_key_replace(present.to_string()).await?;
    }
    Ok(resealed)
}
