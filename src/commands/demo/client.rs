//! A minimal HTTP client for the demo's own server.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use secrecy::{ExposeSecret as _, SecretString};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Talks to one server.
pub(super) struct Client {
    http: HyperClient<HttpConnector, Full<Bytes>>,
    base: String,
    key: SecretString,
}

impl Client {
    pub(super) fn new(base: String, key: SecretString) -> Self {
        Client { http: HyperClient::builder(TokioExecutor::new()).build_http(), base, key }
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, serde_json::Value), Error> {
        let response = self.http.request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, serde_json::from_slice(&body)?))
    }

    /// Calls the management API; anything but success is an error that holds the answer.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<serde_json::Value, Error> {
        let body = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("authorization", format!("Bearer {}", self.key.expose_secret()))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))?;
        let (status, answer) = self.send(request).await?;
        if status.is_success() { Ok(answer) } else { Err(format!("{path}: {status}: {answer}").into()) }
    }

    /// Asks for something that may not be there yet.
    pub(super) async fn get(&self, path: &str) -> Result<(StatusCode, serde_json::Value), Error> {
        let request = Request::get(format!("{}{path}", self.base))
            .header("authorization", format!("Bearer {}", self.key.expose_secret()))
            .body(Full::new(Bytes::new()))?;
        self.send(request).await
    }

    /// Sends a webhook.
    pub(super) async fn post(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        body: Vec<u8>,
    ) -> Result<(StatusCode, serde_json::Value), Error> {
        let mut request = Request::post(url);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        self.send(request.body(Full::new(Bytes::from(body)))?).await
    }
}
