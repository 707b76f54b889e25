//! Consumer groups over HTTP.

use axum::Router;

use super::state::App;

/// The groups of which this server is a member.
#[derive(Debug, Default)]
pub(super) struct Groups {}

impl Groups {
    /// Leaves all of them.
    pub(super) async fn leave(&self) {}
}

/// The routes.
pub(super) fn routes() -> Router<App> {
    Router::new()
}
