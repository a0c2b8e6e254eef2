//! One repetition, from the bare machine to a tidy end: whatever happens, children end and the database is dropped.

use std::sync::Arc;

use serde::Serialize;

use super::Terms;
use super::measured::Measured;
use super::phases::Phases;
use super::subject::{Program, Subject};
use crate::bare::measure::{self, Bare};
use crate::destination::Destination;
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::kapsel::Target;
use crate::kapsel::child::KapselChild;
use crate::kapsel::endpoints;
use crate::ledger::Ledger;
use crate::postgres::{Database, Server};
use crate::progress::Progress;
use crate::thread::Stop;
use crate::workload::Workload;

/// What is known of the subject beside its figures.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Facts {
    /// The version of Kapsel, as it says itself.
    pub(crate) kapsel_version: String,
    /// The engine, in words.
    pub(crate) engine: String,
    /// The database server, if there is one.
    pub(crate) server: Option<Server>,
    /// Settings of the person who measured.
    pub(crate) settings: Vec<(String, String)>,
}

/// Does it once.
pub(super) async fn repeat(
    workload: &Workload,
    subject: &Subject,
    terms: &Terms,
    interrupt: &Interrupt,
    progress: &Progress,
) -> Result<(Facts, Measured), Error> {
    let bare = measure::measure(workload, terms.request_timeout, progress);
    let bare = interrupt.guard(terms.overall_limit, bare).await?;
    let database = match subject {
        Subject::Program(Program { database_url: Some(url), .. }) => Some(Database::create(url).await?),
        Subject::Program(_) | Subject::Running { .. } => None,
    };
    // Nothing that fails in between may keep the database from being dropped.
    let result = on_database(workload, subject, terms, interrupt, progress, database.as_ref(), bare).await;
    if let Some(database) = database {
        database.drop().await?;
    }
    result
}

async fn on_database(
    workload: &Workload,
    subject: &Subject,
    terms: &Terms,
    interrupt: &Interrupt,
    progress: &Progress,
    database: Option<&Database>,
    bare: Option<Bare>,
) -> Result<(Facts, Measured), Error> {
    let ledger = Arc::new(Ledger::new());
    let destination = Destination::start(Arc::clone(&ledger), subject.destination_ip(), workload.destination_delay)?;
    let stop = Stop::default();
    let phases =
        Phases { workload, terms, progress, ledger, stop: stop.clone(), destination: &destination, database, bare };
    let work = async {
        match subject {
            Subject::Program(program) => on_program(phases, program).await,
            Subject::Running { target, .. } => on_running(phases, target).await,
        }
    };
    // When the work is given up, Kapsel is killed with it.
    let result = interrupt.guard(terms.overall_limit, work).await;
    stop.raise();
    destination.stop().await?;
    result
}

async fn on_program(phases: Phases<'_>, program: &Program) -> Result<(Facts, Measured), Error> {
    let folder = tempfile::Builder::new().prefix("kapsel-bench-").tempdir_in(&program.data_folder);
    let folder = folder.map_err(Error::file(&program.data_folder))?;
    let prefix = if program.destination_ip.is_ipv4() { 32 } else { 128 };
    let range = format!("{}/{prefix}", program.destination_ip);
    let mut settings = vec![("KAPSEL_ALLOW_DESTINATIONS".to_owned(), range)];
    let database = phases.database;
    settings.extend(database.map(|database| ("DATABASE_URL".to_owned(), database.url().to_owned())));
    settings.extend(program.settings.iter().cloned());
    phases.progress.phase("starting Kapsel", None);
    let mut child = KapselChild::start(&program.path, folder.path(), &settings).await?;
    let target = child.target().clone();
    let server = database.map(|database| database.server().clone());
    let facts = Facts {
        kapsel_version: child.version().to_owned(),
        engine: server.as_ref().map_or_else(|| "embedded (SQLite)".to_owned(), Server::words),
        server,
        settings: program.settings.clone(),
    };
    let progress = phases.progress;
    let (_, measured) = phases.go_through(&target, Some(&mut child)).await;
    let measured = measured?;
    progress.phase("stopping Kapsel", None);
    child.stop().await?;
    Ok((facts, measured))
}

async fn on_running(phases: Phases<'_>, target: &Target) -> Result<(Facts, Measured), Error> {
    let progress = phases.progress;
    let (endpoints, measured) = phases.go_through(target, None).await;
    // What was measured counts, also of a server that is gone now.
    if let Err(error) = endpoints::delete(target, &endpoints).await {
        progress.line(&format!("some endpoints of this run are still there: {error}"));
    }
    let facts = Facts {
        kapsel_version: "unknown".to_owned(),
        engine: format!("unknown, running at {}", target.address),
        server: None,
        settings: Vec::new(),
    };
    Ok((facts, measured?))
}
