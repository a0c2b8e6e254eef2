//! TLS towards the server, by libpq's rules.

use std::path::PathBuf;
use std::sync::Arc;

use kapsel_store::AdminStore as _;
use kapsel_store_postgres::OpenError;
use test_harness::postgres::PostgresCluster;

use crate::support::{blocking, open, options_at};

struct Bench {
    cluster: Arc<PostgresCluster>,
    _folder: tempfile::TempDir,
    right_root: PathBuf,
    other_root: PathBuf,
}

impl Bench {
    /// A server with a certificate for `database.example`, which is not the name it is reached under.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = || {
            let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
            parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            let key = rcgen::KeyPair::generate().unwrap();
            let certificate = parameters.self_signed(&key).unwrap();
            (certificate.pem(), rcgen::Issuer::new(parameters, key))
        };
        let ((root, issuer), (other, _)) = (authority(), authority());
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["database.example".to_owned()])
            .unwrap()
            .signed_by(&key, &issuer)
            .unwrap();
        let (right_root, other_root) = (folder.path().join("root.pem"), folder.path().join("other.pem"));
        std::fs::write(&right_root, root).unwrap();
        std::fs::write(&other_root, other).unwrap();

        let cluster = Arc::new(blocking(|| PostgresCluster::start(&[])).await);
        let running = Arc::clone(&cluster);
        let (certificate, key) = (certificate.pem(), key.serialize_pem());
        // Written by the server itself, so that they are its own whoever it runs as.
        blocking(move || {
            for (name, text) in [("server.crt", certificate), ("server.key", key)] {
                let lines: Vec<_> = text.lines().collect();
                let file = running.data_folder().join(name);
                let copy = format!(
                    "COPY (SELECT unnest(string_to_array('{}', ','))) TO PROGRAM 'umask 077; cat > {}'",
                    lines.join(","),
                    file.display()
                );
                running.psql("postgres", &copy);
            }
            running.psql("postgres", "ALTER SYSTEM SET ssl = on");
            running.stop_fast();
            running.start_again();
        })
        .await;
        Bench { cluster, _folder: folder, right_root, other_root }
    }

    async fn open(&self, query: &str) -> Result<String, OpenError> {
        let store = open(&options_at(format!("{}?{query}", self.cluster.url("postgres")))).await?;
        store.ping().await.unwrap();
        let cluster = Arc::clone(&self.cluster);
        let encrypted = "SELECT bool_and(s.ssl) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) \
                         WHERE a.application_name = 'kapsel'";
        let encrypted = blocking(move || cluster.psql("postgres", encrypted)).await;
        store.close().await;
        Ok(encrypted)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_sslmode_does_what_libpq_says() {
    let bench = Bench::new().await;
    let (right, other) = (bench.right_root.display(), bench.other_root.display());
    assert_eq!(bench.open("sslmode=disable").await.unwrap(), "f");
    for query in [
        "sslmode=prefer".to_owned(),
        "sslmode=require".to_owned(),
        format!("sslmode=require&sslrootcert={right}"),
        format!("sslmode=verify-ca&sslrootcert={right}"),
    ] {
        assert_eq!(bench.open(&query).await.unwrap(), "t", "{query}");
    }
    for query in [
        format!("sslmode=verify-full&sslrootcert={right}"),
        format!("sslmode=verify-ca&sslrootcert={other}"),
        format!("sslmode=require&sslrootcert={other}"),
        "sslmode=verify-ca".to_owned(),
    ] {
        let error = bench.open(&query).await.unwrap_err();
        assert!(matches!(error, OpenError::Unreachable(_)), "{query}: {error:?}");
        assert!(
            format!("{error:?}").contains("certificate") || format!("{error:?}").contains("Certificate"),
            "{error:?}"
        );
    }
}
