//! The transport with destinations that behave.

use std::sync::Arc;

use bytes::Bytes;
use kapsel_core::FailureKind;
use kapsel_delivery::{HttpSettings, HttpTransport};
use test_harness::{Answer, Behaviour, Destination};

use crate::network::{LONG, ScriptedResolver, answer, failure, policy, request, send, send_request, transport};

#[tokio::test]
async fn a_request_arrives_as_it_was_built_and_the_answer_is_kept() {
    let script = vec![Answer::new(201).header("X-Answer", "yes").header("x-answer", "again").body("done")];
    let destination = Destination::start(Behaviour::Script(script)).await;
    let mut request = request(&format!("{}?a=b%20c", destination.url()));
    request.headers.insert("x-custom", "value".parse().unwrap());
    let head = answer(send_request(&transport(), request, LONG).await);

    assert_eq!(head.status, 201);
    assert_eq!(head.headers.get_all("x-answer").collect::<Vec<_>>(), [b"yes".as_slice(), b"again"]);
    assert_eq!((&head.body[..], head.body_truncated), (&b"done"[..], false));

    let received = &destination.received()[0];
    assert_eq!(received.line, "POST /hook?a=b%20c");
    assert_eq!(received.body, "hello");
    let host = destination.address().to_string();
    let mut headers: Vec<_> =
        received.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    headers.sort_unstable();
    let expected = [("content-length", "5"), ("content-type", "text/plain"), ("host", &host), ("x-custom", "value")];
    assert_eq!(headers, expected);
}

#[tokio::test]
async fn bodies_travel_byte_exact_whatever_their_size() {
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let transport = transport();
    for size in [0, 1, 65_536, 25 * 1024 * 1024] {
        let body: Bytes = (0..size).map(|at: u32| at.to_le_bytes()[0] ^ at.to_le_bytes()[1]).collect();
        let mut request = request(&destination.url());
        request.body = body.clone();
        assert_eq!(answer(send_request(&transport, request, LONG).await).status, 200);
        let received = destination.received();
        let last = received.last().unwrap();
        assert_eq!(last.header("content-length"), Some(size.to_string().as_str()));
        assert!(last.body == body, "{size} bytes");
    }
}

#[tokio::test]
async fn connections_are_used_again() {
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let transport = transport();
    for _ in 0..20 {
        assert_eq!(answer(send(&transport, &destination.url(), LONG).await).status, 200);
    }
    assert_eq!((destination.count(), destination.connections()), (20, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_at_the_same_time_have_connections_of_their_own_which_are_then_kept() {
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let transport = Arc::new(transport());
    for _ in 0..20 {
        let mut requests = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (transport, url) = (Arc::clone(&transport), destination.url());
            requests.spawn(async move { answer(send(&transport, &url, LONG).await).status });
        }
        assert!(requests.join_all().await.into_iter().all(|status| status == 200));
    }
    assert_eq!(destination.count(), 160);
    // A connection that is just about to become ready again may be missed; that must stay the exception.
    assert!(destination.connections() <= 40, "{} connections", destination.connections());
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_does_no_harm() {
    let closing = Destination::start(Behaviour::CloseKeepAlive).await;
    let other = Destination::start(Behaviour::Ok(200)).await;
    let transport = transport();
    for round in 1..=5 {
        assert_eq!(answer(send(&transport, &closing.url(), LONG).await).body, "ok");
        closing.wait_for_open(0).await;
        // A whole exchange over other sockets: the end of the first connection has been noticed by then.
        assert_eq!(answer(send(&transport, &other.url(), LONG).await).status, 200);
        assert_eq!((closing.count(), closing.connections()), (round, round));
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_like_any_other() {
    let target = Destination::start(Behaviour::Ok(200)).await;
    let destination = Destination::start(Behaviour::Redirect(target.url())).await;
    let head = answer(send(&transport(), &destination.url(), LONG).await);
    assert_eq!((head.status, head.headers.get_str("location")), (302, Some(target.url().as_str())));
    assert_eq!((target.count(), target.connections()), (0, 0));
}

#[tokio::test]
async fn a_closed_port_is_a_failed_connection() {
    let address = Destination::start(Behaviour::Ok(200)).await.address();
    // The listener is gone once its task has ended.
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let (kind, detail, head) = failure(send(&transport(), &format!("http://{address}/"), LONG).await);
    assert_eq!((kind, head), (FailureKind::Connection, None));
    assert_eq!(detail, "cannot connect: connection refused");
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_a_failure_of_its_own_kind() {
    let (kind, detail, _) = failure(send(&transport(), "http://nowhere.invalid/", LONG).await);
    assert_eq!(kind, FailureKind::Dns);
    assert!(detail.contains("nowhere.invalid"), "{detail}");
}

#[tokio::test]
async fn an_address_that_does_not_answer_is_passed_over() {
    let destination = Destination::start(Behaviour::Ok(200)).await;
    // Nothing listens on 127.0.0.9.
    let resolver = ScriptedResolver::new(&[&["127.0.0.9", "127.0.0.1"]]);
    let transport =
        HttpTransport::with_resolver(policy(&["127.0.0.0/8"]), &HttpSettings::default(), Arc::new(resolver)).unwrap();
    let url = destination.url_by("http", "several.example");
    assert_eq!(answer(send(&transport, &url, LONG).await).status, 200);
    let host = format!("several.example:{}", destination.address().port());
    assert_eq!(destination.received()[0].header("host"), Some(host.as_str()));
}
