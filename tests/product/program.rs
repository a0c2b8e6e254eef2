//! The built program as a child process, and a client that talks to it.

use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};

/// The operator key of every started program.
pub const MASTER_KEY: &str = "6b61707365c0ffee6b61707365c0ffee6b61707365c0ffee6b61707365c0ffee";
pub const OPERATOR_KEY: &str = "operator-key-of-the-tests-0123456789";
/// Nothing that a test waits for takes this long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A client of programs. Clones share their connections.
pub type HttpClient = Client<HttpConnector, Full<Bytes>>;

/// A client that has no connection yet.
pub fn http_client() -> HttpClient {
    Client::builder(TokioExecutor::new()).build_http()
}

/// A command of the built program with none of the caller's settings.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kapsel"));
    command
        .args(arguments)
        .env_clear()
        .envs(std::env::vars().filter(|(name, _)| name == "PATH" || name == "HOME"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Runs a command of the built program to its end.
pub async fn run(arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    let output = command(arguments).envs(settings.iter().copied()).output();
    tokio::time::timeout(PATIENCE, output).await.expect("it ends in time").expect("it runs")
}

/// What a program printed.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it prints UTF-8")
}

/// A running server.
pub struct Program {
    child: Child,
    /// Kept open: a program that prints into a closed pipe would fail.
    _stdout: BufReader<ChildStdout>,
    /// `http://127.0.0.1:PORT`
    pub base: String,
    /// The same of its management API.
    pub management_base: String,
    /// Everything it said until it listened.
    pub greeting: String,
    client: HttpClient,
}

/// What an HTTP request brought back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// The error code of an error answer.
    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_else(|| panic!("no error code: {:?}", self.body)).to_owned()
    }

    /// The answer if its status is the expected one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", String::from_utf8_lossy(&self.body));
        self
    }
}

impl Program {
    /// Starts a server on a free port, with destinations on the loopback interface allowed.
    pub async fn start(folder: &Path) -> Self {
        Program::start_with(folder, &[("KAPSEL_ALLOW_DESTINATIONS", "127.0.0.0/8")]).await
    }

    /// Starts a server on a free port with these settings.
    pub async fn start_with(folder: &Path, settings: &[(&str, &str)]) -> Self {
        Program::start_logging(folder, settings, Stdio::inherit()).await
    }

