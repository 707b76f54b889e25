//! What a consumer is, and how it begins.

use std::{sync::Arc, time::Duration};

use super::{Consumer, Lease, TopicCheckpoints};
use crate::{
    EventFilter, EventStore, Position, Result, Subscribe, TopicInfo, repository::Checkpoints,
};

/// A consumer of a topic: its name, what it wants, and where it keeps how far it has come.
///
/// ```
/// # use annals::{Consume, EventFilter};
/// let billing = Consume::named("billing").filter(EventFilter::all().types(["OrderPlaced"]));
/// ```
#[derive(Clone, Debug)]
pub struct Consume {
    name: String,
    subscribe: Subscribe,
    from_now: bool,
    checkpoints: Option<Arc<dyn Checkpoints>>,
    lease: Duration,
}

impl Consume {
    /// How long a lease is given for, unless another time is set.
    pub const LEASE: Duration = Duration::from_secs(30);

    /// The consumer of this name: text without control characters, up to 200 bytes.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            subscribe: Subscribe::from_start(),
            from_now: false,
            checkpoints: None,
            lease: Self::LEASE,
        }
    }

    /// Only events that match. A consumer that comes to want more events does not get those that it
    /// has passed by: give it another name.
    #[must_use]
    pub fn filter(mut self, filter: EventFilter) -> Self {
        self.subscribe = self.subscribe.filter(filter);
        self
    }

    /// Only events of one stream.
    #[must_use]
    pub fn stream(mut self, stream: impl Into<String>) -> Self {
        self.subscribe = self.subscribe.stream(stream);
        self
    }

    /// Begins with the events that are recorded after its first start, and not with all.
    #[must_use]
    pub const fn from_now(mut self) -> Self {
        self.from_now = true;
        self
    }

    /// Keeps how far it has come here. Else it is kept in a topic beside that which is consumed; see
    /// [`TopicCheckpoints::beside`].
    #[must_use]
    pub fn checkpoints(mut self, checkpoints: impl Checkpoints) -> Self {
        self.checkpoints = Some(Arc::new(checkpoints));
        self
    }

    /// Sets how long another instance waits after this one has died. It is renewed three times as
    /// often. At least 300 ms.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease.max(Duration::from_millis(300));
        self
    }
}

impl EventStore {
    /// Goes on with a topic where the consumer of this name has come to, as the one instance of it
    /// that does so. Waits for as long as another one has the lease: until it is released, or was not
    /// renewed for its time.
    ///
    /// # Errors
    /// Those of [`subscribe`](Self::subscribe) and of the place where checkpoints are kept;
    /// [`InvalidConfig`](crate::Error::InvalidConfig) for a name that breaks the rule.
    pub async fn consume(&self, topic: &str, consume: Consume) -> Result<Consumer> {
        let info = self.get_topic(topic).await?;
        let checkpoints = match consume.checkpoints {
            Some(checkpoints) => checkpoints,
            None => Arc::new(TopicCheckpoints::beside(self, topic).await?),
        };
        let key = key(topic, &consume.name)?;
        let lease = Lease::acquire(
            checkpoints,
            self.clock(),
            key,
            self.origin(&info),
            consume.lease,
        )
        .await?;
        let begun = lease.record().await.position;
        let from = match begun {
            Some(position) => position,
            None if consume.from_now => self.get_latest_version(topic).await?,
            None => Position::START,
        };
        if begun.is_none() {
            // So that "now" stays the first one.
            lease.commit(from, None).await?;
        }
        let live = self.subscribe(topic, consume.subscribe.begin_after(from));
        Ok(Consumer::new(live.await?, lease))
    }

    /// What tells a topic from every other one, in this store or another.
    pub(crate) fn origin(&self, info: &TopicInfo) -> String {
        format!("{}/{}", self.id(), info.created_position)
    }
}

/// Under which name a consumer's checkpoint is kept.
pub(crate) fn key(topic: &str, consumer: &str) -> Result<String> {
    if consumer.is_empty() || consumer.len() > 200 || consumer.chars().any(char::is_control) {
        return Err(crate::Error::InvalidConfig {
            key: "consumer".to_owned(),
            reason: "a consumer's name has 1 to 200 bytes and no control characters".to_owned(),
        });
    }
    Ok(format!("{topic}/{consumer}"))
}
