//! `kapsel listen`: a local destination for trying things out.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use kapsel_core::SystemClock;
use secrecy::SecretString;
use tokio::net::TcpListener;

use crate::commands::receiver::{self, Arrival, Behaviour, Signature};
use crate::commands::{Failure, runtime};

/// How much of a body is shown.
const PREVIEW_CHARS: usize = 200;

/// Receive webhooks, print them and check their signatures.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9000")]
    addr: SocketAddr,
    /// Signing secret of the endpoint (whsec_...); signatures are then checked
    #[arg(long, value_name = "SECRET", env = "KAPSEL_LISTEN_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// Status of the answers
    #[arg(long, value_name = "STATUS", default_value = "200", value_parser = parse_status)]
    status: StatusCode,
    /// Answer the first COUNT attempts of each event with 500
    #[arg(long, value_name = "COUNT", default_value = "0")]
    fail_first: u32,
    /// Wait so many milliseconds before each answer
    #[arg(long, value_name = "MILLISECONDS", default_value = "0")]
    delay_ms: u64,
}

fn parse_status(text: &str) -> Result<StatusCode, String> {
    let status = text.parse::<StatusCode>().map_err(|_| "not an HTTP status".to_owned())?;
    // 1xx is no final answer: a server that sends only that never answers.
    if (200..600).contains(&status.as_u16()) { Ok(status) } else { Err("not a status from 200 to 599".to_owned()) }
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let verifier = match &args.secret {
        None => None,
        Some(secret) => {
            let verifier = receiver::verifier(&SecretString::from(secret.as_str()));
            Some(verifier.map_err(|problem| Failure::runtime("reading --secret")(problem.into()))?)
        }
    };
    let behaviour = Behaviour {
        status: args.status,
        fail_first: args.fail_first,
        delay: Duration::from_millis(args.delay_ms),
        verifier,
    };
    runtime()?.block_on(listen(args.addr, behaviour))
}

async fn listen(address: SocketAddr, behaviour: Behaviour) -> Result<(), Failure> {
    let bind = |error: std::io::Error| Failure::runtime("listening")(format!("{address}: {error}").into());
    let listener = TcpListener::bind(address).await.map_err(bind)?;
    let (address, mut arrived) = receiver::start(listener, behaviour, Arc::new(SystemClock)).map_err(bind)?;
    println!("Listening on http://{address}/ (stop with Ctrl-C)");
    loop {
        tokio::select! {
            Some(arrival) = arrived.recv() => print(&arrival),
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}

fn print(arrival: &Arrival) {
    let signature = match &arrival.signature {
        Signature::Valid => "signature valid".to_owned(),
        Signature::Invalid(problem) => format!("SIGNATURE INVALID ({problem})"),
        Signature::NotChecked => "signature not checked (no --secret)".to_owned(),
    };
    let text = format!(
        "{}  {}  attempt {}  {} bytes of {}  {}  -> {}\n    {}\n",
        arrival.at,
        arrival.header("webhook-id"),
        arrival.header("x-kapsel-delivery-attempt"),
        arrival.body.len(),
        arrival.header("content-type"),
        signature,
        arrival.answered.as_u16(),
        preview(&arrival.body),
    );
    // A closed terminal is no reason to stop receiving.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// The beginning of a body, made safe for a terminal.
fn preview(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let mut shown: String = text.chars().take(PREVIEW_CHARS).map(|c| if c.is_control() { '·' } else { c }).collect();
    if text.chars().nth(PREVIEW_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn previews_hold_no_control_characters_and_are_short() {
        assert_eq!(preview(b"a\x1b[31m\nb"), "a·[31m·b");
        assert_eq!(preview("é".repeat(300).as_bytes()).chars().count(), PREVIEW_CHARS + 1);
    }

    #[test]
    fn only_final_statuses_can_be_played() {
        assert!(parse_status("200").is_ok() && parse_status("599").is_ok());
        for text in ["100", "199", "600", "99", "abc", ""] {
            assert!(parse_status(text).is_err(), "{text}");
        }
    }
}
