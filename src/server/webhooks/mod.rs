//! Events sent to registered callbacks.

use axum::Router;

use super::{ServerConfig, state::App};
use crate::EventStore;

/// The webhooks that this server serves.
#[derive(Debug)]
pub(super) struct Webhooks {}

impl Webhooks {
    pub(super) const fn new(_config: &ServerConfig) -> Self {
        Self {}
    }

    /// Begins to send.
    pub(super) fn start(&self, _store: &EventStore) {}

    /// Sends no more.
    pub(super) async fn stop(&self) {}
}

/// The routes.
pub(super) fn routes() -> Router<App> {
    Router::new()
}
