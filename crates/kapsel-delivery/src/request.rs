//! The form of the outgoing request. Pure: the same event, endpoint, attempt and chance give the same request.

use http::header::{HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use kapsel_core::headers::{connection_options, custom_header_refusal, forwarded_name};
use kapsel_core::signature::OutboundSigner;
use kapsel_core::trace::{self, TraceParent};
use kapsel_core::{Endpoint, Event, Timestamp};
use secrecy::ExposeSecret;

use crate::transport::OutboundRequest;

/// The event's id, the same on all attempts (Standard Webhooks 1.0.0).
pub const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
/// When the attempt is made, in Unix seconds (Standard Webhooks 1.0.0).
pub const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
/// One signature per live key (Standard Webhooks 1.0.0).
pub const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
/// The event's id once more, under a name that no other sender uses.
pub const EVENT_ID: HeaderName = HeaderName::from_static("x-kapsel-event-id");
/// The number of the attempt, from 1.
pub const DELIVERY_ATTEMPT: HeaderName = HeaderName::from_static("x-kapsel-delivery-attempt");
/// When Kapsel received the event, RFC 3339 in UTC with milliseconds.
pub const ORIGINAL_TIMESTAMP: HeaderName = HeaderName::from_static("x-kapsel-original-timestamp");
/// The place in the trace (W3C Trace Context).
pub const TRACEPARENT: HeaderName = HeaderName::from_static(trace::TRACEPARENT);

/// What a request is built from.
pub struct Inputs<'a> {
    /// What is delivered.
    pub event: &'a Event,
    /// Where to.
    pub endpoint: &'a Endpoint,
    /// The endpoint's keys.
    pub signer: &'a OutboundSigner,
    /// The number of the attempt, from 1.
    pub attempt_number: u32,
    /// When the attempt is made.
    pub at: Timestamp,
    /// The operator's deny-list, in lower case.
    pub denied_headers: &'a [String],
    /// The `User-Agent`.
    pub user_agent: &'a HeaderValue,
    /// The trace of the event, with the span that this attempt is.
    pub trace: TraceParent,
}

/// Builds the request of one attempt: the headers of the event that may travel on, over them the endpoint's own ones,
/// over both those that Kapsel writes.
///
/// A header that is not valid HTTP is left out. One odd header of a source or a slip in an endpoint's settings must
/// not keep the event from being delivered.
pub fn build(inputs: &Inputs<'_>) -> OutboundRequest {
    let mut headers = HeaderMap::with_capacity(32);
    forward(inputs, &mut headers);
    add_custom(inputs.endpoint, &mut headers);
    write_own(inputs, &mut headers);
    OutboundRequest { url: inputs.endpoint.config.url.clone(), headers, body: inputs.event.body.clone() }
}

fn forward(inputs: &Inputs<'_>, headers: &mut HeaderMap) {
    let options = connection_options(&inputs.event.headers);
    for (name, value) in inputs.event.headers.iter() {
        let Some(name) = forwarded_name(name, &options, inputs.denied_headers) else { continue };
        // A part of the block itself, not a copy.
        let value = HeaderValue::from_maybe_shared(inputs.event.headers.as_bytes().slice_ref(value));
        let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), value) else { continue };
        append(headers, name, value);
    }
}

fn add_custom(endpoint: &Endpoint, headers: &mut HeaderMap) {
    let custom: Vec<_> = endpoint
        .secrets
        .headers
        .iter()
        .filter_map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            let mut value = HeaderValue::from_str(value.expose_secret()).ok()?;
            // The API refuses these names. It is checked again where it matters, for endpoints that were stored before
            // a name was put on the list.
            if custom_header_refusal(name.as_str()).is_some() {
                return None;
            }
            value.set_sensitive(true);
            Some((name, value))
        })
        .collect();
    for (name, _) in &custom {
        headers.remove(name);
    }
    for (name, value) in custom {
        append(headers, name, value);
    }
}

