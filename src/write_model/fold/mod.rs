//! The fold of the configuration stream: which topics there are, and where.
//!
//! Pure: it knows the events and nothing else, so folding them anew always gives the same model.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use crate::models::{
    Error, Placement, Position, RecordedEvent, Result, StorageId, StoreId, Timestamp, TopicInfo,
    TopicName, TopicStatus,
};

use super::events::{ConfigurationEvent, Extra, TopicCreated, TopicNamed, TopicUpdated};

/// The current topic configurations.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Model {
    /// The last event that was folded.
    pub(crate) position: Position,
    /// The id of the store; none before its first event.
    pub(crate) store: Option<StoreId>,
    topics: HashMap<TopicName, Arc<Topic>>,
    /// Topics that were deleted and not purged, by name, those deleted last at the end.
    deleted: BTreeMap<TopicName, Vec<Arc<Topic>>>,
    /// One placement of each repository, by adapter and connection, in which a topic was purged.
    /// Its storage may still be there, and no topic may lead to the repository any more.
    purged: BTreeMap<(String, String), Placement>,
}

/// One topic.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Topic {
    pub(crate) placement: Placement,
    pub(crate) created_at: Timestamp,
    /// The position of its creation: what tells it from every other topic of the store, wherever it
    /// is placed and whatever has its name.
    pub(crate) created_position: Position,
    pub(crate) configured_at: Position,
    /// What a newer version has said of the topic.
    pub(crate) extra: Extra,
}

impl Topic {
    /// The topic as users see it. A literal secret is masked.
    pub(crate) fn info(&self, status: TopicStatus, mask: impl FnOnce(&mut Placement)) -> TopicInfo {
        let mut placement = self.placement.clone();
        mask(&mut placement);
        TopicInfo::new(
            status,
            placement,
            self.placement.topic.clone(),
            self.created_at,
            self.created_position,
            self.configured_at,
        )
    }
}

impl Model {
    /// The topic of this name that is in use.
    pub(crate) fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(name)
    }

    /// The topics of this name that were deleted, those deleted last at the end.
    pub(crate) fn deleted(&self, name: &str) -> &[Arc<Topic>] {
        self.deleted.get(name).map_or(&[], Vec::as_slice)
    }

    /// All topics that are in use, by name.
    pub(crate) fn topics(&self) -> Vec<Arc<Topic>> {
        let mut topics: Vec<_> = self.topics.values().cloned().collect();
        topics.sort_unstable_by(|one, other| one.placement.topic.cmp(&other.placement.topic));
        topics
    }

    /// All topics that were deleted, by name.
    pub(crate) fn deleted_topics(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.deleted.values().flatten()
    }

    /// Where topics were purged: one placement of each repository.
    pub(crate) fn purged(&self) -> impl Iterator<Item = &Placement> {
        self.purged.values()
    }

    /// Whether a storage belongs to a topic, in use or deleted.
    pub(crate) fn uses(&self, storage: StorageId) -> bool {
        self.topics
            .values()
            .chain(self.deleted_topics())
            .any(|topic| topic.placement.storage == storage)
    }

    /// Folds one more event.
    ///
    /// # Errors
    /// Those of [`ConfigurationEvent::from_recorded`], and [`Error::Corruption`] for an event that
    /// contradicts those before it. The model is unchanged then.
    pub(crate) fn apply(&mut self, event: &RecordedEvent) -> Result<()> {
        let position = event.position;
        let contradiction = |what: &str| Error::Corruption {
            place: format!("configuration stream, position {position}"),
            reason: format!(
                "{} of {what}, which the events before it rule out",
                event.event_type
            ),
        };
        if position != self.position.next() {
            return Err(contradiction("an event out of order"));
        }
        match ConfigurationEvent::from_recorded(event)? {
            ConfigurationEvent::StoreCreated(created) if self.store.is_none() => {
                self.store = Some(created.store);
            }
            ConfigurationEvent::StoreCreated(_) => return Err(contradiction("a second store")),
            ConfigurationEvent::TopicCreated(created) => self
                .created(created, position)
                .ok_or_else(|| contradiction("a topic that is there"))?,
            ConfigurationEvent::TopicUpdated(updated) => self
                .updated(updated, position)
                .ok_or_else(|| contradiction("a topic that is not there"))?,
            ConfigurationEvent::TopicDeleted(named) => self
                .delete(&named, position)
                .ok_or_else(|| contradiction("a topic that is not there"))?,
            ConfigurationEvent::TopicRestored(named) => self
                .restore(&named, position)
                .ok_or_else(|| contradiction("a topic that is not deleted"))?,
            ConfigurationEvent::TopicPurged(named) => self
                .purge(&named)
                .ok_or_else(|| contradiction("a topic that is not deleted"))?,
        }
        self.position = position;
        Ok(())
    }

    fn created(&mut self, created: TopicCreated, configured_at: Position) -> Option<()> {
        let TopicCreated {
            placement,
            created_at,
            extra,
        } = created;
        if self.topics.contains_key(&placement.topic) || self.uses(placement.storage) {
            return None;
        }
        let name = placement.topic.clone();
        self.topics.insert(
            name,
            Arc::new(Topic {
                placement,
                created_at,
                created_position: configured_at,
                configured_at,
                extra,
            }),
        );
        Some(())
    }

    fn updated(&mut self, updated: TopicUpdated, configured_at: Position) -> Option<()> {
        let topic = self.topics.get_mut(&updated.topic)?;
        if topic.placement.storage != updated.storage {
            return None;
        }
        let topic = Arc::make_mut(topic);
        topic.placement.connection = updated.connection;
        topic.placement.options = updated.options;
        topic.configured_at = configured_at;
        topic.extra.extend(updated.extra);
        Some(())
    }

    fn delete(&mut self, named: &TopicNamed, configured_at: Position) -> Option<()> {
        self.topics
            .get(&named.topic)
            .filter(|topic| topic.placement.storage == named.storage)?;
        let mut topic = self.topics.remove(&named.topic)?;
        Arc::make_mut(&mut topic).configured_at = configured_at;
        self.deleted
            .entry(named.topic.clone())
            .or_default()
            .push(topic);
        Some(())
    }

    fn restore(&mut self, named: &TopicNamed, configured_at: Position) -> Option<()> {
        if self.topics.contains_key(&named.topic) {
            return None;
        }
        let mut topic = self.take_deleted(named)?;
        Arc::make_mut(&mut topic).configured_at = configured_at;
        self.topics.insert(named.topic.clone(), topic);
        Some(())
    }

    fn purge(&mut self, named: &TopicNamed) -> Option<()> {
        let placement = self.take_deleted(named)?.placement.clone();
        let repository = (placement.adapter.clone(), placement.connection.clone());
        self.purged.insert(repository, placement);
        Some(())
    }

    fn take_deleted(&mut self, named: &TopicNamed) -> Option<Arc<Topic>> {
        let topics = self.deleted.get_mut(&named.topic)?;
        let at = topics
            .iter()
            .position(|topic| topic.placement.storage == named.storage)?;
        let topic = topics.remove(at);
        if topics.is_empty() {
            self.deleted.remove(&named.topic);
        }
        Some(topic)
    }
}

#[cfg(test)]
mod tests;