    /// The same, with a place for its log.
    pub async fn start_logging(folder: &Path, settings: &[(&str, &str)], log: impl Into<Stdio>) -> Self {
        let mut command = command(&["serve"]);
        command
            .env("KAPSEL_DATA_DIR", folder)
            .env("SERVER_ADDR", "127.0.0.1:0")
            .env("KAPSEL_OPERATOR_KEY", OPERATOR_KEY)
            .env("KAPSEL_MASTER_KEY", MASTER_KEY)
            .env("RUST_LOG", "warn")
            .envs(settings.iter().copied())
            .stderr(log);
        let mut child = command.spawn().expect("the built program starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("a piped stdout"));
        let greeting = tokio::time::timeout(PATIENCE, greeting(&mut stdout)).await.expect("it listens in time");
        let said = |start: &str| greeting.lines().find_map(|line| line.strip_prefix(start));
        let base = said("Listening on ").expect("an address").trim_end_matches('/').to_owned();
        let management_base =
            said("Management API on ").map_or(base.clone(), |url| url.trim_end_matches('/').to_owned());
        Program { child, _stdout: stdout, base, management_base, greeting, client: http_client() }
    }

    /// Sends any request.
    pub async fn request(&self, request: Request<Full<Bytes>>) -> Result<Answer, String> {
        send(&self.client, request).await
    }

    /// The client, for requests that go on while this is borrowed elsewhere.
    pub fn client(&self) -> HttpClient {
        self.client.clone()
    }

    /// Calls the management API.
    pub async fn manage(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.management_base))
            .header("authorization", format!("Bearer {OPERATOR_KEY}"))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body.map(|body| body.to_string()).unwrap_or_default())))
            .expect("a well-formed request");
        self.request(request).await.expect("the program answers")
    }

    /// Creates an endpoint and returns what the program says of it.
    pub async fn create_endpoint(&self, body: Value) -> Value {
        self.manage(Method::POST, "/v1/endpoints", Some(body)).await.expect(201).json()
    }

    /// Posts a webhook.
    pub async fn post(&self, url: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        self.request(post_request(url, headers, body)).await.expect("the program answers")
    }

    /// One event with its attempts.
    pub async fn event(&self, id: &str) -> Value {
        self.manage(Method::GET, &format!("/v1/events/{id}"), None).await.expect(200).json()
    }

    /// Waits until an event is in this state. The program offers no event stream, so it is asked again and again.
    pub async fn wait_for_status(&self, id: &str, status: &str) -> Value {
        let poll = async {
            loop {
                let event = self.event(id).await;
                if event["status"] == status {
                    return event;
                }
                tokio::time::sleep(Duration::from_millis(5)).await; // paced: polling an HTTP API
            }
        };
        tokio::time::timeout(PATIENCE, poll).await.unwrap_or_else(|_| panic!("{id} did not become {status}"))
    }

    /// All events with this status filter, page by page.
    pub async fn list_events(&self, filter: &str) -> Vec<Value> {
        let mut events = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/v1/events?limit=250{filter}{cursor}");
            let page = self.manage(Method::GET, &path, None).await.expect(200).json();
            events.extend(page["data"].as_array().expect("a list").iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return events,
            }
        }
    }

    /// Waits until every event is delivered.
    pub async fn wait_until_nothing_is_undelivered(&self) {
        let poll = async {
            loop {
                let page = self.manage(Method::GET, "/v1/events?limit=1&status=undelivered", None).await;
                if page.expect(200).json()["data"] == Value::Array(Vec::new()) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await; // paced: polling an HTTP API
            }
        };
        tokio::time::timeout(PATIENCE, poll).await.expect("the queue becomes empty");
    }

    /// Waits until `GET /health/ready` has this status.
    pub async fn wait_for_readiness(&self, status: u16) {
        let poll = async {
            loop {
                if self.manage(Method::GET, "/health/ready", None).await.status == status {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await; // paced: polling an HTTP API
            }
        };
        tokio::time::timeout(PATIENCE, poll).await.unwrap_or_else(|_| panic!("readiness did not become {status}"));
    }

    /// Waits until `GET /health/ready` shows something that somebody should look at, and returns the first of it. It keeps
    /// nobody out.
    pub async fn wait_for_alarm(&self) -> String {
        let poll = async {
            loop {
                let health = self.manage(Method::GET, "/health/ready", None).await.expect(200).json();
                if let Some(alarm) = health["checks"]["alarms"][0].as_str() {
                    return alarm.to_owned();
                }
                tokio::time::sleep(Duration::from_millis(20)).await; // paced: polling an HTTP API
            }
        };
        tokio::time::timeout(PATIENCE, poll).await.expect("it says that something is wrong")
    }

    /// SIGKILL, and waits until it is dead.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it can be killed");
    }

    /// SIGSTOP: it stands still, as on a machine that swaps or was put to sleep.
    pub fn pause(&self) {
        signal(&self.child, "STOP");
    }

    /// SIGCONT: it goes on after a pause.
    pub fn resume(&self) {
        signal(&self.child, "CONT");
    }

    /// SIGHUP.
    pub fn hang_up(&self) {
        signal(&self.child, "HUP");
    }

    /// SIGTERM, and waits for its end.
    pub async fn terminate(mut self) -> ExitStatus {
        signal(&self.child, "TERM");
        tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it ends in time").expect("it can be waited for")
    }

    /// Its resident memory, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let pid = self.child.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a running process");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a memory line");
        let kib: u64 = line.split_whitespace().nth(1).expect("a number").parse().expect("a number");
        kib * 1024
    }
}

/// Sends a signal. The standard library knows only SIGKILL.
fn signal(child: &Child, name: &str) {
    let pid = child.id().expect("it runs").to_string();
    let status = std::process::Command::new("kill").args(["-s", name, &pid]).status().expect("kill is there");
    assert!(status.success());
}

/// What it says until it listens.
async fn greeting(stdout: &mut BufReader<ChildStdout>) -> String {
    let mut said = String::new();
    loop {
        let begin = said.len();
        let read = stdout.read_line(&mut said).await.expect("readable output");
        assert!(read > 0, "the program ended before it listened: {said}");
        // The two commands of the greeting end it.
        if said[begin..].starts_with("curl -i") {
            return said;
        }
    }
}

/// A POST with these headers.
pub fn post_request(url: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let mut request = Request::post(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(body.into())).expect("a well-formed request")
}

/// Sends a request and reads the whole answer.
pub async fn send(client: &HttpClient, request: Request<Full<Bytes>>) -> Result<Answer, String> {
    let exchange = async {
        let response = client.request(request).await.map_err(|error| format!("{error:?}"))?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| format!("{error:?}"))?.to_bytes();
        Ok(Answer { status: head.status, headers: head.headers, body })
    };
    tokio::time::timeout(PATIENCE, exchange).await.unwrap_or_else(|_| Err("no answer in time".to_owned()))
}
