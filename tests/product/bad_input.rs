//! Bad input gets a clear, coded error; nothing is stored that should not be.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use test_harness::destination::{Behaviour, Destination};

use crate::program::{OPERATOR_KEY, Program};

const UNKNOWN: &str = "01h455vb4pex5vsknk084sn02q";

#[tokio::test(flavor = "multi_thread")]
async fn unknown_endpoints_and_wrong_signatures_are_refused_without_a_trace() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path()).await;
    for path in [format!("/ingest/ep_{UNKNOWN}"), "/ingest/nonsense".to_owned(), format!("/ingest/evt_{UNKNOWN}")] {
        let answer = program.post(&format!("{}{path}", program.base), &[], "x").await.expect(404);
        assert_eq!(answer.code(), "E1003", "{path}");
    }
    let github = json!({"url": "https://example.com/", "verification": {"scheme": "github", "secrets": ["s3cret"]}});
    let endpoint = program.create_endpoint(github).await;
    let url = endpoint["ingest_url"].as_str().unwrap();
    let wrong = format!("sha256={}", "0".repeat(64));
    for headers in [&[][..], &[("x-hub-signature-256", wrong.as_str())], &[("x-hub-signature-256", "nonsense")]] {
        let answer = program.post(url, headers, "x").await.expect(401);
        assert_eq!(answer.code(), "E1001");
        assert!(!answer.json().to_string().contains("s3cret"));
    }
    assert_eq!(program.list_events("").await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_bodies_are_refused_and_the_message_names_size_and_limit() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path()).await;
    let endpoint = program.create_endpoint(json!({"url": "https://example.com/"})).await;
    let url = endpoint["ingest_url"].as_str().unwrap();
    let answer = program.post(url, &[], vec![b'x'; 11_000_000]).await.expect(413);
    assert_eq!(answer.code(), "E1002");
    let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("11000000") && message.contains("10485760"), "{message}");

    // The same without a Content-Length: the limit is checked while reading.
    let address = program.base.strip_prefix("http://").unwrap();
    let path = format!("/ingest/{}", endpoint["id"].as_str().unwrap());
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nhost: {address}\r\ntransfer-encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = [b"100000\r\n".as_slice(), &vec![b'x'; 0x10_0000], b"\r\n"].concat();
    let (mut read, mut write) = stream.into_split();
    let writer = tokio::spawn(async move {
        // Endless: the answer has to come before the body ends.
        while write.write_all(&chunk).await.is_ok() {}
    });
    let mut answer = vec![0; 12];
    read.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 413");
    writer.abort();

    let largest = program.post(url, &[], vec![b'x'; 10 * 1024 * 1024]).await;
    largest.expect(200);
    assert_eq!(program.list_events("").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_management_calls_name_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path()).await;
    let raw = |body: &'static str| {
        Request::post(format!("{}/v1/endpoints", program.base))
            .header("authorization", format!("Bearer {OPERATOR_KEY}"))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .unwrap()
    };
    let broken = program.request(raw("{\"url\": ")).await.unwrap().expect(400);
    assert_eq!(broken.code(), "E1006");
    let unknown = program.request(raw(r#"{"url": "https://example.com/", "uri": 1}"#)).await.unwrap();
    assert!(unknown.status.is_client_error() && unknown.json().to_string().contains("uri"), "{unknown:?}");

    let many = json!({
        "url": "ftp://example.com/",
        "timeout_seconds": 0,
        "max_in_flight": 100_000,
        "retry": {"factor": 0.1},
        "verification": {"scheme": "stripe", "secrets": []},
    });
    let answer = program.manage(Method::POST, "/v1/endpoints", Some(many)).await.expect(422);
    assert_eq!(answer.code(), "E1009");
    let fields = answer.json()["error"]["fields"].to_string();
    for field in ["url", "timeout_seconds", "max_in_flight", "retry", "verification"] {
        assert!(fields.contains(field), "{field} is missing in {fields}");
    }

    let no_key = Request::get(format!("{}/v1/events", program.base)).body(Full::default()).unwrap();
    assert_eq!(program.request(no_key).await.unwrap().expect(401).code(), "E1007");
    for path in [format!("/v1/events/evt_{UNKNOWN}"), "/v1/events/nonsense".to_owned(), "/v1/nothing".to_owned()] {
        assert_eq!(program.manage(Method::GET, &path, None).await.expect(404).code(), "E1008");
    }
    assert_eq!(program.manage(Method::PATCH, "/v1/endpoints", None).await.expect(405).code(), "E1010");
}

#[tokio::test(flavor = "multi_thread")]
async fn forbidden_destinations_are_refused_in_every_notation() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start_with(folder.path(), &[]).await;
    let literals = [
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:169.254.169.254]/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://localhost/",
        "http://0.0.0.0/",
    ];
    for url in literals {
        let answer = program.manage(Method::POST, "/v1/endpoints", Some(json!({"url": url}))).await.expect(422);
        assert_eq!(answer.code(), "E1009", "{url}");
        assert!(answer.json()["error"]["fields"].to_string().contains("E2008"), "{url}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_resolves_to_a_forbidden_address_is_refused_on_the_connection() {
    let folder = tempfile::tempdir().unwrap();
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let url = destination.url().replace("127.0.0.1", "localhost");
    assert!(url.contains("localhost"));
    // Created while loopback was allowed; what counts is the rule in force when the connection is made.
    let program = Program::start(folder.path()).await;
    let endpoint = program.create_endpoint(json!({"url": url, "max_retries": 0})).await;
    assert!(program.terminate().await.success());

    let program = Program::start_with(folder.path(), &[]).await;
    let ingest_url = format!("{}/ingest/{}", program.base, endpoint["id"].as_str().unwrap());
    let answer = program.post(&ingest_url, &[], "x").await.expect(200).json();
    let event = program.wait_for_status(answer["event_id"].as_str().unwrap(), "failed").await;
    assert_eq!(event["attempts"][0]["error_code"], "E2008", "{event}");
    assert_eq!(destination.received().len(), 0);
}
