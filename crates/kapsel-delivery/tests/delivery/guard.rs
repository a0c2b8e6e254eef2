//! The guard against forbidden addresses, at every door.

use std::sync::Arc;

use kapsel_core::FailureKind;
use kapsel_delivery::{HttpSettings, HttpTransport};
use test_harness::{Behaviour, Destination};

use crate::network::{LONG, ScriptedResolver, answer, failure, policy, send};

fn guarded(allow: &[&str]) -> HttpTransport {
    HttpTransport::new(policy(allow), &HttpSettings::default()).unwrap()
}

fn resolving(allow: &[&str], answers: &[&[&str]]) -> HttpTransport {
    let resolver = Arc::new(ScriptedResolver::new(answers));
    HttpTransport::with_resolver(policy(allow), &HttpSettings::default(), resolver).unwrap()
}

#[tokio::test]
async fn loopback_is_blocked_in_every_notation() {
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let transport = guarded(&[]);
    let hosts = [
        "127.0.0.1",
        "127.1",
        "0x7f000001",
        "2130706433",
        "0.0.0.0",
        "localhost",
        "LOCALHOST.",
        "some.localhost",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
    ];
    for scheme in ["http", "https"] {
        for host in hosts {
            let (kind, detail, head) = failure(send(&transport, &destination.url_by(scheme, host), LONG).await);
            assert_eq!((kind, head), (FailureKind::Blocked, None), "{scheme} {host}: {detail}");
            assert!(detail.contains("is not allowed"), "{detail}");
        }
    }
    assert_eq!(destination.connections(), 0);
}

#[tokio::test]
async fn metadata_and_private_addresses_are_blocked_by_name_too() {
    let (kind, detail, _) = failure(send(&guarded(&[]), "http://169.254.169.254/latest/meta-data", LONG).await);
    assert_eq!(kind, FailureKind::Blocked);
    assert!(detail.contains("169.254.169.254"), "{detail}");

    let transport = resolving(&[], &[&["10.0.0.7", "fd00::7"]]);
    let (kind, detail, _) = failure(send(&transport, "http://innocent.example/", LONG).await);
    assert_eq!(kind, FailureKind::Blocked);
    assert!(detail.contains("10.0.0.7"), "{detail}");
}

#[tokio::test]
async fn the_allow_list_opens_what_it_names() {
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let transport = guarded(&["127.0.0.1/32"]);
    for host in ["127.0.0.1", "localhost"] {
        assert_eq!(answer(send(&transport, &destination.url_by("http", host), LONG).await).status, 200, "{host}");
    }
    let (kind, ..) = failure(send(&transport, &destination.url_by("http", "127.0.0.2"), LONG).await);
    assert_eq!(kind, FailureKind::Blocked);
}
