//! What is measured, and within which limits.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::duration::duration;
use crate::error::Error;
use crate::kapsel::Target;
use crate::kapsel::child::find_program;
use crate::ledger::Ledger;
use crate::postgres;
use crate::run::Terms;
use crate::run::subject::{Program, Subject, destination_ip, server_address, setting};

/// What is measured, and within which limits.
#[derive(Debug, Args)]
pub(crate) struct SubjectArguments {
    /// The program to measure; without it, the one beside this tool
    #[arg(long, value_name = "PATH", help_heading = "What is measured")]
    kapsel: Option<PathBuf>,
    /// Folder in which a data folder is made for each repetition; its file system is measured too
    #[arg(long, value_name = "FOLDER", help_heading = "What is measured")]
    data_folder: Option<PathBuf>,
    /// PostgreSQL server, as postgres://user:password@host/database; a database kapsel_bench_… is made on it for each
    /// repetition and dropped again. Without it, the engine is the embedded one
    #[arg(long, value_name = "URL", help_heading = "What is measured")]
    database_url: Option<String>,
    /// A setting of Kapsel, from its environment; can be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting, help_heading = "What is measured")]
    settings: Vec<(String, String)>,
    /// A Kapsel that runs already, as http://127.0.0.1:8080; its destinations on this machine have to be allowed
    #[arg(
        long,
        value_name = "URL",
        requires = "operator_key_file",
        conflicts_with_all = ["kapsel", "database_url", "settings"],
        help_heading = "What is measured"
    )]
    server: Option<String>,
    /// File with its operator key
    #[arg(long, value_name = "FILE", requires = "server", help_heading = "What is measured")]
    operator_key_file: Option<PathBuf>,
    /// Its process, for processor time and memory
    #[arg(long, value_name = "PID", requires = "server", help_heading = "What is measured")]
    server_pid: Option<u32>,
    /// Address of this machine on which the destination listens, and to which Kapsel delivers
    #[arg(long, value_name = "IP", default_value = "127.0.0.1", help_heading = "What is measured")]
    destination_ip: IpAddr,
    /// Lets servers be on other machines. Load of this kind on machines of others is an attack
    #[arg(long, help_heading = "What is measured")]
    allow_remote: bool,
    /// A name for what is measured, such as a commit; it stands in the report
    #[arg(long, value_name = "TEXT", help_heading = "What is measured")]
    label: Option<String>,
    /// How long after the load everything may take to arrive, and then to be covered by the log
    #[arg(long, value_name = "DURATION", default_value = "120s", value_parser = duration, help_heading = "Limits")]
    drain_limit: Duration,
    /// How long one repetition may take, at most 4290s
    #[arg(long, value_name = "DURATION", default_value = "3600s", value_parser = duration, help_heading = "Limits")]
    overall_limit: Duration,
    /// How long an answer may take
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration, help_heading = "Limits")]
    request_timeout: Duration,
}

impl SubjectArguments {
    /// What is measured.
    pub(crate) fn subject(&self) -> Result<Subject, Error> {
        let data_folder = self.data_folder.clone().unwrap_or_else(std::env::temp_dir);
        if !data_folder.is_dir() {
            return Err(Error::Usage(format!("--data-folder: there is no folder {}", data_folder.display())));
        }
        let destination_ip = destination_ip(self.destination_ip, self.allow_remote)?;
        if let (Some(server), Some(key_file)) = (&self.server, &self.operator_key_file) {
            let address = server_address(server, self.allow_remote)?;
            let key = fs::read_to_string(key_file).map_err(Error::file(key_file))?.trim().to_owned();
            let target = Target { address, key, pid: self.server_pid };
            return Ok(Subject::Running { target, destination_ip, data_folder });
        }
        let database_url =
            self.database_url.as_deref().map(|url| postgres::check(url, self.allow_remote)).transpose()?;
        Ok(Subject::Program(Program {
            path: find_program(self.kapsel.as_deref())?,
            data_folder,
            database_url,
            settings: self.settings.clone(),
            destination_ip,
        }))
    }

    /// The limits.
    pub(crate) fn terms(&self) -> Result<Terms, Error> {
        if self.overall_limit.as_secs() > Ledger::SECONDS_MAX {
            return Err(Error::Usage(format!("--overall-limit is {} s at most", Ledger::SECONDS_MAX)));
        }
        Ok(Terms {
            drain_limit: self.drain_limit,
            overall_limit: self.overall_limit,
            request_timeout: self.request_timeout,
            label: self.label.clone(),
        })
    }
}
