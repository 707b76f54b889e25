//! What every request passes before its handler, and every answer after it: who asks is found out, what is
//! too much or comes from elsewhere is refused, and all is measured and logged. One layer by hand and not
//! many, as each would cost every request.

mod browser;
mod identity;
mod observed;

use std::{
    convert::Infallible,
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use futures_util::FutureExt as _;
use tower::{Layer, Service};
use tracing::{Instrument as _, error};

use self::observed::Observed;
use super::intake::Intake;
use crate::server::{
    access::{Caller, Recognised},
    problem::Problem,
    state::App,
};

/// Paths below which nothing is answered to callers who are nobody and may do nothing, whatever a handler
/// thinks.
const PROTECTED: &[&str] = &["/api/v1/", "/streams/", "/metrics"];

pub(super) const fn layer(app: App) -> GuardLayer {
    GuardLayer { app }
}

#[derive(Clone)]
pub(super) struct GuardLayer {
    app: App,
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard {
            inner,
            app: Arc::clone(&self.app),
        }
    }
}

#[derive(Clone)]
pub(super) struct Guard<S> {
    inner: S,
    app: App,
}

type Answering = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

impl<S> Service<Request> for Guard<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Answering {
        let route = request.extensions().get::<MatchedPath>().cloned();
        let observed = Observed::begin(&self.app, &request, route);
        if let Err(problem) = self.admit(&observed, &request) {
            return Box::pin(async move { Ok(observed.end(problem.into_response())) });
        }
        let intake = request.extensions().get::<Arc<Intake>>().cloned();
        let caller = match self.app.access.recognise(request.headers()) {
            Recognised::Everybody => {
                let answer = self.inner.call(request);
                return finish(Arc::clone(&self.app), answer, observed, intake);
            }
            Recognised::Unknown => {
                let refused = Caller::unknown().into_response();
                return Box::pin(async move { Ok(observed.end(refused)) });
            }
            Recognised::Is(caller) => Ok(caller),
            Recognised::Verify(verification) => Err(verification),
        };
        let app = Arc::clone(&self.app);
        let mut inner = self.inner.clone();
        Box::pin(async move {
            let caller = match caller {
                Ok(caller) => Ok(caller),
                Err(verification) => app.access.verify(verification).await,
            };
            let refused = match caller {
                Ok(caller) => {
                    let span = observed.span();
                    caller.name().map(|name| span.record("caller", name));
                    enter(&mut request, caller).err()
                }
                Err(problem) => Some(problem),
            };
            if let Some(problem) = refused {
                return Ok(observed.end(problem.into_response()));
            }
            let answer = inner.call(request);
            finish(app, answer, observed, intake).await
        })
    }
}

impl<S> Guard<S> {
    /// What can be refused by its headers.
    fn admit(&self, observed: &Observed, request: &Request) -> Result<(), Problem> {
        let limits = &self.app.config.limits;
        if observed.requests() > limits.requests {
            return Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "busy",
                "too many requests are worked on at once; try again later",
            )
            .with("limit", limits.requests));
        }
        let headers = request.headers();
        let bytes = bytes_of(headers).saturating_add(request.uri().path().len());
        if headers.len() > limits.headers || bytes > limits.header_bytes {
            return Err(Problem::new(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "headers-too-large",
                "the request has too many headers, or too long ones",
            ));
        }
        browser::admit(&self.app, request)
    }
}

/// Lets the caller in, whom the handler then asks what is allowed.
fn enter(request: &mut Request, caller: Caller) -> Result<(), Problem> {
    let path = request.uri().path();
    let protected = PROTECTED.iter().any(|prefix| path.starts_with(prefix));
    if protected && caller.is_nobody() {
        return Err(Caller::unknown());
    }
    request.extensions_mut().insert(caller);
    Ok(())
}

fn finish<F>(app: App, answer: F, observed: Observed, intake: Option<Arc<Intake>>) -> Answering
where
    F: Future<Output = Result<Response, Infallible>> + Send + 'static,
{
    let span = observed.span();
    Box::pin(
        async move {
            // What a handler shares is not left half changed by a panic: all of it is behind locks that
            // are not held while anything can fail.
            let response = match AssertUnwindSafe(answer).catch_unwind().await {
                Ok(Ok(response)) => response,
                Ok(Err(never)) => match never {},
                Err(_) => {
                    error!("a handler panicked");
                    Problem::new(
                        StatusCode::INTERNAL_SERVER_ERROR,
                        "internal",
                        "the server has a fault; its log may say more",
                    )
                    .into_response()
                }
            };
            let refused = intake.as_deref().and_then(Intake::refused);
            let response = match refused {
                // Handlers see only that the body cannot be read.
                Some(refusal) if !response.status().is_success() => {
                    refusal.problem(&app.config.limits).into_response()
                }
                _ => response,
            };
            Ok(observed.end(response))
        }
        .instrument(span),
    )
}

fn bytes_of(headers: &HeaderMap) -> usize {
    let bytes = |(name, value): (&axum::http::HeaderName, &axum::http::HeaderValue)| {
        name.as_str().len() + value.len()
    };
    headers.iter().map(bytes).sum()
}
