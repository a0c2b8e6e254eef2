//! Where the server listens, and with which settings.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kapsel_api::{Api, ServerSettings, Tls};
use kapsel_store::error::with_sources;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::told;
use crate::commands::Failure;
use crate::config::Config;
use crate::descriptors;

/// Connections that wait to be accepted. The kernel's own limit may be lower.
const BACKLOG: i32 = 4_096;
/// Of the management API, where it has an address of its own: people, scripts and a scraper.
const MANAGEMENT_CONNECTIONS_MAX: usize = 1_000;
/// Of them, those of one address.
const MANAGEMENT_CONNECTIONS_PER_ADDRESS_MAX: usize = MANAGEMENT_CONNECTIONS_MAX / 4;
/// How often certificates are looked at. Who replaces one waits this long; reading three small files costs nothing.
const TLS_RELOAD_EVERY: Duration = Duration::from_secs(5);

/// The open sockets.
pub(super) struct Listening {
    main: TcpListener,
    management: Option<TcpListener>,
    tls: Option<(Arc<Tls>, Signal)>,
    pub(super) addr: SocketAddr,
    pub(super) management_addr: Option<SocketAddr>,
}

impl Listening {
    /// Reads the certificate and takes the addresses. Nothing is accepted yet.
    ///
    /// # Errors
    /// A certificate that cannot be used, an address that is not free.
    pub(super) fn open(config: &Config) -> Result<Self, Failure> {
        let tls = config.server.tls.as_ref().map(|tls| {
            let hangup = signal(SignalKind::hangup())
                .map_err(|error| Failure::runtime("listening for signals")(error.into()))?;
            Ok::<_, Failure>((Arc::new(tls.load()?), hangup))
        });
        let tls = tls.transpose()?;
        let (main, addr) = bind(config.server.addr)?;
        let management = config.server.management_addr.map(bind).transpose()?;
        let (management, management_addr) = management.unzip();
        Ok(Listening { main, management, tls, addr, management_addr })
    }

    /// Serves the API on all addresses until the program stops. The tasks end with the last connection.
    pub(super) fn serve(
        self,
        api: &Api,
        config: &Config,
        stopped: &watch::Receiver<bool>,
        grace: Duration,
    ) -> Vec<JoinHandle<()>> {
        let server = &config.server;
        let management_max = if self.management.is_some() { MANAGEMENT_CONNECTIONS_MAX } else { 0 };
        let wanted = server.connections_max + management_max;
        let room = descriptors::make_room(wanted, config.delivery.in_flight_max);
        // Where there is less room for all, there is less for each.
        let share = |count: usize| (count.saturating_mul(room) / wanted).max(1);
        let main_settings = ServerSettings {
            connections_max: share(server.connections_max),
            connections_per_address_max: share(server.connections_per_address_max),
            trusted_proxies: server.trusted_proxies.clone(),
            tls: self.tls.as_ref().map(|(tls, _)| Arc::clone(tls)),
            ..ServerSettings::default()
        };
        let serve = |listener, router, settings| {
            let serving = kapsel_api::serve(listener, router, settings, told(stopped.clone()), grace);
            tokio::spawn(async move {
                serving.await;
            })
        };
        let mut tasks = Vec::new();
        match self.management {
            None => tasks.push(serve(self.main, api.router(), main_settings)),
            Some(management) => {
                let per_address = server.connections_per_address_max.min(MANAGEMENT_CONNECTIONS_PER_ADDRESS_MAX);
                let settings = ServerSettings {
                    connections_max: share(management_max),
                    connections_per_address_max: share(per_address),
                    ..main_settings.clone()
                };
                tasks.push(serve(self.main, api.public_router(), main_settings));
                tasks.push(serve(management, api.management_router(), settings));
            }
        }
        if let Some((tls, hangup)) = self.tls {
            tasks.push(tokio::spawn(keep_fresh(tls, hangup, told(stopped.clone()))));
        }
        tasks
    }
}

/// Puts new certificates in force: every few seconds if files have changed, and on SIGHUP.
async fn keep_fresh(tls: Arc<Tls>, mut hangup: Signal, stopped: impl Future<Output = ()>) {
    let mut stopped = std::pin::pin!(stopped);
    loop {
        let is_asked = tokio::select! {
            () = &mut stopped => return,
            _ = hangup.recv() => true,
            () = tokio::time::sleep(TLS_RELOAD_EVERY) => false,
        };
        let tls = Arc::clone(&tls);
        let step = move || if is_asked { tls.reload().map(|()| true) } else { tls.reload_if_changed() };
        // Only a panic loses the result, and that has been reported.
        let Ok(result) = tokio::task::spawn_blocking(step).await else { continue };
        match result {
            Ok(true) => tracing::info!("the certificate was read anew; new connections get it"),
            Ok(false) => {}
            Err(error) => tracing::error!(
                file = %error.path.display(),
                error = with_sources(&error),
                "the new certificate cannot be used; the one before stays in force"
            ),
        }
    }
}

fn bind(addr: SocketAddr) -> Result<(TcpListener, SocketAddr), Failure> {
    let open = || {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        // A restart must not wait for connections of the last run to time out.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from_std(socket.into())?;
        let addr = listener.local_addr()?;
        Ok((listener, addr))
    };
    open().map_err(|error: std::io::Error| Failure::runtime("listening")(format!("{addr}: {error}").into()))
}
