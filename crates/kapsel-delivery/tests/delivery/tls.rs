//! TLS with good and bad certificates.

use std::time::Duration;

use kapsel_core::FailureKind;
use kapsel_delivery::{HttpSettings, HttpTransport};
use test_harness::{Behaviour, Certificate, Destination, Step};

use crate::network::{LONG, SHORT, answer, failure, policy, send, transport};

/// A transport that trusts the authority of this destination.
pub(crate) fn trusting(destination: &Destination) -> HttpTransport {
    let mut settings = HttpSettings::default();
    assert_eq!(settings.trust_pem(destination.authority_pem().as_bytes()).unwrap(), 1);
    HttpTransport::new(policy(&["127.0.0.0/8"]), &settings).unwrap()
}

#[tokio::test]
async fn a_private_authority_is_trusted_when_it_is_named() {
    let destination = Destination::start(Behaviour::Tls(Certificate::Good)).await;
    let trusting = trusting(&destination);
    for host in ["localhost", "localhost", "127.0.0.1"] {
        assert_eq!(answer(send(&trusting, &destination.url_by("https", host), LONG).await).status, 200, "{host}");
    }
    assert_eq!((destination.count(), destination.connections()), (3, 2), "connections are kept per name");

    let (kind, detail, _) = failure(send(&transport(), &destination.url(), LONG).await);
    assert_eq!((kind, detail.as_str()), (FailureKind::Tls, "the certificate's issuer is not trusted"));
}

#[tokio::test]
async fn bad_certificates_are_told_apart() {
    let cases = [
        (Certificate::Expired, "the certificate has expired"),
        (Certificate::WrongName, "the certificate is for another name"),
    ];
    for (certificate, words) in cases {
        let destination = Destination::start(Behaviour::Tls(certificate)).await;
        let (kind, detail, head) = failure(send(&trusting(&destination), &destination.url(), LONG).await);
        assert_eq!((kind, detail.as_str(), head), (FailureKind::Tls, words, None), "{certificate:?}");
        assert_eq!(destination.count(), 0);
    }
}

#[tokio::test]
async fn a_handshake_that_is_not_answered_ends_at_the_deadline_or_at_the_limit_of_connecting() {
    let destination = Destination::start(Behaviour::Steps(vec![Step::Hold])).await;
    let url = destination.url_by("https", "localhost");
    let (kind, detail, _) = failure(send(&transport(), &url, SHORT).await);
    assert_eq!((kind, detail.as_str()), (FailureKind::Timeout, "the time limit passed before a connection was there"));

    let settings = HttpSettings { connect_limit: Duration::from_millis(100), ..HttpSettings::default() };
    let hasty = HttpTransport::new(policy(&["127.0.0.0/8"]), &settings).unwrap();
    let (kind, detail, _) = failure(send(&hasty, &url, LONG).await);
    assert_eq!((kind, detail.as_str()), (FailureKind::Timeout, "no connection within 0.1 s"));
}
