//! Reads an aggregate: from its newest snapshot that fits, or from its first event on.

use futures_util::TryStreamExt;
use uuid::Uuid;

use super::{Aggregate, Aggregates};
use crate::{
    Position, Read, Result, Version,
    cqrs::snapshot::{Saved, SnapshotStore},
};

/// An aggregate as it was read, and what is known of its snapshot.
#[derive(Clone)]
pub(super) struct Found<A> {
    pub(super) state: A,
    pub(super) version: Version,
    /// The id of the event of that version.
    pub(super) last: Uuid,
    pub(super) saved: Saved,
    /// What tells its topic from others that had the name.
    pub(super) created: Option<Position>,
}

impl<A: Aggregate> Found<A> {
    /// An aggregate without events.
    pub(super) fn new(saved: Saved) -> Self {
        Self {
            state: A::default(),
            version: Version::NONE,
            last: Uuid::nil(),
            saved,
            created: None,
        }
    }
}

impl<A: Aggregate> Aggregates<A> {
    /// The aggregate as it is now.
    pub(super) async fn find(&self, stream: &str) -> Result<Found<A>> {
        // Asked first: what is found of a later topic is not taken for the one before it, nor kept.
        let created = self.created();
        let mut found = match &self.snapshots {
            Some(snapshots) => self.find_from(snapshots, stream).await?,
            None => self.replay(stream, Saved::default()).await?,
        };
        found.created = created;
        Ok(found)
    }

    /// What tells the topic from others that had the name.
    pub(super) fn created(&self) -> Option<Position> {
        let execution = &self.execution;
        execution.store.created_position(&execution.topic)
    }

    async fn find_from(&self, snapshots: &SnapshotStore<A>, stream: &str) -> Result<Found<A>> {
        let (snapshot, mut saved) = snapshots.load(stream).await?;
        let Some((state, last)) = snapshot else {
            return self.replay(stream, saved).await;
        };
        let mut found = Found {
            state,
            version: saved.version,
            last,
            saved,
            created: None,
        };
        if self.go_on_from_snapshot(stream, &mut found).await? {
            return Ok(found);
        }
        tracing::warn!(
            topic = self.execution.topic,
            stream,
            version = saved.version.get(),
            "a snapshot is of events that are not there, and is left out"
        );
        saved.version = Version::NONE;
        self.replay(stream, saved).await
    }

    /// Reads it from its first event on.
    async fn replay(&self, stream: &str, saved: Saved) -> Result<Found<A>> {
        let mut found = Found::new(saved);
        self.catch_up(stream, &mut found).await?;
        Ok(found)
    }

    /// Reads what came since. Tells whether anything did.
    pub(super) async fn catch_up(&self, stream: &str, found: &mut Found<A>) -> Result<bool> {
        let before = found.version;
        let execution = &self.execution;
        let read = Read::stream(stream).after_version(before);
        let mut events = execution.store.read_events(&execution.topic, read);
        while let Some(event) = events.try_next().await? {
            self.apply(found, &event)?;
        }
        Ok(found.version > before)
    }

    /// Reads what came since the snapshot, and whether the event is there that was its last: in a topic
    /// that was created anew, or that has lost what was not synced, it is not.
    async fn go_on_from_snapshot(&self, stream: &str, found: &mut Found<A>) -> Result<bool> {
        let execution = &self.execution;
        let from = Version::new(found.version.get().saturating_sub(1));
        let read = Read::stream(stream).after_version(from);
        let mut events = execution.store.read_events(&execution.topic, read);
        let there = events.try_next().await?;
        if there.is_none_or(|event| event.id != found.last) {
            return Ok(false);
        }
        while let Some(event) = events.try_next().await? {
            self.apply(found, &event)?;
        }
        Ok(true)
    }

    fn apply(&self, found: &mut Found<A>, event: &crate::RecordedEvent) -> Result<()> {
        if let Some(decoded) = self.execution.decode(event)? {
            found.state.apply(&decoded);
        }
        found.version = event.version;
        found.last = event.id;
        Ok(())
    }
}
