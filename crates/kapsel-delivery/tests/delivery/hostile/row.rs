//! What one row of the catalogue says: a behaviour and what has to come of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kapsel_core::{FailureKind, Outcome};
use kapsel_delivery::network::Resolve;
use kapsel_delivery::{HttpSettings, HttpTransport};
use test_harness::{Behaviour, Destination, Step};

use crate::network::{LONG, Names, ScriptedResolver, policy, request, send_request};

/// Larger than what the sockets of both sides hold together, so that sending it depends on the destination reading it.
const LARGE_BODY_BYTES: usize = 32 * 1024 * 1024;
/// For what is expected to run into its deadline: enough to get as far as expected on a busy machine.
const ENOUGH: Duration = Duration::from_secs(2);

/// What has to come of a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Expected {
    /// An answer with this status, read to its end. What follows from it is settled by its status alone.
    Answer(u16),
    /// An answer with this status, of whose body as much is kept as is read at all.
    CutOff(u16),
    /// No answer, for one of these reasons. There are several only where what the destination does crosses with the
    /// request, so that either end of the race is right.
    Fails(&'static [FailureKind]),
    /// The head of an answer with this status, which is kept, and then this.
    Breaks(u16, FailureKind),
}

pub(super) use Expected::{Answer, Breaks, CutOff, Fails};

impl Expected {
    fn is(self, outcome: &Outcome) -> bool {
        match (self, outcome) {
            (Answer(status), Outcome::Response(head)) => head.status == status && !head.body_truncated,
            (CutOff(status), Outcome::Response(head)) => head.status == status && head.body_truncated,
            (Fails(kinds), Outcome::Failure { kind, head: None, .. }) => kinds.contains(kind),
            (Breaks(status, expected), Outcome::Failure { kind, head: Some(head), .. }) => {
                (head.status, *kind) == (status, expected)
            }
            _ => false,
        }
    }

    /// Whether nothing but the deadline ends it.
    fn waits(self) -> bool {
        matches!(self, Fails([FailureKind::Timeout]) | Breaks(_, FailureKind::Timeout))
    }
}

/// A behaviour and what has to come of it.
pub(super) struct Row {
    pub(super) name: &'static str,
    behaviour: Behaviour,
    expected: Expected,
    scheme: &'static str,
    host: &'static str,
    /// What the name resolves to and which addresses are allowed, where the row is about that.
    names: Option<(Names, &'static [&'static str])>,
    is_upload: bool,
    is_kept: bool,
    /// How many good exchanges come before the one that is judged.
    before: usize,
}

/// A row about a destination that speaks HTTP in the clear.
pub(super) fn row(name: &'static str, behaviour: Behaviour, expected: Expected) -> Row {
    Row {
        name,
        behaviour,
        expected,
        scheme: "http",
        host: "127.0.0.1",
        names: None,
        is_upload: false,
        is_kept: false,
        before: 0,
    }
}

/// A row about a destination that reads the request, and then says this and nothing more.
pub(super) fn says(name: &'static str, answer: impl Into<Bytes>, expected: Expected) -> Row {
    row(name, Behaviour::Steps(vec![Step::Request, Step::send(answer)]), expected)
}

/// The same, and the destination closes behind it.
pub(super) fn says_and_closes(name: &'static str, answer: impl Into<Bytes>, expected: Expected) -> Row {
    row(name, Behaviour::Steps(vec![Step::Request, Step::send(answer), Step::Close]), expected)
}

/// A row about a destination that reads the request, says this, and then that again and again.
pub(super) fn says_without_end(
    name: &'static str,
    begin: impl Into<Bytes>,
    more: impl Into<Bytes>,
    expected: Expected,
) -> Row {
    let steps = vec![Step::Request, Step::send(begin), Step::SendForever(more.into())];
    row(name, Behaviour::Steps(steps), expected)
}

