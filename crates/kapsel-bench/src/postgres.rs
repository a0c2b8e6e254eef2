//! A database for the run, and what its server uses up.

use std::net::IpAddr;

use serde::Serialize;
use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config, NoTls};
use url::Url;

use crate::chance::unique_name;
use crate::error::Error;
use crate::proc::{cpu, memory, writes};

/// Settings of the server that bear on the figures.
const SETTINGS: &[&str] =
    &["fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_wal_size", "wal_compression"];

/// A database that was made for the run, and a connection that looks at its server.
pub(crate) struct Database {
    client: Client,
    name: String,
    url: Url,
    server: Server,
}

/// The server.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Server {
    /// Its version.
    pub(crate) version: String,
    /// Its settings that bear on the figures.
    pub(crate) settings: Vec<(String, String)>,
    /// Its first process, if it is on this machine.
    pub(crate) postmaster: Option<u32>,
}

impl Server {
    /// In one line.
    pub(crate) fn words(&self) -> String {
        let settings: Vec<_> = self.settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("PostgreSQL {} ({})", self.version, settings.join(", "))
    }

    /// Seconds of processor time of all its processes.
    pub(crate) fn cpu_seconds(&self) -> Option<f64> {
        cpu::of_family(self.postmaster?)
    }

    /// Its memory.
    pub(crate) fn memory_bytes(&self) -> Option<u64> {
        memory::family_bytes(self.postmaster?)
    }

    /// What it wrote to storage.
    pub(crate) fn written_bytes(&self) -> Option<u64> {
        writes::of_family(self.postmaster?)
    }
}

/// Refuses a server on another machine, unless that is allowed.
pub(crate) fn check(url: &str, is_remote_allowed: bool) -> Result<Url, Error> {
    let wrong = |why: String| Error::Usage(format!("--database-url: {why}"));
    let config: Config = url.parse().map_err(|error| wrong(format!("{error}")))?;
    let url: Url = url.parse().map_err(|error| wrong(format!("it has to begin with postgres:// ({error})")))?;
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return Err(wrong("it has to begin with postgres://".to_owned()));
    }
    let is_here = |host: &Host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback()),
    };
    if !is_remote_allowed && !config.get_hosts().iter().all(is_here) {
        return Err(wrong("it is on another machine; --allow-remote permits that".to_owned()));
    }
    Ok(url)
}

impl Database {
    /// Makes an empty database on the server that this URL leads to.
    pub(crate) async fn create(url: &Url) -> Result<Self, Error> {
        let client = connect(url).await?;
        let name = format!("kapsel_bench_{}", unique_name::<6>());
        // The name is made of letters and digits.
        let statement = format!("create database {name}");
        client.batch_execute(&statement).await.map_err(Error::postgres("making a database for the run"))?;
        let mut own_url = url.clone();
        own_url.set_path(&name);
        let server = match look(&client, url).await {
            Ok(server) => server,
            Err(error) => {
                drop_database(&client, &name).await?;
                return Err(error);
            }
        };
        Ok(Database { client, name, url: own_url, server })
    }

    /// Its URL.
    pub(crate) fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Its server.
    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// How many bytes of write-ahead log the server has written since its beginning, of all databases.
    pub(crate) async fn wal_bytes(&self) -> Result<u64, Error> {
        let position = "select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint";
        let row = self.client.query_one(position, &[]).await;
        let bytes: i64 = row.map_err(Error::postgres("reading the position of its log"))?.get(0);
        Ok(u64::try_from(bytes).unwrap_or_default())
    }

    /// Drops it, with whatever is still connected to it.
    pub(crate) async fn drop(self) -> Result<(), Error> {
        drop_database(&self.client, &self.name).await
    }
}

async fn drop_database(client: &Client, name: &str) -> Result<(), Error> {
    let statement = format!("drop database if exists {name} with (force)");
    client.batch_execute(&statement).await.map_err(Error::postgres("dropping the database of the run"))
}

async fn connect(url: &Url) -> Result<Client, Error> {
    let connected = tokio_postgres::connect(url.as_str(), NoTls).await;
    let (client, connection) = connected.map_err(Error::postgres("connecting"))?;
    // It ends with the client; what fails on it, the client's next request tells.
    tokio::spawn(async move { connection.await.is_ok() });
    Ok(client)
}

async fn look(client: &Client, url: &Url) -> Result<Server, Error> {
    let setting = async |name: &str| {
        let row = client.query_one("select current_setting($1, true)", &[&name]).await;
        let value: Option<String> = row.map_err(Error::postgres("reading its settings"))?.get(0);
        Ok::<_, Error>(value.unwrap_or_default())
    };
    let row =
        client.query_one("select pg_backend_pid()", &[]).await.map_err(Error::postgres("asking for a process"))?;
    let backend: i32 = row.get(0);
    let mut settings = Vec::new();
    for name in SETTINGS {
        settings.push(((*name).to_owned(), setting(name).await?));
    }
    let is_here = check(url.as_str(), false).is_ok();
    let postmaster = u32::try_from(backend).ok().filter(|_| is_here).and_then(postmaster_of);
    Ok(Server { version: setting("server_version").await?, settings, postmaster })
}

/// The parent of a process of the server, if that process is one. In a container of its own, the server has other numbers.
fn postmaster_of(backend: u32) -> Option<u32> {
    let is_postgres = |pid: u32| {
        std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim().starts_with("post"))
    };
    cpu::parent(backend).filter(|parent| is_postgres(backend) && is_postgres(*parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_elsewhere_are_refused() {
        for here in ["postgres://u@127.0.0.1/d", "postgresql://u@localhost:5433/d", "postgres://u@[::1]/d"] {
            assert!(check(here, false).is_ok(), "{here}");
        }
        assert!(check("postgres://u@db.example/d", false).is_err());
        assert!(check("postgres://u@db.example/d", true).is_ok());
        assert!(check("host=localhost user=u", false).is_err());
        assert!(check("http://localhost/", true).is_err());
    }
}
