//! TLS on real sockets: certificates of the server and of clients, and their replacement.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use kapsel_api::{ServerSettings, Tls, TlsClients, TlsFiles};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::wire::{Connection, Served};
use crate::support::{App, KEY};

const GRACE: Duration = Duration::from_secs(30);
const LIVE: &str = "GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// An authority of its own with a folder for what it issues.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Authority { issuer, folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn issue(&self) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        (CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// Writes a new pair for `localhost` where the server looks for it; returns the certificate.
    fn write_pair(&self) -> CertificateDer<'static> {
        let (certificate, key) = self.issue();
        fs::write(self.path("cert.pem"), certificate.pem()).unwrap();
        fs::write(self.path("key.pem"), key.serialize_pem()).unwrap();
        certificate.der().clone()
    }

    fn files(&self) -> TlsFiles {
        TlsFiles { certificate: self.path("cert.pem"), key: self.path("key.pem"), clients: None }
    }

    /// What clients of this authority's trust in it, with these protocols.
    fn client(&self, alpn: &[&[u8]], pair: Option<(rcgen::Certificate, KeyPair)>) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots);
        let mut config = match pair {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let key: PrivateKeyDer<'static> = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
                config.with_client_auth_cert(vec![certificate.der().clone()], key).unwrap()
            }
        };
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }
}

async fn serve(app: &App, files: TlsFiles) -> (Served, Arc<Tls>) {
    let tls = Arc::new(Tls::load(files).unwrap());
    let settings = ServerSettings { tls: Some(Arc::clone(&tls)), ..ServerSettings::default() };
    (Served::new(app, settings, GRACE).await, tls)
}

async fn connect(served: &Served, client: &TlsConnector) -> std::io::Result<Connection<TlsStream<TcpStream>>> {
    let stream = TcpStream::connect(served.addr).await.unwrap();
    client.connect(ServerName::try_from("localhost").unwrap(), stream).await.map(Connection)
}

/// Whether a client gets an answer. With TLS 1.3 it learns only after its handshake that it was refused.
async fn is_served(served: &Served, client: &TlsConnector) -> bool {
    let Ok(mut connection) = connect(served, client).await else { return false };
    let _ = tokio::io::AsyncWriteExt::write_all(&mut connection.0, LIVE.as_bytes()).await;
    connection.0.read_u8().await.is_ok()
}

fn shown(connection: &Connection<TlsStream<TcpStream>>) -> CertificateDer<'static> {
    connection.0.get_ref().1.peer_certificates().unwrap()[0].clone()
}

#[tokio::test]
async fn the_protocol_is_agreed_on_in_the_handshake() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    let authority = Authority::new();
    authority.write_pair();
    let (served, _) = serve(&app, authority.files()).await;
    for alpn in [&[][..], &[b"http/1.1".as_slice()]] {
        let mut connection = connect(&served, &authority.client(alpn, None)).await.unwrap();
        assert_eq!(connection.0.get_ref().1.alpn_protocol(), alpn.first().copied());
        let body = "Content-Length: 5\r\n\r\nhello";
        connection.send(format!("POST /ingest/{endpoint} HTTP/1.1\r\nHost: localhost\r\n{body}")).await;
        assert!(connection.answer().await.0.starts_with("http/1.1 200 "));
    }

    let Connection(stream) = connect(&served, &authority.client(&[b"h2", b"http/1.1"], None)).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let io = TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post(format!("https://localhost/ingest/{endpoint}")).body(Full::new(Bytes::from("hello")));
    assert_eq!(sender.send_request(request.unwrap()).await.unwrap().status(), 200);
    assert_eq!(app.events().await.len(), 3);
    // A client that speaks neither is told so in the handshake.
    assert!(connect(&served, &authority.client(&[b"spdy/3"], None)).await.is_err());
}