/// A row about a destination that reads the request, says this, and then that again and again, byte by byte.
pub(super) fn drips(name: &'static str, begin: impl Into<Bytes>, more: impl Into<Bytes>, expected: Expected) -> Row {
    let steps = vec![Step::Request, Step::send(begin), Step::Drip(more.into(), Duration::from_millis(5))];
    row(name, Behaviour::Steps(steps), expected)
}

/// A row about a name: what it resolves to, each time it is asked for, and which addresses are allowed.
pub(super) fn name(name: &'static str, names: Names, allow: &'static [&'static str], expected: Expected) -> Row {
    let behaviour = Behaviour::Script(vec![test_harness::Answer::new(200).header("connection", "close")]);
    Row { host: "some.example", names: Some((names, allow)), ..row(name, behaviour, expected) }
}

impl Row {
    /// The request goes to an `https` URL with the name `localhost`. Where the destination has a certificate, its
    /// authority is trusted.
    pub(super) fn over_tls(self) -> Self {
        Row { scheme: "https", host: "localhost", ..self }
    }

    /// The request has a large body.
    pub(super) fn upload(self) -> Self {
        Row { is_upload: true, ..self }
    }

    /// The connection is good for further requests, and kept. All others have to be closed.
    pub(super) fn kept(self) -> Self {
        Row { is_kept: true, ..self }
    }

    /// The request that is judged comes behind one that is answered with 200.
    pub(super) fn second(self) -> Self {
        Row { before: 1, ..self }
    }

    /// Whether nothing but the deadline ends it.
    pub(super) fn waits(&self) -> bool {
        self.expected.waits()
    }

    /// Sends the request and says what is not as expected.
    ///
    /// `shared` is the transport of all rows that need no settings of their own: what one destination does to it would
    /// show in the others.
    pub(super) async fn judge(self, shared: Arc<HttpTransport>) -> Result<(), String> {
        let destination = Destination::start(self.behaviour.clone()).await;
        let transport = self.transport(&destination).unwrap_or(shared);
        let url = destination.url_by(self.scheme, self.host);
        for _ in 0..self.before {
            let outcome = send_request(&transport, request(&url), LONG).await;
            destination.wait_for_open(0).await;
            if !Answer(200).is(&outcome) {
                return Err(format!("the exchange before: {outcome:?}"));
            }
        }

        let mut request = request(&url);
        if self.is_upload {
            request.body = Bytes::from(vec![b'x'; LARGE_BODY_BYTES]);
        }
        let limit = if self.waits() { ENOUGH } else { LONG };
        let outcome = send_request(&transport, request, limit).await;
        destination.release();
        if !self.expected.is(&outcome) {
            let mut outcome = outcome;
            if let Outcome::Response(head) | Outcome::Failure { head: Some(head), .. } = &mut outcome {
                head.body.truncate(64);
            }
            return Err(format!("expected {:?}, got {outcome:?}", self.expected));
        }
        // Whatever happened, the transport does not repeat a request by itself.
        let most = self.before + 1;
        if destination.count() > most || destination.connections() > most {
            return Err(format!("{} requests on {} connections", destination.count(), destination.connections()));
        }
        let open = usize::from(self.is_kept);
        if tokio::time::timeout(LONG, destination.wait_for_open(open)).await.is_err() {
            return Err(format!("the connection is {}", if self.is_kept { "not kept" } else { "left open" }));
        }
        Ok(())
    }

    /// The transport of a row that needs its own.
    fn transport(&self, destination: &Destination) -> Option<Arc<HttpTransport>> {
        let mut settings = HttpSettings::default();
        if let Some((names, allow)) = &self.names {
            let resolver: Arc<dyn Resolve> = Arc::new(ScriptedResolver::of(names.clone()));
            return Some(Arc::new(HttpTransport::with_resolver(policy(allow), &settings, resolver).unwrap()));
        }
        let (Behaviour::Tls(_) | Behaviour::TlsSteps(..)) = self.behaviour else { return None };
        settings.trust_pem(destination.authority_pem().as_bytes()).unwrap();
        Some(Arc::new(HttpTransport::new(policy(&["127.0.0.0/8"]), &settings).unwrap()))
    }
}
