//! TLS of the server: the certificate in force, and a new one in its place while the server runs.

mod files;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};

use self::files::{Contents, Fingerprint};

pub(super) const ALPN_HTTP2: &[u8] = b"h2";
const ALPN_HTTP1: &[u8] = b"http/1.1";

/// The files that TLS is made of. All are PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate, followed by those between it and its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Whose certificates clients have to show; without it, clients show none.
    pub clients: Option<TlsClients>,
}

/// Certificates of clients.
#[derive(Debug, Clone)]
pub struct TlsClients {
    /// The authorities that issue them.
    pub authorities: PathBuf,
    /// Whether a client without one is refused. One with a certificate of somebody else always is.
    pub is_required: bool,
}

/// Which file is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFile {
    /// The chain of certificates.
    Certificate,
    /// The private key.
    Key,
    /// The authorities of clients.
    ClientAuthorities,
}

/// Why files cannot be used. Says nothing of what is in them: one that is broken may hold a key where nobody expects it.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct TlsError {
    /// Which file it is about.
    pub file: TlsFile,
    /// Its path.
    pub path: PathBuf,
    problem: &'static str,
    #[source]
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl TlsError {
    fn new(file: TlsFile, path: &Path, problem: &'static str) -> Self {
        TlsError { file, path: path.to_owned(), problem, cause: None }
    }

    fn caused_by(self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        TlsError { cause: Some(cause.into()), ..self }
    }
}

/// The certificate that is in force, and where it comes from.
pub struct Tls {
    files: TlsFiles,
    current: RwLock<Arc<ServerConfig>>,
    /// What the files held when they were looked at last, good or not; `None` if they could not be read.
    seen: Mutex<Option<Fingerprint>>,
}

/// The paths alone.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// The first that cannot be used.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let contents = Contents::read(&files)?;
        let current = RwLock::new(Arc::new(config(&files, &contents)?));
        Ok(Tls { current, seen: Mutex::new(Some(contents.fingerprint())), files })
    }

    /// Reads the files again if what they hold has changed since they were looked at last. If it can be used, connections
    /// that begin from now on get it, and `true` is returned; otherwise what was in force stays so. It reads files, so it
    /// blocks for a moment.
    ///
    /// # Errors
    /// The files cannot be used. What is wrong is told once, and not again before they have changed again.
    pub fn reload_if_changed(&self) -> Result<bool, TlsError> {
        let contents = Contents::read(&self.files);
        let now = contents.as_ref().ok().map(Contents::fingerprint);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == now {
            return Ok(false);
        }
        *seen = now;
        self.put_in_force(&contents?).map(|()| true)
    }

    /// The same, whether they have changed or not.
    ///
    /// # Errors
    /// The files cannot be used; what was in force stays so.
    pub fn reload(&self) -> Result<(), TlsError> {
        let contents = Contents::read(&self.files);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = contents.as_ref().ok().map(Contents::fingerprint);
        self.put_in_force(&contents?)
    }

    fn put_in_force(&self, contents: &Contents) -> Result<(), TlsError> {
        let new = Arc::new(config(&self.files, contents)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    /// What a new connection gets.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn config(files: &TlsFiles, contents: &Contents) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let certificate = |problem| TlsError::new(TlsFile::Certificate, &files.certificate, problem);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| certificate("cannot be used, because TLS cannot be set up").caused_by(error))?;
    let builder = match client_verifier(files, contents, &provider)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let pair = certified_key(files, contents, &provider)?;
    // A new configuration has a new store of sessions: none that began under other files is resumed.
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
    config.alpn_protocols = vec![ALPN_HTTP2.to_vec(), ALPN_HTTP1.to_vec()];
    Ok(config)
}

fn certified_key(files: &TlsFiles, contents: &Contents, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let key_problem = |problem| TlsError::new(TlsFile::Key, &files.key, problem);
    let chain = contents.chain(files)?;
    let key = provider
        .key_provider
        .load_private_key(contents.private_key(files)?)
        .map_err(|error| key_problem("holds a private key that cannot be used").caused_by(error))?;
    let pair = CertifiedKey::new(chain, key);
    match pair.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(pair),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(key_problem("holds a private key that does not belong to the certificate"))
        }
        Err(error) => {
            Err(TlsError::new(TlsFile::Certificate, &files.certificate, "holds a certificate that cannot be used")
                .caused_by(error))
        }
    }
}

fn client_verifier(
    files: &TlsFiles,
    contents: &Contents,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    let Some(clients) = &files.clients else {
        return Ok(None);
    };
    let problem = |problem| TlsError::new(TlsFile::ClientAuthorities, &clients.authorities, problem);
    let mut roots = RootCertStore::empty();
    for authority in contents.client_authorities(clients)? {
        roots.add(authority).map_err(|error| problem("holds a certificate that cannot be used").caused_by(error))?;
    }
    let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    if !clients.is_required {
        verifier = verifier.allow_unauthenticated();
    }
    verifier.build().map(Some).map_err(|error| problem("cannot be used").caused_by(error))
}

#[cfg(test)]
mod tests;
