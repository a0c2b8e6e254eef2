//! What is measured: a Kapsel that the tool starts itself, or one that runs already.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};

use url::Url;

use crate::error::Error;
use crate::kapsel::Target;

/// What is measured, checked.
#[derive(Debug, Clone)]
pub(crate) enum Subject {
    /// A program that is started for each repetition.
    Program(Program),
    /// One that runs already.
    Running {
        /// Where it is.
        target: Target,
        /// The address of this machine that it can deliver to.
        destination_ip: IpAddr,
        /// The folder whose file system is told.
        data_folder: PathBuf,
    },
}

/// A program that is started for each repetition.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    /// The program.
    pub(crate) path: PathBuf,
    /// Data folders are made in it.
    pub(crate) data_folder: PathBuf,
    /// The server on which databases are made; without it, the engine is the embedded one.
    pub(crate) database_url: Option<Url>,
    /// Settings of the person who measures.
    pub(crate) settings: Vec<(String, String)>,
    /// The address that is delivered to.
    pub(crate) destination_ip: IpAddr,
}

impl Subject {
    /// The folder that data folders are made in.
    pub(crate) fn data_folder(&self) -> &Path {
        match self {
            Subject::Program(program) => &program.data_folder,
            Subject::Running { data_folder, .. } => data_folder,
        }
    }

    /// The address that is delivered to.
    pub(crate) fn destination_ip(&self) -> IpAddr {
        match self {
            Subject::Program(program) => program.destination_ip,
            Subject::Running { destination_ip, .. } => *destination_ip,
        }
    }
}

/// A setting from `KEY=VALUE`.
pub(crate) fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a setting is KEY=VALUE".to_owned()),
    }
}

/// The address behind `http://HOST:PORT`. A load test against a machine of somebody else is an attack, so another machine
/// has to be meant.
pub(crate) fn server_address(url: &str, is_remote_allowed: bool) -> Result<SocketAddr, Error> {
    let wrong = |why: &str| Error::Usage(format!("--server {url}: {why}"));
    let parsed = Url::parse(url).map_err(|error| wrong(&error.to_string()))?;
    if parsed.scheme() != "http" {
        return Err(wrong("only http:// is spoken; TLS would measure this tool's own encryption"));
    }
    let host = parsed.host_str().ok_or_else(|| wrong("it names no host"))?;
    let port = parsed.port_or_known_default().unwrap_or(80);
    let addresses = (host.trim_matches(['[', ']']), port).to_socket_addrs();
    let mut addresses = addresses.map_err(|error| wrong(&error.to_string()))?;
    let address = addresses.next().ok_or_else(|| wrong("its host has no address"))?;
    if !address.ip().is_loopback() && !is_remote_allowed {
        return Err(wrong("it is on another machine; --allow-remote permits that"));
    }
    Ok(address)
}

/// An address for the destination, which has to be on the loopback interface unless another machine delivers to it.
pub(crate) fn destination_ip(ip: IpAddr, is_remote_allowed: bool) -> Result<IpAddr, Error> {
    if ip.is_loopback() || is_remote_allowed {
        return Ok(ip);
    }
    Err(Error::Usage(format!("--destination-ip {ip}: others could reach it; --allow-remote permits that")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_pairs() {
        assert_eq!(setting("A=b=c"), Ok(("A".to_owned(), "b=c".to_owned())));
        assert_eq!(setting("A="), Ok(("A".to_owned(), String::new())));
        assert!(setting("=b").is_err() && setting("a").is_err());
    }

    #[test]
    fn other_machines_have_to_be_meant() {
        assert_eq!(server_address("http://127.0.0.1:8080", false).unwrap(), ([127, 0, 0, 1], 8_080).into());
        assert!(server_address("http://[::1]:8080/", false).is_ok());
        assert!(server_address("http://192.0.2.1:8080", false).is_err());
        assert!(server_address("http://192.0.2.1:8080", true).is_ok());
        assert!(server_address("https://127.0.0.1:8080", true).is_err());
        assert!(server_address("nonsense", true).is_err());
        assert!(destination_ip([127, 0, 0, 2].into(), false).is_ok());
        assert!(destination_ip([0, 0, 0, 0].into(), false).is_err());
        assert!(destination_ip([192, 0, 2, 1].into(), true).is_ok());
    }
}
