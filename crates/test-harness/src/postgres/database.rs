//! Databases of a cluster, and statements by `psql`.

use std::fs;
use std::io::Write;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};

use super::PostgresCluster;

/// The first version that can be told how to copy a template.
const VERSION_WITH_STRATEGY: u32 = 15;

impl PostgresCluster {
    /// Where the superuser finds this database: `postgres://postgres@127.0.0.1:PORT/database`.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{}", self.port(), encoded(database))
    }

    /// Where another role finds this database. Roles other than the superuser need a password.
    pub fn url_for(&self, user: &str, password: &str, database: &str) -> String {
        let (user, password, database) = (encoded(user), encoded(password), encoded(database));
        format!("postgres://{user}:{password}@127.0.0.1:{}/{database}", self.port())
    }

    /// Makes an empty database.
    pub fn create_database(&self, name: &str) {
        self.psql("postgres", &format!("CREATE DATABASE {}", quoted(name)));
    }

    /// Makes a copy of a database that nobody is connected to.
    pub fn create_database_from(&self, name: &str, template: &str) {
        let version = self.version();
        // The other strategy writes every page of the template into the log.
        let strategy = if version >= VERSION_WITH_STRATEGY { " STRATEGY = FILE_COPY" } else { "" };
        let (name, template) = (quoted(name), quoted(template));
        self.psql("postgres", &format!("CREATE DATABASE {name} TEMPLATE = {template}{strategy}"));
    }

    /// Runs statements as the superuser, each in a transaction of its own unless they say otherwise, and returns the
    /// rows: a line for each, `|` between columns, no line break at the end.
    ///
    /// # Panics
    ///
    /// At the first statement that fails, with what psql says.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        self.try_psql(database, sql).unwrap_or_else(|message| panic!("psql, on {database}: {message}\n{sql}"))
    }

    /// As [`PostgresCluster::psql`], with the message of the first statement that fails as the error.
    pub fn try_psql(&self, database: &str, sql: &str) -> Result<String, String> {
        let mut command = self.account.command(self.bin.join("psql"));
        command.args(["-X", "-q", "-At", "-w", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database]);
        command.arg("-h").arg(self.folder()).arg("-p").arg(self.port().to_string());
        // Through the input, because an argument has a limit, and because psql would make one transaction of it.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("start psql");
        let mut input = process.stdin.take().expect("its input is piped");
        let output = std::thread::scope(|scope| {
            // psql stops reading at the first failure; its message is the better one then.
            scope.spawn(move || drop(input.write_all(sql.as_bytes())));
            process.wait_with_output().expect("psql's output")
        });
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\n').to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// The major version of the server.
    fn version(&self) -> u32 {
        let text = fs::read_to_string(self.data_folder().join("PG_VERSION")).expect("read PG_VERSION");
        text.trim().parse().expect("a version from 10 on is one number")
    }
}

/// A name that no other test of this cluster has, nor one of another process.
pub fn fresh_database_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// As an SQL identifier.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// As a part of a URL (RFC 3986, section 2).
fn encoded(part: &str) -> String {
    let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let encode = |byte| if is_unreserved(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    part.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_passwords_are_quoted() {
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
        assert_eq!(encoded("a-b_1"), "a-b_1");
        assert_eq!(encoded("p@ss:/ü"), "p%40ss%3A%2F%C3%BC");
    }

    #[test]
    fn a_name_is_given_once() {
        assert_ne!(fresh_database_name(), fresh_database_name());
    }
}
