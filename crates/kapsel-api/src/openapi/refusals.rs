//! Errors as annotations: which codes a route can answer with, and when.
//!
//! A handler names those that are its own; what follows for every route of a kind is added in `rules`. Statuses are asked
//! for where they are made, in `problem`.

use std::collections::BTreeMap;

use kapsel_core::ErrorCode;
use serde_json::{Map, Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::response::{Response, ResponseBuilder};

use crate::problem::{self, status_of};

/// One error that a route can answer with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refusal {
    status: u16,
    code: ErrorCode,
    when: &'static str,
}

impl Refusal {
    /// With the usual status of the code.
    pub(super) const fn new(code: ErrorCode, when: &'static str) -> Self {
        Refusal { status: status_of(code).as_u16(), code, when }
    }

    /// With another one.
    const fn under(status: http::StatusCode, code: ErrorCode, when: &'static str) -> Self {
        Refusal { status: status.as_u16(), code, when }
    }

    /// How it stands in a description; [`codes_in`] finds it there.
    fn text(&self) -> String {
        format!("{}: {}", self.code, self.when)
    }

    /// Adds it to the answers of an operation, beside what is there under the same status.
    pub(super) fn add_to(&self, responses: &mut Map<String, Value>) {
        let response = responses.entry(self.status.to_string()).or_insert_with(|| json!({"description": ""}));
        let said = response["description"].as_str().unwrap_or_default();
        // The handler's own words on a code come first.
        if codes_in(said).contains(&self.code) {
            return;
        }
        let text = if said.is_empty() { self.text() } else { format!("{said}\n\n{}", self.text()) };
        response["description"] = text.into();
    }
}

/// The codes that a description of an answer speaks of.
pub(super) fn codes_in(description: &str) -> Vec<ErrorCode> {
    let starts = description.split("\n\n").filter_map(|part| part.split_once(": "));
    starts.filter_map(|(code, _)| code.parse().ok()).collect()
}

/// The description of answers with these errors, by status.
fn responses(refusals: &[Refusal]) -> BTreeMap<String, RefOr<Response>> {
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for refusal in refusals {
        texts.entry(refusal.status.to_string()).or_default().push(refusal.text());
    }
    let answer = |texts: Vec<String>| ResponseBuilder::new().description(texts.join("\n\n")).build().into();
    texts.into_iter().map(|(status, texts)| (status, answer(texts))).collect()
}

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = [$($refusal:expr),* $(,)?];)*) => {
        $($(#[$doc])*
        pub(crate) struct $name;

        impl utoipa::IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                responses(&[$($refusal),*])
            }
        })*
    };
}

refusals! {
    /// A change that others stand in the way of.
    Contended = [Refusal::new(ErrorCode::StateConflict, "it is being changed by others; try again")];
    /// What cannot be done in the present state.
    Conflict = [Refusal::new(ErrorCode::StateConflict, "its state does not allow it; the message says why")];
    /// The log is smaller than what was asked for.
    SizeConflict = [Refusal::new(ErrorCode::StateConflict, "the size is larger than the last head, or the tree does not have the leaf")];
    /// A test event, on top of [`Conflict`].
    NotStored = [
        Refusal::new(ErrorCode::StateConflict, "the endpoint is disabled"),
        Refusal::new(ErrorCode::QueueFull, "too much is waiting to be stored; nothing was stored"),
        Refusal::new(ErrorCode::ShuttingDown, "the service is being stopped; nothing was stored"),
    ];
    /// A limit of the tenant is reached.
    TooManyEndpoints = [Refusal::new(ErrorCode::LimitReached, "the tenant has as many endpoints as it may have")];
    /// One export too many.
    TooManyExports = [Refusal::new(ErrorCode::RateLimited, "too many exports are being made, or more requests than the tenant may make")];
    /// What an event held is not there any more.
    Erased = [Refusal::under(problem::GONE, ErrorCode::NotFound, "the event was erased")];
    /// What a source can hear.
    IngestRefusals = [
        Refusal::new(ErrorCode::BadRequest, "the explicit idempotency key is unusable, or the body broke off"),
        Refusal::new(ErrorCode::InvalidSignature, "the signature is missing or wrong"),
        Refusal::new(ErrorCode::TenantSuspended, "the endpoint's tenant is suspended"),
        Refusal::new(ErrorCode::InvalidEndpoint, "there is no such endpoint"),
        Refusal::new(ErrorCode::RequestTimeout, "the body did not arrive in time"),
        Refusal::new(ErrorCode::DuplicateEvent, "the explicit key was used with another body"),
        Refusal::under(problem::GONE, ErrorCode::InvalidEndpoint, "the endpoint is disabled"),
        Refusal::new(ErrorCode::PayloadTooLarge, "the body is larger than the limit"),
        Refusal::new(ErrorCode::RateLimited, "webhooks come faster than the endpoint or its tenant may take them"),
        Refusal::new(ErrorCode::LimitReached, "the tenant has as much queued as it may have"),
        Refusal::new(ErrorCode::StoreUnavailable, "the store did not confirm; repeat with the same idempotency key"),
        Refusal::new(ErrorCode::QueueFull, "too much is waiting to be stored; nothing was stored"),
        Refusal::new(ErrorCode::ShuttingDown, "the service is being stopped; nothing was stored"),
    ];
    /// Where no query is taken.
    NoParameters = [Refusal::new(ErrorCode::ValidationFailed, "there are no query parameters here; each is listed")];
    /// There is no such object.
    Absent = [NOT_FOUND];
    /// The store does not answer.
    Unavailable = [UNAVAILABLE];
}

/// What does not exist, and what belongs to somebody else.
pub(super) const NOT_FOUND: Refusal =
    Refusal::new(ErrorCode::NotFound, "there is no such object, or it is somebody else's");
/// The store does not answer.
pub(super) const UNAVAILABLE: Refusal =
    Refusal::new(ErrorCode::StoreUnavailable, "the store is unavailable; whether a change was made is unknown");
/// A defect.
pub(super) const DEFECT: Refusal =
    Refusal::new(ErrorCode::Internal, "internal error; the log has the details under the request's id");
/// A change that was made from another version.
pub(super) const CHANGED: Refusal = Refusal::under(
    problem::PRECONDITION_FAILED,
    ErrorCode::StateConflict,
    "`If-Match` names another version than the present one",
);
