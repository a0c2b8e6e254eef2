//! What the files hold: read, compared, and taken apart as PEM.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::{ExposeSecret as _, SecretSlice};
use sha2::{Digest as _, Sha256};

use super::{TlsClients, TlsError, TlsFile, TlsFiles};

/// More than any chain of certificates has. A path that names something endless must not fill the memory.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Tells whether files have changed. Times and sizes do not: both are the same after a quick replacement.
pub(super) type Fingerprint = [u8; 32];

/// What all files hold at one moment. Any of them may hold a key: many keep key and certificate in one file.
pub(super) struct Contents {
    certificate: SecretSlice<u8>,
    key: SecretSlice<u8>,
    client_authorities: Option<SecretSlice<u8>>,
}

impl Contents {
    pub(super) fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let clients = files.clients.as_ref();
        Ok(Contents {
            certificate: read(TlsFile::Certificate, &files.certificate)?,
            key: read(TlsFile::Key, &files.key)?,
            client_authorities: clients
                .map(|clients| read(TlsFile::ClientAuthorities, &clients.authorities))
                .transpose()?,
        })
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        let mut all = Sha256::new();
        for part in [Some(&self.certificate), Some(&self.key), self.client_authorities.as_ref()].into_iter().flatten() {
            all.update(Sha256::digest(part.expose_secret()));
        }
        all.finalize().into()
    }

    pub(super) fn chain(&self, files: &TlsFiles) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        certificates(TlsFile::Certificate, &files.certificate, &self.certificate)
    }

    pub(super) fn private_key(&self, files: &TlsFiles) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_slice(self.key.expose_secret()).map_err(|error| {
            let problem = match error {
                pem::Error::NoItemsFound => "holds no private key",
                other => pem_problem(&other),
            };
            TlsError::new(TlsFile::Key, &files.key, problem)
        })
    }

    pub(super) fn client_authorities(&self, clients: &TlsClients) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let file = TlsFile::ClientAuthorities;
        match &self.client_authorities {
            Some(contents) => certificates(file, &clients.authorities, contents),
            None => Err(TlsError::new(file, &clients.authorities, "was not read")),
        }
    }
}

fn read(file: TlsFile, path: &Path) -> Result<SecretSlice<u8>, TlsError> {
    let failed = |error: io::Error| TlsError::new(file, path, "cannot be read").caused_by(error);
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)).map_err(failed)?;
    Ok(bytes.into())
}

fn certificates(
    file: TlsFile,
    path: &Path,
    contents: &SecretSlice<u8>,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(contents.expose_secret())
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::new(file, path, pem_problem(&error)))?;
    if certificates.is_empty() {
        return Err(TlsError::new(file, path, "holds no certificate"));
    }
    Ok(certificates)
}

/// What is wrong, without what stands there: of a key whose line ends were lost, the parser's own message is the key.
fn pem_problem(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "is no PEM file: a section has no END line",
        pem::Error::IllegalSectionStart { .. } => "is no PEM file: a BEGIN line cannot be read",
        pem::Error::Base64Decode(_) => "is no PEM file: a section is not base64",
        _ => "is no PEM file",
    }
}
