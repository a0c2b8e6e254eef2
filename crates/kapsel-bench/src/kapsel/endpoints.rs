//! The endpoints that the load is sent to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::Target;
use crate::error::Error;
use crate::http::client::Client;
use crate::load::bodies::{SECRET, SIGNATURE_HEADER};

/// How many requests of the management API are under way at once. Kapsel writes what comes together together.
const CONCURRENCY: usize = 16;

/// An endpoint that was made.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    number: usize,
    id: String,
    /// The path that takes its webhooks.
    pub(crate) path: String,
}

/// What is asked for: HMAC-SHA256 over the body, and deliveries to the destination.
///
/// A user has one way to let events wait while they are accepted: a rate of deliveries. With the lowest there is, an
/// endpoint delivers its first event and then one in almost three hours.
fn settings(number: usize, destination: SocketAddr, is_delivered: bool) -> Value {
    let mut settings = json!({
        "name": format!("bench-{number}"),
        "url": format!("http://{destination}/hook"),
        "verification": {"scheme": "hmac", "secrets": [SECRET], "header": SIGNATURE_HEADER},
    });
    if !is_delivered && let Some(fields) = settings.as_object_mut() {
        fields.insert("rate_limit".to_owned(), json!({"per_second": 0.0001, "burst": 1}));
    }
    settings
}

/// Makes endpoints. `seen` counts those that are there.
pub(crate) async fn create(
    target: &Target,
    count: usize,
    destination: SocketAddr,
    is_delivered: bool,
    seen: &Arc<AtomicUsize>,
) -> Result<Vec<Endpoint>, Error> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..CONCURRENCY.min(count) {
        let mut client = Client::new(target.address, Some(target.key.clone()));
        let (next, seen) = (Arc::clone(&next), Arc::clone(seen));
        tasks.spawn(async move {
            let mut endpoints = Vec::new();
            loop {
                let number = next.fetch_add(1, Relaxed);
                if number >= count {
                    return Ok(endpoints);
                }
                let settings = settings(number, destination, is_delivered);
                let reply = client.call("POST", "/v1/endpoints", Some(&settings)).await?;
                let endpoint = endpoint(number, &reply.body).filter(|_| reply.status == 201);
                let refused =
                    || Error::Program(format!("an endpoint was refused with {}: {}", reply.status, reply.body));
                endpoints.push(endpoint.ok_or_else(refused)?);
                seen.fetch_add(1, Relaxed);
            }
        });
    }
    let mut endpoints = Vec::with_capacity(count);
    while let Some(made) = tasks.join_next().await {
        let made: Result<Vec<Endpoint>, Error> =
            made.map_err(|error| Error::Program(format!("making endpoints: {error}")))?;
        endpoints.append(&mut made?);
    }
    endpoints.sort_by_key(|endpoint| endpoint.number);
    Ok(endpoints)
}

/// Deletes endpoints of a Kapsel that goes on without this tool.
pub(crate) async fn delete(target: &Target, endpoints: &[Endpoint]) -> Result<(), Error> {
    let mut client = Client::new(target.address, Some(target.key.clone()));
    for endpoint in endpoints {
        client.call("DELETE", &format!("/v1/endpoints/{}", endpoint.id), None).await?;
    }
    Ok(())
}

fn endpoint(number: usize, answer: &Value) -> Option<Endpoint> {
    let id = answer["id"].as_str()?.to_owned();
    let url = url::Url::parse(answer["ingest_url"].as_str()?).ok()?;
    Some(Endpoint { number, id, path: url.path().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_becomes_an_endpoint() {
        let answer = json!({"id": "ep_1", "ingest_url": "http://127.0.0.1:8080/ingest/ep_1"});
        assert_eq!(endpoint(3, &answer).unwrap().path, "/ingest/ep_1");
        assert!(endpoint(3, &json!({"error": {}})).is_none());
    }

    #[test]
    fn only_what_is_to_wait_has_a_rate() {
        let address = ([127, 0, 0, 1], 9_000).into();
        assert_eq!(settings(0, address, true)["rate_limit"], Value::Null);
        assert_eq!(settings(0, address, false)["rate_limit"]["per_second"], 0.0001);
        assert_eq!(settings(0, address, true)["url"], "http://127.0.0.1:9000/hook");
    }
}
