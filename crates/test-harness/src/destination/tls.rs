//! Certificates of a private authority, good and bad.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, crypto};
use tokio_rustls::TlsAcceptor;

/// Which certificate a TLS destination shows. All are issued by an authority of its own, which nobody trusts by
/// itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certificate {
    /// Valid for `localhost` and `127.0.0.1`.
    Good,
    /// The same, but it ended in 2001.
    Expired,
    /// Valid, but for `elsewhere.example`.
    WrongName,
}

/// An issued certificate with its key and its authority.
pub(super) struct Issued {
    pub(super) authority_pem: String,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Issued {
    pub(super) fn new(kind: Certificate) -> Self {
        let mut params = CertificateParams::new(["Test Authority".to_owned()]).expect("valid names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority =
            CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");

        let names = match kind {
            Certificate::Good | Certificate::Expired => vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
            Certificate::WrongName => vec!["elsewhere.example".to_owned()],
        };
        let mut params = CertificateParams::new(names).expect("valid names");
        if kind == Certificate::Expired {
            params.not_before = rcgen::date_time_ymd(2000, 1, 1);
            params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        }
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &authority).expect("a certificate");
        Issued {
            authority_pem: authority.pem(),
            chain: vec![certificate.der().clone()],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        }
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let config = ServerConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("known versions")
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .expect("key and certificate fit");
        TlsAcceptor::from(Arc::new(config))
    }
}
