//! Why a store cannot be opened, in words for the person who starts it.

use kapsel_store::error::Cause;
use kapsel_store::schema::SchemaMismatch;

use crate::connector::API_ROLE;
use crate::error::Failure;

/// Why a store cannot be opened. No text holds the URL, which holds the password.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL cannot be understood.
    #[error("DATABASE_URL cannot be used")]
    Url(#[source] Cause),
    /// TLS cannot be set up.
    #[error("TLS towards the database {problem}")]
    Tls {
        /// What is wrong.
        problem: String,
        /// What the library said.
        #[source]
        source: Cause,
    },
    /// Nobody answers there.
    #[error("the database cannot be reached")]
    Unreachable(#[source] Cause),
    /// The server refuses the login: wrong password, no such user, no such database.
    #[error("the database refuses the login")]
    Login(#[source] Cause),
    /// The server is too old.
    #[error("the database server has version {found}; PostgreSQL 14 or newer is needed")]
    TooOld {
        /// The version that it names.
        found: String,
    },
    /// The server may lose what it confirmed.
    #[error(
        "the database is set to {setting}, so that {consequence}. Turn it on in postgresql.conf; for experiments, \
         KAPSEL_ALLOW_UNSAFE_DATABASE=true uses it all the same"
    )]
    Unsafe {
        /// The setting with its value.
        setting: String,
        /// What follows from it.
        consequence: &'static str,
    },
    /// The database has another encoding than UTF-8.
    #[error("the database has the encoding {found}; create it with ENCODING 'UTF8'")]
    Encoding {
        /// The encoding.
        found: String,
    },
    /// Program and data do not fit together.
    #[error(transparent)]
    Schema(SchemaMismatch),
    /// The user of the URL may not do what has to be done.
    #[error("the database user lacks a right: {remedy}")]
    Rights {
        /// Who has to do what.
        remedy: String,
        /// What the server said.
        #[source]
        source: Cause,
    },
    /// The database refused a statement.
    #[error("the database refused a statement")]
    Database(#[source] Cause),
}

impl OpenError {
    pub(crate) fn database(failure: impl Into<Failure>) -> Self {
        match failure.into() {
            Failure::Postgres(error) => OpenError::Database(error.into()),
            failure => OpenError::Database(kapsel_store::StoreError::from(failure).into()),
        }
    }

    pub(crate) fn api_role(error: kapsel_store::StoreError) -> Self {
        let remedy = format!("it must be allowed to take on the role {API_ROLE} and to use its tables");
        OpenError::Rights { remedy, source: error.into() }
    }
}
