//! The port through which heads are signed. Keys may be in a file or in somebody else's custody.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use kapsel_verification::VerifierKey;
use kapsel_verification::key::SIGNATURE_LEN;

/// Makes Ed25519 signatures with one key.
#[async_trait]
pub trait Signer: Send + Sync {
    /// The public half, with the name that it signs under.
    fn key(&self) -> &VerifierKey;

    /// Signs `message` as it is (RFC 8032, Ed25519 without prehash and without context).
    ///
    /// # Errors
    /// [`SignError`].
    async fn sign(&self, message: &[u8]) -> Result<[u8; SIGNATURE_LEN], SignError>;
}

/// The two keys of one generation: one signs checkpoints, the other one says when (C2SP: one key for each type of
/// signature).
#[derive(Clone)]
pub struct LogSigner {
    /// Signs the text of checkpoints.
    pub checkpoint: Arc<dyn Signer>,
    /// Signs the time and the text.
    pub timestamp: Arc<dyn Signer>,
}

/// All keys that this instance can sign with. Asked anew for each head, so that a key that is added takes part.
#[async_trait]
pub trait KeyRing: Send + Sync {
    /// The keys, in any order.
    ///
    /// # Errors
    /// [`SignError`].
    async fn signers(&self) -> Result<Vec<LogSigner>, SignError>;
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// Its file cannot be read or written.
    #[error("{}", path.display())]
    File {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A text is no key.
    #[error("{origin}: {problem}")]
    Form {
        /// Where it came from: a file or a setting. Never the key itself.
        origin: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Whoever has the key in custody did not sign.
    #[error("the custodian of the key did not sign")]
    Custodian(#[source] Box<dyn std::error::Error + Send + Sync>),
}
