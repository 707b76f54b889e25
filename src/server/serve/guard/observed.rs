//! A request as it is measured and logged, from its beginning to where its answer begins.

use std::{sync::Arc, time::Instant};

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    response::Response,
};
use tracing::{Span, debug, debug_span, info, warn};

use super::identity::{REQUEST_ID, request_id};
use crate::server::state::App;

/// What a page may load: what this server has, and nothing else.
const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; \
     base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
);

/// What every answer says to browsers.
const ALWAYS: [(HeaderName, HeaderValue); 2] = [
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// A request that is worked on.
pub(super) struct Observed {
    app: App,
    begun: Instant,
    method: Method,
    route: Option<MatchedPath>,
    uri: Uri,
    id: HeaderValue,
    /// Whether a page asks, and no person by the address of the browser.
    by_page: bool,
    requests: usize,
    span: Span,
    ended: bool,
}

impl Observed {
    pub(super) fn begin(app: &App, request: &Request, route: Option<MatchedPath>) -> Self {
        let id = request_id(request.headers());
        let path = request.uri().path();
        let span = debug_span!(
            target: "annals::server",
            "request",
            id = id.to_str().unwrap_or_default(),
            method = %request.method(),
            path,
            caller = tracing::field::Empty,
        );
        #[cfg(feature = "otel")]
        super::super::traces::follow(&span, request.headers());
        Self {
            app: Arc::clone(app),
            begun: Instant::now(),
            method: request.method().clone(),
            route,
            uri: request.uri().clone(),
            id,
            by_page: request
                .headers()
                .get("sec-fetch-mode")
                .is_some_and(|mode| mode != "navigate"),
            requests: app.metrics.request_begins(),
            span,
            ended: false,
        }
    }

    /// How many requests are worked on, this one too.
    pub(super) const fn requests(&self) -> usize {
        self.requests
    }

    pub(super) fn span(&self) -> Span {
        self.span.clone()
    }

    /// The answer with what every answer has; it is measured and logged.
    pub(super) fn end(mut self, mut response: Response) -> Response {
        self.ended = true;
        let status = response.status();
        let took = self.begun.elapsed();
        let route = self.route.as_ref().map(MatchedPath::as_str);
        let metrics = &self.app.metrics;
        metrics.request_ends(&self.method, route, status, took);
        self.log(status, took);
        let headers = response.headers_mut();
        // A page asks for credentials itself; by this the browser does not, too.
        if self.by_page && status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        for (name, value) in ALWAYS {
            headers.insert(name, value);
        }
        if headers.get(header::CONTENT_TYPE).is_some_and(is_html) {
            headers
                .entry(header::CONTENT_SECURITY_POLICY)
                .or_insert(CONTENT_SECURITY_POLICY);
            headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
            headers.insert(
                header::REFERRER_POLICY,
                HeaderValue::from_static("no-referrer"),
            );
        }
        let id = std::mem::replace(&mut self.id, HeaderValue::from_static(""));
        headers.insert(REQUEST_ID.clone(), id);
        response
    }

    /// One line for each request: what went wrong here is a warning, who was not let in is told, and the
    /// rest is for those who look for it.
    fn log(&self, status: StatusCode, took: std::time::Duration) {
        let id = self.id.to_str().unwrap_or_default();
        // The path names topics and streams, and never payloads; a query could hold anything.
        let path = self.uri.path();
        let (method, status, micros) = (&self.method, status.as_u16(), took.as_micros() as u64);
        match status {
            500.. => warn!(target: "annals::server", id, %method, path, status, micros, "request"),
            401 | 403 => {
                info!(target: "annals::server", id, %method, path, status, micros, "request")
            }
            _ => debug!(target: "annals::server", id, %method, path, status, micros, "request"),
        }
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        if !self.ended {
            // The client has gone before it was answered.
            self.app.metrics.request_dropped();
            debug!(target: "annals::server", id = self.id.to_str().unwrap_or_default(), "request dropped");
        }
    }
}

fn is_html(content_type: &HeaderValue) -> bool {
    content_type.as_bytes().starts_with(b"text/html")
}
