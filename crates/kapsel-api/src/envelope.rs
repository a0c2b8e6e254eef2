//! What goes around every route: the request's id, the rendering of problems, the entry in
//! the log, and a net under handlers that panic.
//!
//! A plain service instead of middleware functions: it is on the path of every webhook, and this way it costs one
//! boxed future.

use std::any::Any;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderName, HeaderValue};
use kapsel_core::ids::RequestId;
use tower_service::Service;

use crate::Shared;
use crate::problem::{self, Problem};
use crate::request_log::RequestLog;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The routes with the envelope around them.
#[derive(Clone)]
pub(crate) struct Envelope {
    routes: Router,
    shared: Arc<Shared>,
}

impl Envelope {
    pub(crate) fn new(routes: Router, shared: Arc<Shared>) -> Self {
        Envelope { routes, shared }
    }
}

impl Service<Request> for Envelope {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let request_id: RequestId = self.shared.ids.next(self.shared.clock.now());
        if self.shared.tracer.is_some() {
            request.extensions_mut().insert(request_id);
        }
        let log = RequestLog::begin(&mut request);
        let answer = self.routes.call(request);
        Box::pin(async move {
            let mut response = match catch_panic(answer).await {
                Ok(Ok(response)) => response,
                Ok(Err(never)) => match never {},
                Err(panic) => Problem::internal(format!("handler panicked: {panic}")).into_response(),
            };
            let error_code = problem::render(&mut response, request_id);
            if let Ok(value) = HeaderValue::try_from(request_id.to_string()) {
                response.headers_mut().insert(X_REQUEST_ID, value);
            }
            if let Some(log) = log {
                log.end(&response, request_id, error_code);
            }
            Ok(response)
        })
    }
}

/// Runs a future to its end; a panic inside becomes its message. What the future worked on is dropped with it, so
/// nothing half-done is seen afterwards.
pub(crate) async fn catch_panic<F: Future>(future: F) -> Result<F::Output, String> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(panic) => Poll::Ready(Err(panic_message(&*panic))),
    })
    .await
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