fn write_own(inputs: &Inputs<'_>, headers: &mut HeaderMap) {
    let event = inputs.event;
    let id = event.id.to_string();
    let signature = inputs.signer.sign(&id, inputs.at, &event.body);

    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert(WEBHOOK_ID, id.clone());
        headers.insert(EVENT_ID, id);
    }
    headers.insert(WEBHOOK_TIMESTAMP, HeaderValue::from(inputs.at.unix_seconds()));
    if signature.is_empty() {
        headers.remove(WEBHOOK_SIGNATURE);
    } else {
        write(headers, WEBHOOK_SIGNATURE, signature);
    }
    headers.insert(DELIVERY_ATTEMPT, HeaderValue::from(inputs.attempt_number));
    write(headers, ORIGINAL_TIMESTAMP, event.received_at.to_string());
    write(headers, TRACEPARENT, inputs.trace.to_string());
    headers.insert(USER_AGENT, inputs.user_agent.clone());
}

/// Sets a header that Kapsel made itself; ids, times and base64 are always valid values.
fn write(headers: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

/// `HeaderMap` holds 24,576 headers and says so when there are more; what is behind them is left out.
fn append(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    let _ = headers.try_append(name, value);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kapsel_core::signature::{VerificationScheme, Verifier};
    use kapsel_core::{
        Clock, EndpointId, EventId, HeaderBlock, IdGenerator, SystemClock, SystemEntropy, headers::HOP_BY_HOP,
    };
    use proptest::prelude::*;
    use test_harness::builders::SIGNING_SECRET;
    use test_harness::{EndpointBuilder, EventBuilder};

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_millis(1_767_225_600_123);

    struct Case {
        endpoint: Endpoint,
        event: Event,
        denied: Vec<String>,
        at: Timestamp,
    }

    impl Case {
        fn new(headers: &[(&str, &str)]) -> Self {
            let ids = IdGenerator::new(Arc::new(SystemEntropy));
            let endpoint =
                EndpointBuilder::new(ids.next::<EndpointId>(NOW), "https://example.com/hook?a=b", NOW).build();
            let event = EventBuilder::new(ids.next::<EventId>(NOW), &endpoint, NOW).headers(headers).build();
            Case { endpoint, event, denied: Vec::new(), at: NOW }
        }

        fn custom(mut self, headers: &[(&str, &str)]) -> Self {
            self.endpoint.secrets.headers =
                headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
            self
        }

        fn build(&self) -> OutboundRequest {
            build(&Inputs {
                event: &self.event,
                endpoint: &self.endpoint,
                signer: &OutboundSigner::new(&self.endpoint.secrets.signing).unwrap(),
                attempt_number: 3,
                at: self.at,
                denied_headers: &self.denied,
                user_agent: &HeaderValue::from_static("Kapsel/1.2.3"),
                trace: TraceParent::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-abababababababab-01").unwrap(),
            })
        }

        fn headers(&self) -> Vec<(String, String)> {
            let mut all: Vec<_> = self
                .build()
                .headers
                .iter()
                .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
                .collect();
            all.sort();
            all
        }
    }

    #[test]
    fn headers_are_exactly_the_specified_ones() {
        let case = Case::new(&[
            ("content-type", "application/json; charset=utf-8"),
            ("content-length", "999"),
            ("host", "kapsel.example"),
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("user-agent", "GitHub-Hookshot/1"),
            ("x-github-event", "push"),
            ("x-hub-signature-256", "sha256=00"),
            ("webhook-id", "msg_theirs"),
            ("webhook-timestamp", "1"),
            ("webhook-signature", "v1,theirs"),
            ("x-kapsel-event-id", "forged"),
            ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            ("x-twice", "1"),
            ("x-twice", "2"),
            ("x-secret", "denied"),
        ])
        .custom(&[("authorization", "Bearer token")]);
        let case = Case { denied: vec!["x-secret".to_owned()], ..case };
        let id = case.event.id.to_string();
        let signer = OutboundSigner::new(&case.endpoint.secrets.signing).unwrap();
        let signature = signer.sign(&id, NOW, &case.event.body);
        let expected = [
            ("authorization", "Bearer token"),
            ("content-type", "application/json; charset=utf-8"),
            ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-abababababababab-01"),
            ("user-agent", "Kapsel/1.2.3"),
            ("webhook-id", &id),
            ("webhook-signature", &signature),
            ("webhook-timestamp", "1767225600"),
            ("x-github-event", "push"),
            ("x-hub-signature-256", "sha256=00"),
            ("x-kapsel-delivery-attempt", "3"),
            ("x-kapsel-event-id", &id),
            ("x-kapsel-original-timestamp", "2026-01-01T00:00:00.123Z"),
            ("x-kapsel-source-webhook-id", "msg_theirs"),
            ("x-kapsel-source-webhook-signature", "v1,theirs"),
            ("x-kapsel-source-webhook-timestamp", "1"),
            ("x-twice", "1"),
            ("x-twice", "2"),
        ];
        let expected: Vec<_> = expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(case.headers(), expected);
        let request = case.build();
        assert_eq!(request.url.as_str(), "https://example.com/hook?a=b");
        assert_eq!(request.body, case.event.body);
    }

    #[test]
    fn custom_headers_replace_forwarded_ones_but_not_kapsels_own() {
        let case = Case::new(&[("x-a", "source"), ("x-a", "source again"), ("x-b", "source")]).custom(&[
            ("x-a", "one"),
            ("x-a", "two"),
            ("webhook-id", "forged"),
            ("host", "forged"),
            ("content-length", "0"),
            ("x-kapsel-event-id", "forged"),
            ("no header name", "x"),
            ("x-no-header-value", "a\r\nb: c"),
        ]);
        let headers = case.build().headers;
        assert_eq!(headers.get_all("x-a").iter().collect::<Vec<_>>(), ["one", "two"]);
        assert_eq!(headers["x-b"], "source");
        assert_eq!(headers[WEBHOOK_ID], case.event.id.to_string());
        assert_eq!(headers[EVENT_ID], case.event.id.to_string());
        for name in ["host", "content-length", "b", "x-no-header-value"] {
            assert!(!headers.contains_key(name), "{name}");
        }
        assert!(!format!("{headers:?}").contains("two"), "credentials are not shown");
    }

    #[test]
    fn without_keys_there_is_no_signature_header() {
        let mut case = Case::new(&[("webhook-signature", "v1,theirs")]);
        case.endpoint.secrets.signing.clear();
        let headers = case.build().headers;
        assert!(!headers.contains_key(WEBHOOK_SIGNATURE));
        assert_eq!(headers["x-kapsel-source-webhook-signature"], "v1,theirs");
    }

    #[test]
    fn the_signature_satisfies_our_verifier_and_the_official_library() {
        // The library compares the time with the system's clock.
        let case = Case { at: SystemClock.now(), ..Case::new(&[]) };
        let request = case.build();
        standardwebhooks::Webhook::new(SIGNING_SECRET).unwrap().verify(&request.body, &request.headers).unwrap();

        let scheme = VerificationScheme::StandardWebhooks { tolerance_seconds: 300 };
        let verifier = Verifier::new(&scheme, &[SIGNING_SECRET.into()]).unwrap();
        let block =
            HeaderBlock::from_pairs(request.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())));
        verifier.verify(&block, &request.body, case.at).unwrap();
        assert!(verifier.verify(&block, b"another body", case.at).is_err());
    }

    proptest! {
        /// Whatever a source sends: the request can be built, holds Kapsel's headers once each, and no header of the
        /// connection.
        #[test]
        fn no_header_of_a_source_breaks_or_forges_anything(
            pairs in prop::collection::vec(
                (
                    prop_oneof![
                        "[a-z-]{1,12}",
                        ".{0,12}",
                        prop::sample::select(HOP_BY_HOP).prop_map(str::to_owned),
                        prop::sample::select(vec!["webhook-id", "x-kapsel-event-id", "traceparent", "user-agent"])
                            .prop_map(str::to_owned),
                    ],
                    any::<Vec<u8>>(),
                ),
                0..30,
            ),
        ) {
            let mut case = Case::new(&[]);
            case.event.headers =
                HeaderBlock::from_pairs(pairs.iter().map(|(name, value)| (name.as_str(), value.as_slice())));
            let headers = case.build().headers;
            for name in [WEBHOOK_ID, WEBHOOK_TIMESTAMP, WEBHOOK_SIGNATURE, EVENT_ID, TRACEPARENT, USER_AGENT] {
                prop_assert_eq!(headers.get_all(&name).iter().count(), 1, "{}", name);
            }
            let id = case.event.id.to_string();
            prop_assert_eq!(headers[WEBHOOK_ID].as_bytes(), id.as_bytes());
            prop_assert!(HOP_BY_HOP.iter().all(|name| !headers.contains_key(*name)));
        }
    }
}
