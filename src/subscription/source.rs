//! Where a subscription's topic is.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Semaphore;

use crate::{
    models::{Placement, Result},
    repository::EventRepository,
};

/// Where the events of a topic are now.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) repository: Arc<dyn EventRepository>,
    pub(crate) placement: Placement,
}

/// Tells where a topic is.
#[async_trait]
pub(crate) trait Source: Send + Sync + 'static {
    /// Where the topic is now.
    async fn locate(&self) -> Result<Place>;

    /// Where the topic is after a repository has said that it is not in `before`.
    async fn relocate(&self, before: &Place) -> Result<Place>;

    /// Whether the topic is known to be elsewhere than at `place`, or gone.
    fn has_left(&self, place: &Place) -> bool;

    /// Waits until the topic is known to be elsewhere than at `place`, or gone, or the store closed.
    async fn left(&self, place: &Place);

    /// Waits until the store is closed.
    async fn closed(&self);

    /// Permits to hold whole pages of history; who gets none takes small portions.
    fn history(&self) -> &Arc<Semaphore>;
}

/// A topic that stays where it is, in a store that is never closed.
#[cfg(feature = "testing")]
#[derive(Debug)]
pub(crate) struct Fixed {
    place: Place,
    history: Arc<Semaphore>,
}

#[cfg(feature = "testing")]
impl Fixed {
    /// The topic is here. This many subscriptions may hold whole pages.
    pub(crate) fn at(
        repository: Arc<dyn EventRepository>,
        placement: Placement,
        history: usize,
    ) -> Self {
        Self {
            place: Place {
                repository,
                placement,
            },
            history: Arc::new(Semaphore::new(history)),
        }
    }
}

#[cfg(feature = "testing")]
#[async_trait]
impl Source for Fixed {
    async fn locate(&self) -> Result<Place> {
        Ok(self.place.clone())
    }

    async fn relocate(&self, before: &Place) -> Result<Place> {
        Err(crate::models::Error::TopicNotFound {
            topic: before.placement.topic.to_string(),
        })
    }

    fn has_left(&self, _: &Place) -> bool {
        false
    }

    async fn left(&self, _: &Place) {
        std::future::pending().await
    }

    async fn closed(&self) {
        std::future::pending().await
    }

    fn history(&self) -> &Arc<Semaphore> {
        &self.history
    }
}
