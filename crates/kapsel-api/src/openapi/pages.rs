//! `GET /openapi.json`, and `GET /docs`: the same for people.
//!
//! The page is Swagger UI, whose files are in the program: nothing is loaded from another host, and the policy of the page
//! does not allow it either.

use std::sync::{Arc, LazyLock};

use axum::extract::Path;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderValue, Uri};
use utoipa_swagger_ui::Config;

use super::parameters::PagePath;
use super::refusals::Absent;
use super::shown::Text;
use crate::manage::query::Query;
use crate::problem::{self, Problem};

/// Scripts and styles of this host alone, no plugins, no framing. Swagger UI sets styles of single elements and shows
/// pictures that are written into its style sheet.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// The files beside the page.
pub(super) const FILES: &[(&str, &str)] =
    &[("start.js", SCRIPT), ("swagger-ui-bundle.js", SCRIPT), ("swagger-ui.css", STYLE)];

/// The files of Swagger UI, made ready once: asking for them copies.
static SWAGGER_UI: LazyLock<Vec<(&'static str, Bytes)>> = LazyLock::new(|| {
    let config = Arc::new(Config::from("/openapi.json"));
    let read = |name: &'static str| {
        let file = utoipa_swagger_ui::serve(name, Arc::clone(&config)).ok().flatten()?;
        Some((name, Bytes::from(file.bytes.into_owned())))
    };
    FILES.iter().filter_map(|(name, _)| read(name)).collect()
});

/// `GET /openapi.json`.
///
/// This document: every route of the program, whichever of its addresses serves it.
#[utoipa::path(get, path = "/openapi.json", operation_id = "openapi", tag = "operation", summary = "This document", description = "", responses(
    (status = 200, description = "An OpenAPI 3.1 document.", body = serde_json::Value),
))]
pub(crate) async fn document(uri: Uri) -> Result<Response, Problem> {
    Query::read_alone(&uri, &[])?.end()?;
    Ok(guarded(problem::bytes(problem::JSON, super::json())))
}

/// `GET /docs`.
///
/// This document as a page.
#[utoipa::path(get, path = "/docs", operation_id = "docs", tag = "operation", summary = "This document as a page", description = "", responses(
    (status = 200, description = "A page.", body = Text, content_type = "text/html; charset=utf-8"),
))]
pub(crate) async fn page() -> Response {
    static PAGE: &str = include_str!("docs/index.html");
    guarded(problem::bytes(HeaderValue::from_static(HTML), Bytes::from_static(PAGE.as_bytes())))
}

/// `GET /docs/{file}`.
///
/// A script or style of the page.
#[utoipa::path(get, path = "/docs/{file}", operation_id = "docs_file", tag = "operation", summary = "A script or style of the page", description = "", params(PagePath), responses(
    (status = 200, description = "The file.", content((Text = "text/javascript; charset=utf-8"), (Text = "text/css; charset=utf-8"))),
    Absent,
))]
pub(crate) async fn file(Path(name): Path<String>) -> Response {
    static START: &str = include_str!("docs/start.js");
    let Some((name, media_type)) = FILES.iter().find(|(known, _)| *known == name) else {
        return Problem::not_found().into_response();
    };
    let found = SWAGGER_UI.iter().find(|(known, _)| known == name).map(|(_, bytes)| bytes.clone());
    let bytes = found.unwrap_or(Bytes::from_static(START.as_bytes()));
    guarded(problem::bytes(HeaderValue::from_static(media_type), bytes))
}

/// With what keeps a browser from doing more with it than showing it.
fn guarded(mut response: Response) -> Response {
    let set: [(HeaderName, &'static str); 5] = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        // It changes with the program.
        (CACHE_CONTROL, "no-cache"),
    ];
    response.headers_mut().extend(set.map(|(name, value)| (name, HeaderValue::from_static(value))));
    response
}
