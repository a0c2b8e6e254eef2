//! Many and slow clients, and clients behind proxies.

use std::time::Duration;

use kapsel_api::{ServerSettings, TrustedProxies};
use tokio::io::AsyncWriteExt as _;

use crate::support::wire::Served;
use crate::support::{App, KEY};

const LIVE: &str = "GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n";
const GRACE: Duration = Duration::from_secs(30);

fn trusting(range: &str) -> TrustedProxies {
    TrustedProxies::new([range.parse().unwrap()])
}

#[tokio::test]
async fn an_address_with_too_many_connections_is_closed_at_once_and_others_are_served() {
    let app = App::new().await;
    let settings = ServerSettings { connections_per_address_max: 2, ..ServerSettings::default() };
    let served = Served::new(&app, settings, GRACE).await;
    let mut connections = [served.connect().await, served.connect().await];
    for connection in &mut connections {
        connection.send(LIVE).await;
        connection.answer().await;
    }
    // It may be closed before it has written anything.
    let mut third = served.connect().await;
    let _ = third.0.write_all(b"GET /health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(third.closed().await.is_empty());
    // Somebody else is served, and so is who was there before.
    let mut other = served.connect_from([127, 0, 0, 2]).await;
    other.send(LIVE).await;
    assert!(other.answer().await.0.starts_with("http/1.1 200 "));
    let [mut first, second] = connections;
    first.send(LIVE).await;
    assert!(first.answer().await.0.starts_with("http/1.1 200 "));
    // Its place is free again when a connection has ended.
    drop(second);
    first.send("GET /health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    first.closed().await;
    let mut fourth = served.connect().await;
    fourth.send(LIVE).await;
    assert!(fourth.answer().await.0.starts_with("http/1.1 200 "));
}

#[tokio::test]
async fn a_trusted_proxy_may_have_any_number_of_connections() {
    let app = App::new().await;
    let trusted_proxies = trusting("127.0.0.1/32");
    let settings = ServerSettings { connections_per_address_max: 1, trusted_proxies, ..ServerSettings::default() };
    let served = Served::new(&app, settings, GRACE).await;
    let mut connections = Vec::new();
    for _ in 0..5 {
        let mut connection = served.connect().await;
        connection.send(LIVE).await;
        assert!(connection.answer().await.0.starts_with("http/1.1 200 "));
        connections.push(connection);
    }
}

#[tokio::test]
async fn a_client_that_sends_nothing_loses_its_place() {
    let app = App::new().await;
    let settings = ServerSettings {
        header_read_timeout: Duration::from_millis(50),
        connections_max: 1,
        ..ServerSettings::default()
    };
    let served = Served::new(&app, settings, GRACE).await;
    let mut silent = served.connect().await;
    let mut next = served.connect().await;
    next.send(LIVE).await;
    assert!(next.answer().await.0.starts_with("http/1.1 200 "));
    assert!(silent.closed().await.is_empty());
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_used_one_is_not_cut_at_the_first_head() {
    let app = App::new().await;
    let settings = ServerSettings {
        header_read_timeout: Duration::from_millis(200),
        idle_timeout: Duration::from_millis(200),
        ..ServerSettings::default()
    };
    let served = Served::new(&app, settings, GRACE).await;
    let mut connection = served.connect().await;
    connection.send(LIVE).await;
    assert!(connection.answer().await.0.starts_with("http/1.1 200 "));
    assert!(connection.closed().await.is_empty());
}

/// The ingest URL of an endpoint, as told to a request with these header lines.
async fn ingest_url(served: &Served, from: [u8; 4], path: &str, lines: &str) -> String {
    let mut connection = served.connect_from(from).await;
    let head = format!("GET {path} HTTP/1.1\r\nHost: inside:8080\r\nAuthorization: Bearer {KEY}\r\n{lines}\r\n");
    connection.send(head).await;
    let (head, body) = connection.answer().await;
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    let endpoint: serde_json::Value = serde_json::from_str(&body).unwrap();
    let url = endpoint["ingest_url"].as_str().unwrap();
    url.split_once("/ingest/").unwrap().0.to_owned()
}

#[tokio::test]
async fn only_a_trusted_proxy_says_what_ingest_urls_begin_with() {
    let app = App::new().await;
    let path = format!("/v1/endpoints/{}", app.endpoint().await);
    let settings = ServerSettings { trusted_proxies: trusting("127.0.0.2/32"), ..ServerSettings::default() };
    let served = Served::new(&app, settings, GRACE).await;
    let (proxy, other) = ([127, 0, 0, 2], [127, 0, 0, 3]);
    let both = "X-Forwarded-Proto: https\r\nX-Forwarded-Host: hooks.example\r\n";
    assert_eq!(ingest_url(&served, proxy, &path, both).await, "https://hooks.example");
    assert_eq!(ingest_url(&served, other, &path, both).await, "http://inside:8080");
    let proto = "X-Forwarded-Proto: https\r\n";
    assert_eq!(ingest_url(&served, proxy, &path, proto).await, "https://inside:8080");
    assert_eq!(ingest_url(&served, proxy, &path, "").await, "http://inside:8080");
}

#[tokio::test]
async fn with_an_address_of_its_own_the_management_api_is_there_alone() {
    let app = App::with(|settings| settings.ingest_port = Some(9_443)).await;
    let endpoint = app.endpoint().await;
    let public = Served::router(app.api.public_router(), ServerSettings::default(), GRACE).await;
    let management = Served::router(app.api.management_router(), ServerSettings::default(), GRACE).await;
    let everywhere = ["/health", "/health/live", "/health/ready", "/health/startup", "/ready"];
    let managed = ["/v1/endpoints", "/v1/events", "/v1/replays", "/metrics"];
    let for_all = ["/attestation/keys", "/attestation/sth", "/api/v1/attestation/keys", "/checkpoint"];
    for (served, present, absent) in
        [(&public, for_all.as_slice(), managed.as_slice()), (&management, managed.as_slice(), for_all.as_slice())]
    {
        let mut connection = served.connect().await;
        let paths = everywhere.iter().chain(present).map(|path| (path, true));
        for (path, is_present) in paths.chain(absent.iter().map(|path| (path, false))) {
            let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {KEY}\r\n\r\n");
            connection.send(head).await;
            let (head, body) = connection.answer().await;
            // Without a log there is no head yet: that, too, is 404, but not that of an unknown route.
            let is_unknown = head.starts_with("http/1.1 404 ") && body.contains("there is no such object or route");
            assert_eq!(!is_unknown, is_present, "{path}: {head}{body}");
        }
    }
    let webhook = format!("POST /ingest/{endpoint} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok");
    for (served, status) in [(&public, "200"), (&management, "404")] {
        let mut connection = served.connect().await;
        connection.send(&webhook).await;
        let (head, _) = connection.answer().await;
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{head}");
    }
    // Ingest URLs name the port where webhooks are taken.
    let path = format!("/v1/endpoints/{endpoint}");
    assert_eq!(ingest_url(&management, [127, 0, 0, 1], &path, "").await, "http://inside:9443");
}