#[tokio::test]
async fn ingest_urls_begin_with_https() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    let authority = Authority::new();
    authority.write_pair();
    let (served, _) = serve(&app, authority.files()).await;
    let mut connection = connect(&served, &authority.client(&[], None)).await.unwrap();
    let head = format!("GET /v1/endpoints/{endpoint} HTTP/1.1\r\nHost: localhost:8443\r\nAuthorization: Bearer {KEY}");
    connection.send(head + "\r\n\r\n").await;
    let (_, body) = connection.answer().await;
    assert!(body.contains(&format!(r#""ingest_url":"https://localhost:8443/ingest/{endpoint}""#)), "{body}");
}

#[tokio::test]
async fn clients_show_certificates_where_they_have_to() {
    let app = App::new().await;
    let (authority, stranger) = (Authority::new(), Authority::new());
    authority.write_pair();
    fs::write(authority.path("clients.pem"), authority.issuer.pem()).unwrap();
    for is_required in [true, false] {
        let clients = TlsClients { authorities: authority.path("clients.pem"), is_required };
        let (served, _) = serve(&app, TlsFiles { clients: Some(clients), ..authority.files() }).await;
        assert!(is_served(&served, &authority.client(&[], Some(authority.issue()))).await);
        assert!(!is_served(&served, &authority.client(&[], Some(stranger.issue()))).await);
        assert_eq!(is_served(&served, &authority.client(&[], None)).await, !is_required);
    }
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_new_connections_and_a_broken_one_to_none() {
    let app = App::new().await;
    let authority = Authority::new();
    let first = authority.write_pair();
    let (served, tls) = serve(&app, authority.files()).await;
    let client = authority.client(&[], None);
    let mut old = connect(&served, &client).await.unwrap();
    assert_eq!(shown(&old), first);

    let second = authority.write_pair();
    assert!(tls.reload_if_changed().unwrap());
    assert_eq!(shown(&connect(&served, &client).await.unwrap()), second);
    // The connection that was there before goes on.
    old.send(LIVE).await;
    assert!(old.answer().await.0.starts_with("http/1.1 200 "));

    // Key and certificate of two pairs, and a file that is half written.
    let pair = authority.issue();
    fs::write(authority.path("key.pem"), pair.1.serialize_pem()).unwrap();
    assert!(tls.reload_if_changed().is_err());
    fs::write(authority.path("cert.pem"), &pair.0.pem()[..100]).unwrap();
    assert!(tls.reload_if_changed().is_err());
    assert_eq!(shown(&connect(&served, &client).await.unwrap()), second);
    fs::write(authority.path("cert.pem"), pair.0.pem()).unwrap();
    assert!(tls.reload_if_changed().unwrap());
    assert_eq!(&shown(&connect(&served, &client).await.unwrap()), pair.0.der());
}

#[tokio::test]
async fn handshakes_that_do_not_go_on_are_ended_and_hold_up_nobody() {
    let app = App::new().await;
    let authority = Authority::new();
    authority.write_pair();
    let tls = Some(Arc::new(Tls::load(authority.files()).unwrap()));
    let settings = ServerSettings { tls, tls_handshake_timeout: Duration::from_millis(200), ..Default::default() };
    let served = Served::new(&app, settings, GRACE).await;
    let mut silent = served.connect().await;
    let mut slow = served.connect().await;
    slow.send([22, 3, 1]).await;
    // Plain HTTP gets an alert of TLS, and no answer.
    let mut plain = served.connect().await;
    plain.send(LIVE).await;
    assert!(!plain.closed().await.starts_with(b"HTTP"));
    assert!(is_served(&served, &authority.client(&[], None)).await);
    assert!(silent.closed().await.is_empty());
    assert!(slow.closed().await.is_empty());
}

#[tokio::test]
async fn what_was_accepted_is_answered_before_the_end() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    let authority = Authority::new();
    authority.write_pair();
    let (mut served, _) = serve(&app, authority.files()).await;
    app.store.close_gate();
    let client = authority.client(&[], None);
    let mut idle = connect(&served, &client).await.unwrap();
    let mut busy = connect(&served, &client).await.unwrap();
    let body = "Content-Length: 5\r\n\r\nhello";
    busy.send(format!("POST /ingest/{endpoint} HTTP/1.1\r\nHost: localhost\r\n{body}")).await;
    app.store.inserts_begun(1).await;
    served.stop();
    assert!(idle.closed().await.is_empty());
    app.store.open_gate();
    assert!(busy.answer().await.0.starts_with("http/1.1 200 "));
    drop(busy);
    assert_eq!(served.done().await, 0);
}
