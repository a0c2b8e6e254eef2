//! The way to the collector.
//!
//! The one outbound connection that does not go through the guarded transport of `kapsel-delivery`: the operator names the
//! collector in the configuration, mostly on a private address, and no tenant has a say in it.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kapsel_store::error::with_sources;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::complaints::{Complaint, Complaints};

/// What is read of an answer. It is empty, or says how many spans were refused.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A client of one collector.
#[derive(Debug)]
pub(super) struct Collector {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    time_max: Duration,
    /// The thread that sends is none of Tokio's.
    runtime: Handle,
    complaints: Complaints,
}

impl Collector {
    pub(super) fn new(runtime: Handle, time_max: Duration) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
        Ok(Collector { client, time_max, runtime, complaints: Complaints::default() })
    }

    fn complain(&self, problem: &str) {
        if let Complaint::Say { unsaid } = self.complaints.failed(Instant::now()) {
            tracing::warn!(problem, unsaid, "spans of traces were not taken by the collector and are lost");
        }
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (client, time_max) = (self.client.clone(), self.time_max);
        let exchange = async move {
            let response = client.request(request.map(Full::new)).await?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?.to_bytes();
            Ok::<_, HttpError>(Response::from_parts(head, body))
        };
        let sent = self.runtime.spawn(async move {
            tokio::time::timeout(time_max, exchange).await.unwrap_or_else(|elapsed| Err(elapsed.into()))
        });
        let result = sent.await.unwrap_or_else(|error| Err(error.into()));
        match &result {
            Ok(response) if response.status().is_success() => {}
            Ok(response) => self.complain(&format!("it answered with status {}", response.status().as_u16())),
            Err(error) => self.complain(&with_sources(&**error)),
        }
        result
    }
}
