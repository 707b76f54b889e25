//! The API of its own: topics, streams and events.

use axum::Router;

use super::state::App;

/// The routes.
pub(super) fn routes() -> Router<App> {
    Router::new()
}
