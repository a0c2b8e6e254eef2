//! TLS towards destinations: which roots are trusted, and by which provider the arithmetic is done.

use std::sync::Arc;

use rustls::client::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::{RootCertStore, crypto};
use tokio_rustls::TlsConnector;

/// The configuration of all connections: TLS 1.2 and 1.3, the system's roots (Mozilla's where the system has none) and
/// `extra_roots`, no client certificate.
///
/// The provider is named and never the process' default, which any library of the program could have set.
///
/// # Errors
/// If the provider supports none of the protocol versions, which cannot be.
pub(super) fn connector(extra_roots: &[CertificateDer<'static>]) -> Result<TlsConnector, rustls::Error> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(native.certs);
    if roots.is_empty() {
        let causes: Vec<_> = native.errors.iter().map(ToString::to_string).collect();
        tracing::info!(?causes, "the system has no root certificates; Mozilla's are used");
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    for root in extra_roots {
        roots.add(root.clone())?;
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // Said aloud, so that a server which speaks HTTP/2 too does not choose it.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
