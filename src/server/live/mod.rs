//! Live subscriptions, as server-sent events.

use axum::Router;

use super::state::App;

/// The topics that are followed.
#[derive(Debug, Default)]
pub(super) struct Hubs {}

/// The routes.
pub(super) fn routes() -> Router<App> {
    Router::new()
}
