//! TLS of the server.

use std::path::PathBuf;

use kapsel_api::{Tls, TlsClients, TlsError, TlsFile, TlsFiles};
use kapsel_store::error::with_sources;

use super::Args;
use super::sources::{ConfigError, Setting, Sources};

const CERT_FILE: Setting = Setting { key: "tls_cert_file", env: "KAPSEL_TLS_CERT_FILE", flag: Some("tls-cert-file") };
const KEY_FILE: Setting = Setting { key: "tls_key_file", env: "KAPSEL_TLS_KEY_FILE", flag: Some("tls-key-file") };
const CLIENT_CA_FILE: Setting =
    Setting { key: "tls_client_ca_file", env: "KAPSEL_TLS_CLIENT_CA_FILE", flag: Some("tls-client-ca-file") };
const CLIENT_AUTH: Setting =
    Setting { key: "tls_client_auth", env: "KAPSEL_TLS_CLIENT_AUTH", flag: Some("tls-client-auth") };

/// TLS of the server.
#[derive(Debug)]
pub(crate) struct TlsConfig {
    files: TlsFiles,
}

impl TlsConfig {
    /// `None` if there is no certificate: then the server speaks plain HTTP.
    pub(super) fn read(sources: &mut Sources, args: &Args) -> Result<Option<Self>, ConfigError> {
        let certificate = sources.read(CERT_FILE, args.tls_cert_file.as_deref(), "", path)?;
        let has_certificate = certificate.is_some();
        let key =
            sources.read(KEY_FILE, args.tls_key_file.as_deref(), "", |text| match (path(text)?, has_certificate) {
                (None, true) => Err(format!("is missing: it goes with {CERT_FILE}")),
                (Some(_), false) => Err(format!("does nothing without {CERT_FILE}")),
                (key, _) => Ok(key),
            })?;
        let authorities =
            sources.read(CLIENT_CA_FILE, args.tls_client_ca_file.as_deref(), "", |text| match path(text)? {
                Some(_) if !has_certificate => Err(format!("does nothing without {CERT_FILE}")),
                authorities => Ok(authorities),
            })?;
        let has_authorities = authorities.is_some();
        let is_required = sources.read(CLIENT_AUTH, args.tls_client_auth.as_deref(), "", |text| match text {
            "" => Ok(true),
            _ if !has_authorities => Err(format!("does nothing without {CLIENT_CA_FILE}")),
            "required" => Ok(true),
            "optional" => Ok(false),
            _ => Err("is neither required nor optional".to_owned()),
        })?;
        let clients = authorities.map(|authorities| TlsClients { authorities, is_required });
        Ok(certificate.zip(key).map(|(certificate, key)| TlsConfig { files: TlsFiles { certificate, key, clients } }))
    }

    /// Reads the files.
    ///
    /// # Errors
    /// The setting whose file cannot be used.
    pub(crate) fn load(&self) -> Result<Tls, ConfigError> {
        Tls::load(self.files.clone()).map_err(|error| {
            let given = error.path.display().to_string();
            ConfigError::Value { setting: setting_of(&error), given, problem: with_sources(&error) }
        })
    }
}

fn path(text: &str) -> Result<Option<PathBuf>, String> {
    Ok((!text.is_empty()).then(|| PathBuf::from(text)))
}

fn setting_of(error: &TlsError) -> Setting {
    match error.file {
        TlsFile::Certificate => CERT_FILE,
        TlsFile::Key => KEY_FILE,
        TlsFile::ClientAuthorities => CLIENT_CA_FILE,
    }
}
