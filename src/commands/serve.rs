//! `kapsel serve`: the service, until it is told to stop.

use std::process;

use tracing_subscriber::EnvFilter;

use crate::commands::{Failure, runtime};
use crate::config::{Args, Config, LogConfig, LogFormat};
use crate::keys::OperatorKeyOrigin;
use crate::wire::Server;

/// Exit code after a second signal: the stop was not a clean one.
const EXIT_FORCED: i32 = 130;

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let config = Config::load(args)?;
    start_log(&config.log);
    runtime()?.block_on(async {
        // Registered before anything else, so that an early signal is not lost.
        let mut signals = Signals::register()?;
        let server = Server::start(&config).await?;
        print!("{}", welcome(&server, &config));
        signals.next().await;
        tracing::info!("stopping; a second signal ends at once");
        tokio::spawn(async move {
            signals.next().await;
            tracing::warn!("ended at once by a second signal");
            process::exit(EXIT_FORCED);
        });
        server.stop().await;
        Ok(())
    })
}

pub(crate) fn start_log(config: &LogConfig) {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(with_quiet_http2(&config.filter)))
        .with_writer(std::io::stderr)
        .with_target(true);
    match config.format {
        LogFormat::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}

/// The library of HTTP/2 warns of each client that breaks its rules. Anybody could write the log full with that, so it is
/// silenced, unless the filter names it.
fn with_quiet_http2(filter: &str) -> String {
    if filter.split(',').any(|part| part.trim().starts_with("h2")) {
        filter.to_owned()
    } else {
        format!("h2=error,{filter}")
    }
}

/// What a person sees at the start: where it listens, and two commands for a first webhook.
fn welcome(server: &Server, config: &Config) -> String {
    let scheme = if config.server.tls.is_some() { "https" } else { "http" };
    let management = format!("{scheme}://{}", server.management_addr());
    // A public URL leads to the main address, and the management API may not be there.
    let has_own_address = server.management_addr() != server.addr();
    let base = config.server.public_url.clone().filter(|_| !has_own_address).unwrap_or_else(|| management.clone());
    let own_address = if has_own_address { format!("Management API on {management}/\n") } else { String::new() };
    let key = match server.operator_key_origin() {
        OperatorKeyOrigin::Configured => "$KAPSEL_OPERATOR_KEY".to_owned(),
        OperatorKeyOrigin::File { path, .. } => format!("$(cat '{}')", path.display()),
    };
    let key_note = match server.operator_key_origin() {
        OperatorKeyOrigin::Configured => "from the configuration".to_owned(),
        OperatorKeyOrigin::File { path, created: true } => format!("generated into {}", path.display()),
        OperatorKeyOrigin::File { path, created: false } => format!("in {}", path.display()),
    };
    let loopback_allowed = config.security.address_policy.check([127, 0, 0, 1].into()).is_ok();
    let (destination, note) = if loopback_allowed {
        ("http://127.0.0.1:9000/", "start the destination with: kapsel listen")
    } else {
        (
            "https://example.com/webhooks",
            "put your service's URL in; for one on this machine start with KAPSEL_ALLOW_DESTINATIONS=127.0.0.0/8",
        )
    };
    format!(
        "Kapsel {version}\n\
         Listening on {local}\n\
         {own_address}\
         Data in {folder}\n\
         Operator key {key_note}\n\
         \n\
         A first webhook ({note}):\n\
         \n\
         INGEST_URL=$(curl -s {base}/v1/endpoints -H \"Authorization: Bearer {key}\" -H 'Content-Type: application/json' \
         -d '{{\"name\": \"first\", \"url\": \"{destination}\"}}' | tee /dev/stderr | \
         sed -n 's/.*\"ingest_url\":\"\\([^\"]*\\)\".*/\\1/p')\n\
         curl -i \"$INGEST_URL\" -H 'Content-Type: application/json' -d '{{\"hello\": \"world\"}}'\n\
         \n",
        version = env!("CARGO_PKG_VERSION"),
        local = format_args!("{scheme}://{}/", server.addr()),
        folder = config.storage.folder.display(),
    )
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn register() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        let register = |kind| signal(kind).map_err(|error| Failure::runtime("listening for signals")(error.into()));
        Ok(Signals { terminate: register(SignalKind::terminate())?, interrupt: register(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_of_http2_do_not_fill_the_log_unless_asked_for() {
        assert_eq!(with_quiet_http2("info"), "h2=error,info");
        assert_eq!(with_quiet_http2("kapsel_api=debug,warn"), "h2=error,kapsel_api=debug,warn");
        assert_eq!(with_quiet_http2("info,h2=debug"), "info,h2=debug");
        assert_eq!(EnvFilter::new(with_quiet_http2("info")).to_string(), "h2=error,info");
    }
}
