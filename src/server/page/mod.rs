//! The web page.

use axum::Router;

use super::state::App;

/// The routes.
pub(super) fn routes() -> Router<App> {
    Router::new()
}
