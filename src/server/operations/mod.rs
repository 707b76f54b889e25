//! Health and metrics, for those who run the server.

mod health;
mod metrics;
mod sampled;

use axum::{
    Router,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};

pub(super) use self::{
    health::Health,
    metrics::{Follower, Metrics},
};
use super::{
    access::{Action, Caller},
    problem::Problem,
    state::App,
};

/// The type of what Prometheus reads.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The routes at the root.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/health/ready", get(health::ready))
}

/// The routes below `/api/v1`.
pub(super) fn v1_routes() -> Router<App> {
    Router::new().route("/health", get(health::report))
}

async fn metrics(State(app): State<App>, caller: Caller) -> Result<Response, Problem> {
    if !app.config.public_metrics {
        caller.may_everywhere(Action::Admin)?;
    }
    let text = sampled::render(&app).await;
    Ok(([(header::CONTENT_TYPE, PROMETHEUS)], text).into_response())
}
