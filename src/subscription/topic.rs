//! A topic of a store as the source of a subscription.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Semaphore;

use super::source::{Place, Source};
use crate::{
    context::{Context, Route, not_found},
    models::Result,
    write_model::{Following, Topic},
};

/// A topic of a store: the one that had the name when the subscription began, wherever it is by now.
pub(crate) struct TopicSource {
    context: Arc<Context>,
    /// The topic as it was then.
    topic: Arc<Topic>,
    /// Keeps the write model up to date, so that the topic is not waited for where it was.
    _following: Arc<Following>,
}

impl TopicSource {
    pub(crate) fn new(context: &Arc<Context>, route: &Route) -> Self {
        Self {
            context: Arc::clone(context),
            topic: Arc::clone(&route.topic),
            _following: context.write_model.follow(),
        }
    }

    fn name(&self) -> &str {
        self.topic.placement.topic.as_str()
    }

    /// The topic as it is now, as far as it is known here.
    fn known(&self) -> Option<Arc<Topic>> {
        let topic = self.context.write_model.topic(self.name())?;
        // Another topic may have the name by now.
        (topic.created_position == self.topic.created_position).then_some(topic)
    }

    async fn place(&self, topic: Arc<Topic>) -> Result<Place> {
        let repository = self.context.registry.get(&topic.placement).await?;
        Ok(Place {
            repository,
            placement: topic.placement.clone(),
        })
    }
}

#[async_trait]
impl Source for TopicSource {
    async fn locate(&self) -> Result<Place> {
        let _pass = self.context.enter()?;
        let topic = match self.known() {
            Some(topic) => topic,
            None => {
                self.context.write_model.refresh().await?;
                self.known().ok_or_else(|| not_found(self.name()))?
            }
        };
        self.place(topic).await
    }

    async fn relocate(&self, before: &Place) -> Result<Place> {
        let _pass = self.context.enter()?;
        self.context.write_model.refresh().await?;
        let topic = self.known().ok_or_else(|| not_found(self.name()))?;
        if topic.placement.storage == before.placement.storage {
            return Err(crate::context::missing(&topic.placement));
        }
        self.place(topic).await
    }

    fn has_left(&self, place: &Place) -> bool {
        self.context.gate.is_closed()
            || self
                .known()
                .is_none_or(|topic| topic.placement.storage != place.placement.storage)
    }

    async fn left(&self, place: &Place) {
        let mut changes = self.context.write_model.changes();
        let changed = async { while !self.has_left(place) && changes.changed().await.is_ok() {} };
        tokio::select! {
            () = changed => {}
            () = self.closed() => {}
        }
    }

    async fn closed(&self) {
        self.context.gate.closing().await;
    }

    fn history(&self) -> &Arc<Semaphore> {
        &self.context.history
    }
}
