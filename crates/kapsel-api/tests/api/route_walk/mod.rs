//! Every operation of the OpenAPI document, asked for by the wrong people.
//!
//! The requests are made from the document, so a new route is walked as soon as it is there. One with a parameter in its
//! path that is no id fails until `document` knows what to put there.

mod document;
mod world;

use http::{Method, Request};
use kapsel_core::Scope;
use serde_json::Value;

use crate::route_walk::document::{Operation, Place, operations};
use crate::route_walk::world::{MARK, World};
use crate::support::{Answer, KEY};

/// Operations that are for everybody who has the URL. A source has no key, and what it sends comes in for tenant B.
const BY_URL_ALONE: &[&str] = &["ingest"];

async fn send(world: &World, operation: &Operation, key: Option<&str>, ids: &document::Filled) -> Answer {
    let mut request = Request::builder().method(operation.method.as_str()).uri(ids.uri.as_str());
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    for (name, value) in &ids.headers {
        request = request.header(name, value);
    }
    let body = ids.body.as_ref().map(Value::to_string).unwrap_or_default();
    world.app.call(request.body(body.into()).unwrap()).await
}

/// The body without what differs from request to request: its id, and the id that was asked for.
fn words(answer: &Answer, sent: &str) -> String {
    let text = String::from_utf8_lossy(&answer.body).replace(sent, "<sent>");
    answer.header("x-request-id").map(|id| text.replace(id, "<request>")).unwrap_or(text)
}

/// Nothing of tenant B may be in an answer, but for what was sent.
#[track_caller]
fn shows_nothing(world: &World, answer: &Answer, sent: &str, at: &str) {
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let headers = format!("{:?}", answer.headers);
    assert!(!text.contains(MARK) && !headers.contains(MARK), "{at}: shows what is tenant B's: {text}");
    // Hashes of leaves are public: the tiles of the log are made of them.
    for (_, id) in world.theirs.iter().filter(|(prefix, id)| *prefix != "hash" && *id != sent) {
        assert!(!text.contains(id) && !headers.contains(id), "{at}: shows {id} of tenant B: {text}");
    }
}

/// Asks for everything of tenant B with the key of tenant A. `is_meant` says which operations.
async fn walk(is_meant: impl Fn(&Operation) -> bool) {
    let world = World::new().await;
    let before = world.all_of_theirs().await;
    let key = world.our_key(&[Scope::Read, Scope::Write, Scope::IngestAdmin]).await;
    let mut walked = 0;
    let is_by_url = |operation: &Operation| BY_URL_ALONE.contains(&operation.id.as_str());
    for operation in operations().iter().filter(|operation| is_meant(operation) && !is_by_url(operation)) {
        let at = format!("{} {}", operation.method, operation.path);
        // Without anything of tenant B in the request: lists and such.
        let ids = operation.fill(&world.ours, None, None);
        let answer = send(&world, operation, Some(&key), &ids).await;
        shows_nothing(&world, &answer, "", &at);
        for place in &operation.ids {
            let (theirs, nobodys) = (&world.theirs[&place.prefix], world.nobodys(&place.prefix));
            let at = format!("{at} with {} in {:?}", place.name, place.place);
            let mut answers = Vec::new();
            for id in [theirs, &nobodys] {
                let ids = operation.fill(&world.ours, Some(place), Some(id));
                let answer = send(&world, operation, Some(&key), &ids).await;
                shows_nothing(&world, &answer, id, &at);
                answers.push((answer.status.as_u16(), words(&answer, id)));
                walked += 1;
            }
            let (status, text) = &answers[0];
            let expected = match place.place {
                _ if operation.scopes.is_empty() => 403,
                Place::Path => 404,
                Place::Query => 200,
                Place::Header => 403,
                Place::Body => 422,
            };
            assert_eq!(*status, expected, "{at}: {text}");
            assert_eq!(answers[0], answers[1], "{at}: what is somebody else's is told from what is not there");
        }
    }
    assert!(walked > 0, "no operation was walked");
    assert!(world.all_of_theirs().await == before, "something of tenant B was changed");
}

#[tokio::test]
async fn no_route_shows_or_changes_what_belongs_to_another_tenant() {
    walk(|_| true).await;
}

#[tokio::test]
async fn tenant_a_cannot_access_tenant_b_events_via_http() {
    walk(|operation| operation.path.starts_with("/v1/events")).await;
}

#[tokio::test]
async fn tenant_a_cannot_access_tenant_b_endpoints() {
    walk(|operation| operation.path.starts_with("/v1/endpoints")).await;
}

#[tokio::test]
async fn keys_open_what_the_document_says_and_nothing_else() {
    let world = World::new().await;
    let mut keys = Vec::new();
    for scope in Scope::ALL {
        keys.push((Some(*scope), world.our_key(&[*scope]).await));
    }
    keys.push((None, world.our_key(&[]).await));
    let unknown = world.unknown_key();
    for operation in operations() {
        let at = format!("{} {}", operation.method, operation.path);
        let ids = operation.fill_with_nobodys(&world);
        for wrong in [None, Some("nonsense"), Some(unknown.as_str()), Some(&KEY[1..])] {
            let answer = send(&world, &operation, wrong, &ids).await;
            let is_refused = matches!(answer.status.as_u16(), 401 | 403);
            assert_eq!(is_refused, operation.is_guarded, "{at} with {wrong:?}: {}", answer.status);
            if operation.is_guarded {
                answer.expect_error(401, "E1007");
            }
        }
        let answer = send(&world, &operation, Some(KEY), &ids).await;
        assert!(!matches!(answer.status.as_u16(), 401 | 403), "{at} with the operator's key: {}", answer.status);
        for (scope, key) in &keys {
            let answer = send(&world, &operation, Some(key), &ids).await;
            let may = scope.is_some_and(|scope| operation.scopes.iter().any(|word| word == scope.as_str()));
            if operation.is_guarded && !may {
                answer.expect_error(403, "E1013");
            } else {
                assert!(!matches!(answer.status.as_u16(), 401 | 403), "{at} with {scope:?}: {}", answer.status);
            }
        }
    }
}

#[tokio::test]
async fn the_examples_of_the_document_are_accepted() {
    let world = World::new().await;
    for operation in operations() {
        for example in &operation.examples {
            let mut ids = operation.fill(&world.ours, None, None);
            ids.body = Some(operation.example_of(example, &world.ours));
            let answer = send(&world, &operation, Some(KEY), &document::for_tenant(ids, &world.ours["ten"])).await;
            assert!(
                answer.status.is_success(),
                "{} {}: {example}: {}",
                operation.method,
                operation.path,
                answer.text()
            );
        }
    }
}

#[tokio::test]
async fn every_documented_route_is_there_and_says_which_methods_it_has() {
    let world = World::new().await;
    let all = operations();
    for operation in &all {
        let ids = operation.fill_with_nobodys(&world);
        let request = Request::builder().method(Method::TRACE).uri(ids.uri.as_str()).body("".into()).unwrap();
        let answer = world.app.call(request).await;
        answer.expect_error(405, "E1010");
        let allowed = answer.header("allow").unwrap_or_default();
        let mut methods: Vec<&str> =
            all.iter().filter(|other| other.path == operation.path).map(|other| other.method.as_str()).collect();
        methods.extend(methods.contains(&"GET").then_some("HEAD"));
        methods.sort_unstable();
        let mut shown: Vec<&str> = allowed.split(',').collect();
        shown.sort_unstable();
        assert_eq!(shown, methods, "{}", operation.path);
    }
}
