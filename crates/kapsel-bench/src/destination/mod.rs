//! The destination of deliveries: takes each request, notes its number, answers 200.

mod connection;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Notify;
use tokio::task::LocalSet;

use crate::error::Error;
use crate::ledger::Ledger;
use crate::thread::MeasuredThread;

/// Kapsel may open a thousand connections at the same moment, and none of them should be turned away.
const BACKLOG: u32 = 4_096;

/// A running destination.
#[derive(Debug)]
pub(crate) struct Destination {
    address: SocketAddr,
    end: Arc<Notify>,
    thread: MeasuredThread<()>,
}

impl Destination {
    /// Listens on a free port of this address, on a thread of its own.
    pub(crate) fn start(ledger: Arc<Ledger>, ip: IpAddr, delay: Duration) -> Result<Self, Error> {
        let (sender, receiver) = mpsc::channel();
        let end = Arc::new(Notify::new());
        let end_of_thread = Arc::clone(&end);
        let thread = MeasuredThread::start("destination", move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(Error::io("starting the destination"))?;
            LocalSet::new().block_on(&runtime, async move {
                let listener = listen(ip).map_err(Error::io(format!("listening on {ip}")))?;
                let address = listener.local_addr().map_err(Error::io("listening"))?;
                // Whoever starts it waits for this; if it is gone, so is the tool.
                let _nobody_waits = sender.send(address);
                tokio::select! {
                    () = end_of_thread.notified() => Ok(()),
                    error = accept(listener, ledger, delay) => Err(error),
                }
            })
        })?;
        match receiver.recv() {
            Ok(address) => Ok(Destination { address, end, thread }),
            Err(_) => Err(Error::Program(format!("the destination cannot listen on {ip}"))),
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Seconds of processor time that it has used.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        self.thread.cpu_seconds()
    }

    /// Ends it, with all of its connections.
    pub(crate) async fn stop(self) -> Result<(), Error> {
        self.end.notify_one();
        self.thread.join().await
    }
}

fn listen(ip: IpAddr) -> std::io::Result<TcpListener> {
    let socket = if ip.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind((ip, 0).into())?;
    socket.listen(BACKLOG)
}

/// Takes connections until one cannot be taken.
async fn accept(listener: TcpListener, ledger: Arc<Ledger>, delay: Duration) -> Error {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::task::spawn_local(connection::serve(stream, Arc::clone(&ledger), delay));
            }
            Err(error) => return Error::io("accepting a connection at the destination")(error),
        }
    }
}
