//! The program with a certificate, and a client that trusts it.

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use rcgen::CertifiedKey;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tempfile::TempDir;
use test_harness::destination::{Behaviour, Destination};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::program::{Answer, OPERATOR_KEY, PATIENCE, Program, run, text};

/// A certificate for `localhost` that is its own authority, in the files of the settings.
pub struct Pair {
    folder: TempDir,
    certificate: CertificateDer<'static>,
    key_pem: String,
}

impl Pair {
    pub fn new() -> Self {
        let mut pair =
            Pair { folder: tempfile::tempdir().unwrap(), certificate: Vec::new().into(), key_pem: String::new() };
        pair.renew();
        pair
    }

    /// Puts a new one in its place.
    pub fn renew(&mut self) {
        let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        self.certificate = cert.der().clone();
        self.key_pem = signing_key.serialize_pem();
        fs::write(self.path("cert.pem"), cert.pem()).unwrap();
        fs::write(self.path("key.pem"), &self.key_pem).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn settings(&self) -> [(&'static str, String); 2] {
        let path = |name| self.path(name).to_str().unwrap().to_owned();
        [("KAPSEL_TLS_CERT_FILE", path("cert.pem")), ("KAPSEL_TLS_KEY_FILE", path("key.pem"))]
    }

    /// A connection that trusts this pair alone.
    pub async fn connect(&self, base: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let stream = TcpStream::connect(base.strip_prefix("https://").expect("a base of TLS")).await?;
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
    }

    /// Sends a request on a connection of its own.
    pub async fn request(&self, base: &str, request: Request<Full<Bytes>>) -> Answer {
        let exchange = async {
            let stream = self.connect(base).await.unwrap();
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            let (head, body) = sender.send_request(request).await.unwrap().into_parts();
            Answer { status: head.status, headers: head.headers, body: body.collect().await.unwrap().to_bytes() }
        };
        tokio::time::timeout(PATIENCE, exchange).await.expect("an answer in time")
    }

    /// Creates an endpoint and returns the path of its ingest URL.
    pub async fn create_endpoint(&self, program: &Program, body: Value) -> String {
        let request = Request::post("/v1/endpoints")
            .header("host", program.management_base.strip_prefix("https://").unwrap())
            .header("authorization", format!("Bearer {OPERATOR_KEY}"))
            .body(Full::new(body.to_string().into()));
        let endpoint = self.request(&program.management_base, request.unwrap()).await.expect(201).json();
        let url = endpoint["ingest_url"].as_str().unwrap();
        url.strip_prefix(&program.base).unwrap_or_else(|| panic!("{url} is not of {}", program.base)).to_owned()
    }

    /// Posts a webhook.
    pub async fn post(&self, program: &Program, path: &str, body: impl Into<Bytes>) -> Answer {
        let request = Request::post(path).header("host", "localhost").body(Full::new(body.into()));
        self.request(&program.base, request.unwrap()).await
    }
}

/// Starts a server with TLS and these settings.
pub async fn start(folder: &TempDir, pair: &Pair, more: &[(&str, &str)], log: fs::File) -> Program {
    let [certificate, key] = pair.settings();
    let mut settings = vec![("KAPSEL_ALLOW_DESTINATIONS", "127.0.0.0/8")];
    settings.extend([(certificate.0, certificate.1.as_str()), (key.0, key.1.as_str())]);
    settings.extend_from_slice(more);
    Program::start_logging(folder.path(), &settings, log).await
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_replaced_while_it_runs_and_broken_ones_kept_out() {
    let folder = tempfile::tempdir().unwrap();
    let mut pair = Pair::new();
    let mut log = tempfile::NamedTempFile::new().unwrap();
    // The management API has an address of its own; ingest URLs lead to the other one.
    let more = [("KAPSEL_MANAGEMENT_ADDR", "127.0.0.1:0")];
    let program = start(&folder, &pair, &more, log.reopen().unwrap()).await;
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let path = pair.create_endpoint(&program, json!({"url": destination.url()})).await;
    pair.post(&program, &path, "one").await.expect(200);

    pair.renew();
    program.hang_up();
    let renewed = async {
        // Only the new certificate is trusted.
        while pair.connect(&program.base).await.is_err() || pair.connect(&program.management_base).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await; // paced: polling a server
        }
    };
    tokio::time::timeout(PATIENCE, renewed).await.expect("the new certificate is shown");

    let key = fs::read_to_string(pair.path("key.pem")).unwrap();
    let in_one_line = key.replace('\n', " ");
    fs::write(pair.path("key.pem"), in_one_line).unwrap();
    program.hang_up();
    let mut said = String::new();
    let told = async {
        while !said.contains("cannot be used") {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await; // paced: polling a file
            log.read_to_string(&mut said).unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, told).await.expect("the log says that it is broken");
    assert!(said.contains("key.pem") && !said.contains(key.lines().nth(1).unwrap()), "{said}");
    pair.post(&program, &path, "two").await.expect(200);
    destination.wait_for(2).await;
    assert!(program.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_that_cannot_be_used_is_a_wrong_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let pair = Pair::new();
    let other = Pair::new();
    let [certificate, key] = pair.settings().map(|(_, path)| path);
    let [other_certificate, _] = other.settings().map(|(_, path)| path);
    let absent = folder.path().join("absent.pem").to_str().unwrap().to_owned();
    let cases = [
        (&absent, Some(&key), None, "KAPSEL_TLS_CERT_FILE", "cannot be read"),
        (&certificate, Some(&absent), None, "KAPSEL_TLS_KEY_FILE", "cannot be read"),
        (&certificate, None, None, "KAPSEL_TLS_KEY_FILE", "is missing"),
        (&key, Some(&key), None, "KAPSEL_TLS_CERT_FILE", "holds no certificate"),
        (&other_certificate, Some(&key), None, "KAPSEL_TLS_KEY_FILE", "does not belong to the certificate"),
        (&certificate, Some(&key), Some(&absent), "KAPSEL_TLS_CLIENT_CA_FILE", "cannot be read"),
    ];
    let data = folder.path().join("data");
    for (certificate, key, authorities, setting, problem) in cases {
        let mut settings =
            vec![("KAPSEL_DATA_DIR", data.to_str().unwrap()), ("KAPSEL_TLS_CERT_FILE", certificate.as_str())];
        settings.extend(key.map(|key| ("KAPSEL_TLS_KEY_FILE", key.as_str())));
        settings.extend(authorities.map(|path| ("KAPSEL_TLS_CLIENT_CA_FILE", path.as_str())));
        for command in ["serve", "check-config"] {
            let output = run(&[command], &settings).await;
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{command}: {said}");
            assert_eq!(said.trim_end().lines().count(), 1, "{said}");
            assert!(said.contains(setting) && said.contains(problem), "{said}");
            assert!(said.contains(".pem") || key.is_none(), "{said}");
            assert!(!said.contains(pair.key_pem.lines().nth(1).unwrap()), "{said}");
        }
    }
    assert!(!data.exists(), "nothing was opened");
    let settings = pair.settings();
    let settings = settings.each_ref().map(|(name, path)| (*name, path.as_str()));
    let output = run(&["check-config"], &settings).await;
    assert!(output.status.success() && text(&output.stdout).contains("cert.pem  [environment]"), "{output:?}");
}
