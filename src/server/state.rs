//! What all handlers share.

use std::sync::Arc;

use crate::EventStore;

/// Shared by all handlers.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) store: EventStore,
}

/// The state of the router.
pub(super) type App = Arc<Shared>;
