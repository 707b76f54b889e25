//! The fold of the configuration stream: which topics there are, and where.
//!
//! Pure: it knows the events and nothing else, so folding them anew always gives the same model.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use crate::models::{
    Error, Placement, Position, RecordedEvent, Result, StorageId, StoreId, Timestamp, TopicInfo,
    TopicMove, TopicName, TopicStatus,
};

use uuid::Uuid;

use super::events::{
    ConfigurationEvent, Extra, FormerRemoved, MoveAborted, MoveStarted, MoveStep, TopicCreated,
    TopicNamed, TopicUpdated,
};

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
    /// One placement of each repository, by adapter and connection, which a topic has left: it was
    /// purged, or moved, or did not move there after all. Its storage may still be there, and no
    /// topic may lead to the repository any more.
    left: BTreeMap<(String, String), Placement>,
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
    /// The move that is under way.
    pub(crate) moving: Option<Moving>,
    /// Where it was before, the last at the end; these are kept until the topic is purged.
    pub(crate) former: Vec<Placement>,
    /// What a newer version has said of the topic.
    pub(crate) extra: Extra,
}

/// A move that is under way.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Moving {
    pub(crate) target: Placement,
    /// Who moves it. Nobody else may complete it.
    pub(crate) mover: Uuid,
    /// When he said so last.
    pub(crate) renewed_at: Timestamp,
    /// By which event he said so.
    pub(crate) renewed: Position,
    /// How far he was then.
    pub(crate) copied: Position,
    /// By which event the old placement is sealed, or is about to be.
    pub(crate) sealing: Option<Position>,
}

impl Topic {
    /// The topic as users see it. A literal secret is masked.
    pub(crate) fn info(&self, status: TopicStatus, mask: &dyn Fn(&mut Placement)) -> TopicInfo {
        let masked = |placement: &Placement| {
            let mut placement = placement.clone();
            mask(&mut placement);
            placement
        };
        let mut info = TopicInfo::new(
            status,
            masked(&self.placement),
            self.placement.topic.clone(),
            self.created_at,
            self.created_position,
            self.configured_at,
        );
        info.former = self.former.iter().map(masked).collect();
        info.moving = self.moving.as_ref().map(|moving| {
            let target = masked(&moving.target);
            let sealed = moving.sealing.is_some();
            TopicMove::new(target, moving.copied, moving.renewed_at, sealed)
        });
        info
    }

    /// Every storage that belongs to it.
    pub(crate) fn storages(&self) -> impl Iterator<Item = StorageId> {
        let target = self.moving.iter().map(|moving| &moving.target);
        let all = self.former.iter().chain([&self.placement]).chain(target);
        all.map(|placement| placement.storage)
    }
}

impl Model {
    /// Where an event is recorded that is decided on this model: a decision is committed only where
    /// nothing has come in between. The model after it may know of more, so its position is none by
    /// which a seal was decided.
    pub(crate) fn next(&self) -> Position {
        self.position.next()
    }

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

    /// Where topics were: one placement of each repository.
    pub(crate) fn left(&self) -> impl Iterator<Item = &Placement> {
        self.left.values()
    }

    /// Whether a storage belongs to a topic, in use or deleted.
    pub(crate) fn uses(&self, storage: StorageId) -> bool {
        self.topics
            .values()
            .chain(self.deleted_topics())
            .any(|topic| topic.storages().any(|one| one == storage))
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
        let no_move = || contradiction("a move that is not under way");
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
            ConfigurationEvent::MoveStarted(started) => self
                .start_move(started, event)
                .ok_or_else(|| contradiction("a topic that moves, or is not there"))?,
            ConfigurationEvent::MoveRenewed(step) => {
                self.step(&step, event, |_| Some(())).ok_or_else(no_move)?
            }
            ConfigurationEvent::MoveSealing(step) => self
                .step(&step, event, |topic| {
                    let moving = topic.moving.as_mut()?;
                    moving.sealing = Some(position);
                    Some(())
                })
                .ok_or_else(no_move)?,
            ConfigurationEvent::MoveCompleted(step) => self
                .step(&step, event, |topic| {
                    let moving = topic.moving.as_ref().filter(|one| one.sealing.is_some())?;
                    let former = std::mem::replace(&mut topic.placement, moving.target.clone());
                    topic.former.push(former);
                    topic.moving = None;
                    topic.configured_at = position;
                    Some(())
                })
                .ok_or_else(no_move)?,
            ConfigurationEvent::MoveAborted(aborted) => {
                self.abort_move(&aborted).ok_or_else(no_move)?;
            }
            ConfigurationEvent::FormerRemoved(removed) => self
                .remove_former(&removed)
                .ok_or_else(|| contradiction("a storage that the topic has not left"))?,
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
                moving: None,
                former: Vec::new(),
                extra,
            }),
        );
        Some(())
    }

    fn updated(&mut self, updated: TopicUpdated, configured_at: Position) -> Option<()> {
        let topic = self.topics.get_mut(&updated.topic)?;
        if topic.placement.storage != updated.storage || topic.moving.is_some() {
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
            .filter(|topic| topic.placement.storage == named.storage && topic.moving.is_none())?;
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
        let topic = self.take_deleted(named)?;
        for placement in topic.former.iter().chain([&topic.placement]) {
            self.leave(placement.clone());
        }
        Some(())
    }

    fn leave(&mut self, placement: Placement) {
        let repository = (placement.adapter.clone(), placement.connection.clone());
        self.left.insert(repository, placement);
    }

    fn start_move(&mut self, started: MoveStarted, event: &RecordedEvent) -> Option<()> {
        if self.uses(started.target.storage) || started.target.topic != started.topic {
            return None;
        }
        let topic = self.topics.get_mut(&started.topic)?;
        if topic.placement.storage != started.storage || topic.moving.is_some() {
            return None;
        }
        let topic = Arc::make_mut(topic);
        topic.moving = Some(Moving {
            target: started.target,
            mover: started.mover,
            renewed_at: event.recorded_at,
            renewed: event.position,
            copied: Position::START,
            sealing: None,
        });
        topic.extra.extend(started.extra);
        Some(())
    }

    /// A step of the move of a topic; a step of somebody who takes over makes him the mover.
    fn step(
        &mut self,
        step: &MoveStep,
        event: &RecordedEvent,
        change: impl FnOnce(&mut Topic) -> Option<()>,
    ) -> Option<()> {
        let topic = self.topics.get_mut(&step.topic)?;
        if topic.placement.storage != step.storage {
            return None;
        }
        let mut changed = Topic::clone(topic);
        let moving = changed.moving.as_mut()?;
        moving.mover = step.mover;
        moving.renewed_at = event.recorded_at;
        moving.renewed = event.position;
        moving.copied = step.copied;
        change(&mut changed)?;
        *topic = Arc::new(changed);
        Some(())
    }

    fn abort_move(&mut self, aborted: &MoveAborted) -> Option<()> {
        let topic = self.topics.get_mut(&aborted.topic)?;
        if topic.placement.storage != aborted.storage {
            return None;
        }
        let moving = Arc::make_mut(topic).moving.take()?;
        self.leave(moving.target);
        Some(())
    }

    fn remove_former(&mut self, removed: &FormerRemoved) -> Option<()> {
        let topic = self.topics.get_mut(&removed.topic)?;
        let at = topic
            .former
            .iter()
            .position(|one| one.storage == removed.former)
            .filter(|_| topic.placement.storage == removed.storage)?;
        let former = Arc::make_mut(topic).former.remove(at);
        self.leave(former);
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
