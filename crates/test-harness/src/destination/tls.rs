//! Certificates of a private authority, good and bad.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, crypto, version};
use tokio_rustls::TlsAcceptor;

/// Which certificate a TLS destination shows. All are issued by an authority of its own, which nobody trusts by
/// itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certificate {
    /// Valid for `localhost` and `127.0.0.1`.
    Good,
    /// The same, but it ended in 2001.
    Expired,
    /// The same, but it begins in 2100.
    NotYetValid,
    /// Valid, but for `elsewhere.example`.
    WrongName,
    /// Valid for the right names, but issued by itself.
    SelfSigned,
    /// Valid for the right names, but for clients.
    ForClients,
    /// As good as `Good`, and followed by so many others that nobody asked for.
    WithChain(usize),
    /// As good as `Good`, shown by a server that speaks nothing newer than TLS 1.2.
    Tls12,
    /// As good as `Good`, shown by a server that wants one from the client.
    WantsClient,
    /// As good as `Good`, shown by a server that speaks HTTP/2 alone.
    Http2,
    /// As good as `Good`, followed by so many session tickets.
    WithTickets(usize),
}

/// An issued certificate with its key and its authority.
pub(super) struct Issued {
    pub(super) authority_pem: String,
    authority: CertificateDer<'static>,
    kind: Certificate,
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
            Certificate::WrongName => vec!["elsewhere.example".to_owned()],
            _ => vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
        };
        let mut params = CertificateParams::new(names).expect("valid names");
        match kind {
            Certificate::Expired => {
                params.not_before = rcgen::date_time_ymd(2000, 1, 1);
                params.not_after = rcgen::date_time_ymd(2001, 1, 1);
            }
            Certificate::NotYetValid => {
                params.not_before = rcgen::date_time_ymd(2100, 1, 1);
                params.not_after = rcgen::date_time_ymd(2101, 1, 1);
            }
            Certificate::ForClients => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
            _ => {}
        }
        let key = KeyPair::generate().expect("a key");
        let certificate = match kind {
            Certificate::SelfSigned => params.self_signed(&key),
            _ => params.signed_by(&key, &authority),
        };
        let mut chain = vec![certificate.expect("a certificate").der().clone()];
        if let Certificate::WithChain(count) = kind {
            chain.extend(std::iter::repeat_n(authority.der().clone(), count));
        }
        Issued {
            authority_pem: authority.pem(),
            authority: authority.der().clone(),
            kind,
            chain,
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        }
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        let versions = match self.kind {
            Certificate::Tls12 => &[&version::TLS12],
            _ => rustls::ALL_VERSIONS,
        };
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .expect("known versions");
        let config = match self.kind {
            Certificate::WantsClient => {
                let mut roots = RootCertStore::empty();
                roots.add(self.authority.clone()).expect("an authority");
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                config.with_client_cert_verifier(verifier.expect("a verifier"))
            }
            _ => config.with_no_client_auth(),
        };
        let mut config =
            config.with_single_cert(self.chain.clone(), self.key.clone_key()).expect("key and certificate fit");
        match self.kind {
            Certificate::Http2 => config.alpn_protocols = vec![b"h2".to_vec()],
            Certificate::WithTickets(count) => config.send_tls13_tickets = count,
            _ => {}
        }
        TlsAcceptor::from(Arc::new(config))
    }
}
