//! What the handles of a read model in memory, and a rebuild of it, share.

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use tokio::task::AbortHandle;

use super::{Live, ReadModel, feed::Fed};
use crate::EventStore;

/// The model that is read, and what another one is built with.
pub(super) struct Shared<M: ReadModel> {
    store: EventStore,
    live: Live<M::Event>,
    current: RwLock<Arc<Fed<M>>>,
    /// The rebuild under way. It ends with the model.
    pub(super) rebuilding: Mutex<Option<AbortHandle>>,
}

impl<M: ReadModel> Shared<M> {
    pub(super) fn new(store: &EventStore, live: Live<M::Event>) -> Self {
        let fed = Fed::start(store, &live);
        Self {
            store: store.clone(),
            live,
            current: RwLock::new(Arc::new(fed)),
            rebuilding: Mutex::new(None),
        }
    }

    pub(super) fn current(&self) -> Arc<Fed<M>> {
        Arc::clone(&self.current.read())
    }

    pub(super) fn start(&self) -> Arc<Fed<M>> {
        Arc::new(Fed::start(&self.store, &self.live))
    }

    pub(super) const fn store(&self) -> &EventStore {
        &self.store
    }

    pub(super) fn topics(&self) -> &[String] {
        &self.live.topics
    }

    /// Puts another one in its place.
    pub(super) fn switch(&self, fed: Arc<Fed<M>>) {
        let before = std::mem::replace(&mut *self.current.write(), fed);
        before.core.board.replaced();
    }
}

impl<M: ReadModel> Drop for Shared<M> {
    fn drop(&mut self) {
        if let Some(rebuilding) = self.rebuilding.lock().take() {
            rebuilding.abort();
        }
    }
}
