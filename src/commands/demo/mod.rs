//! `kapsel demo`: real signed webhooks of several providers go through a server of their own to two destinations, one
//! healthy, one that fails twice. At the end a proof of one delivery is checked by the separate verifier. It ends with
//! success only if every webhook arrived byte-exact and validly signed, the proof holds, and a changed one does not.

mod client;
mod proof;
mod providers;
mod table;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use kapsel_core::signature::outbound::generate_secret;
use kapsel_core::{Clock as _, Entropy as _, SystemClock, SystemEntropy, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::commands::receiver::{self, Arrival, Behaviour, Signature};
use crate::commands::{Failure, runtime};
use crate::config::{self, Config};
use crate::wire::Server;
use client::Client;
use table::Row;

/// Everything has to have arrived by then.
const TIME_LIMIT: Duration = Duration::from_secs(60);
/// How often the failing destination fails each event.
const FAILURES: u32 = 2;
/// The first wait of the demo's retries, in seconds.
const RETRY_BASE_SECONDS: f64 = 0.2;
/// How often a finished delivery's state is asked for until it shows.
const POLL: Duration = Duration::from_millis(20);

/// Show the whole way of real signed webhooks.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

type Error = Box<dyn std::error::Error + Send + Sync>;

/// An event on its way, with what is known about it so far.
struct Sent {
    provider: &'static str,
    destination: &'static str,
    body: Vec<u8>,
    sent_at: Timestamp,
    arrived: Option<Arrived>,
    refused: u32,
}

/// How an event arrived where it was accepted.
struct Arrived {
    after: Duration,
    byte_exact: bool,
    signature: Signature,
}

pub(crate) fn run(_: &Args) -> Result<(), Failure> {
    runtime()?.block_on(async {
        let folder = tempfile::tempdir().map_err(|error| Failure::runtime("making a folder")(error.into()))?;
        let path = folder.path().to_string_lossy().into_owned();
        let config = Config::load_without_environment(&config::Args::private(path, "127.0.0.0/8".to_owned()))?;
        let server = Server::start(&config).await?;
        let result = tokio::time::timeout(TIME_LIMIT, show(&server)).await;
        server.stop().await;
        match result {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(Failure::runtime("demo")("not everything was as it should be".into())),
            Ok(Err(error)) => Err(Failure::runtime("demo")(error)),
            Err(_) => Err(Failure::runtime("demo")("not everything arrived in time".into())),
        }
    })
}

/// Runs the demo against a started server. Returns whether all went well.
async fn show(server: &Server) -> Result<bool, Error> {
    let secret = generate_secret(&SystemEntropy);
    let client = Client::new(format!("http://{}", server.addr()), server.operator_key().clone());
    let (healthy_url, mut healthy) = destination(&secret, 0).await?;
    let (flaky_url, mut flaky) = destination(&secret, FAILURES).await?;
    println!("Server       http://{}/", server.addr());
    println!("Destination  {healthy_url}  healthy");
    println!("Destination  {flaky_url}  answers 500 to the first {FAILURES} attempts of each event");
    println!();

    let mut events = BTreeMap::new();
    for (destination, url) in [("healthy", &healthy_url), ("fails twice", &flaky_url)] {
        for webhook in providers::all(SystemClock.now().unix_seconds(), SystemEntropy.next_u64()) {
            let endpoint = serde_json::json!({
                "name": format!("{} to {destination}", webhook.provider),
                "url": url,
                "verification": webhook.verification,
                "signing_secret": secret.expose_secret(),
                "retry": {"base_seconds": RETRY_BASE_SECONDS},
            });
            let endpoint = client.call(Method::POST, "/v1/endpoints", Some(&endpoint)).await?;
            let ingest_url = endpoint["ingest_url"].as_str().ok_or("the answer has no ingest_url")?;
            let sent_at = SystemClock.now();
            let (status, answer) = client.post(ingest_url, &webhook.headers, webhook.body.clone()).await?;
            if status != StatusCode::OK {
                return Err(format!("{}: not accepted: {status}: {answer}", webhook.provider).into());
            }
            let id = answer["event_id"].as_str().ok_or("the answer has no event_id")?.to_owned();
            println!("accepted   {id}  {}", webhook.provider);
            let sent = Sent {
                provider: webhook.provider,
                destination,
                body: webhook.body,
                sent_at,
                arrived: None,
                refused: 0,
            };
            events.insert(id, sent);
            while let Ok(arrival) = healthy.try_recv().or_else(|_| flaky.try_recv()) {
                note(&mut events, &arrival);
            }
        }
    }

    while events.values().any(|sent| sent.arrived.is_none()) {
        let arrival = tokio::select! {
            Some(arrival) = healthy.recv() => arrival,
            Some(arrival) = flaky.recv() => arrival,
        };
        note(&mut events, &arrival);
    }
    println!();
    let all_well = report(&client, &events).await?;
    println!();
    let id = events.keys().next().ok_or("nothing was sent")?;
    let event = client.call(Method::GET, &format!("/v1/events/{id}"), None).await?;
    let attempt = event["attempts"].as_array().and_then(|attempts| attempts.last());
    let attempt = attempt.and_then(|attempt| attempt["id"].as_str()).ok_or("the event has no attempt")?;
    Ok(proof::show(&client, attempt).await? && all_well)
}

/// Starts a destination that fails the first attempts of each event.
async fn destination(secret: &SecretString, fail_first: u32) -> Result<(String, UnboundedReceiver<Arrival>), Error> {
    let verifier = Some(receiver::verifier(secret)?);
    let behaviour = Behaviour { status: StatusCode::OK, fail_first, delay: Duration::ZERO, verifier };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (address, arrived) = receiver::start(listener, behaviour, Arc::new(SystemClock))?;
    Ok((format!("http://{address}/hook"), arrived))
}

/// Notes what an arrival says about its event.
fn note(events: &mut BTreeMap<String, Sent>, arrival: &Arrival) {
    let id = arrival.header("webhook-id");
    let attempt = arrival.header("x-kapsel-delivery-attempt");
    let Some(sent) = events.get_mut(id) else {
        println!("unexpected {id}");
        return;
    };
    if !arrival.answered.is_success() {
        sent.refused += 1;
        println!("refused    {id}  attempt {attempt}, answered {}", arrival.answered.as_u16());
        return;
    }
    println!("arrived    {id}  attempt {attempt}, answered {}", arrival.answered.as_u16());
    sent.arrived.get_or_insert(Arrived {
        after: arrival.at.saturating_since(sent.sent_at),
        byte_exact: arrival.body == sent.body,
        signature: arrival.signature.clone(),
    });
}

/// Asks the server what it recorded and prints the table. Returns whether all is as it should be.
async fn report(client: &Client, events: &BTreeMap<String, Sent>) -> Result<bool, Error> {
    let mut rows = Vec::new();
    let mut all_well = true;
    for (id, sent) in events {
        let event = settled(client, id).await?;
        let attempts = event["attempts"].as_array().map_or(0, Vec::len);
        let expected_attempts = if sent.destination == "healthy" { 1 } else { 1 + FAILURES };
        let status = event["status"].as_str().unwrap_or("?").to_owned();
        let (byte_exact, signed, after) = match &sent.arrived {
            Some(arrived) => (arrived.byte_exact, arrived.signature == Signature::Valid, Some(arrived.after)),
            None => (false, false, None),
        };
        let well = byte_exact
            && signed
            && status == "delivered"
            && u32::try_from(attempts) == Ok(expected_attempts)
            && sent.refused + 1 == expected_attempts;
        all_well &= well;
        rows.push(Row {
            event: id.clone(),
            provider: sent.provider,
            destination: sent.destination,
            attempts,
            status,
            millis: after.map(|after| after.as_secs_f64() * 1_000.0),
            byte_exact,
            signed,
        });
    }
    print!("{}", table::render(&rows));
    println!();
    let good = if all_well { "Every" } else { "NOT every" };
    println!("{good} webhook arrived byte-exact, with a valid signature, in the expected number of attempts.");
    Ok(all_well)
}

/// The event once its last attempt is recorded. The arrival is seen before the record can be.
async fn settled(client: &Client, id: &str) -> Result<serde_json::Value, Error> {
    loop {
        let event = client.call(Method::GET, &format!("/v1/events/{id}"), None).await?;
        if matches!(event["status"].as_str(), Some("delivered" | "failed" | "discarded")) {
            return Ok(event);
        }
        tokio::time::sleep(POLL).await;
    }
}
