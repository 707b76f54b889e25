//! Snapshots of aggregates: kept in a topic beside their own, and made anew where they do not fit.

use std::{fmt, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{
    Append, Error, EventStore, ExpectedVersion, NewEvent, Read, RecordedEvent, Result, Timestamp,
    Version,
};

/// The type of the events.
const TYPE: &str = "SnapshotStored";
/// How often a snapshot is saved again, because somebody else has saved one of fewer events.
const TRIES: usize = 10;

/// When snapshots are made, and which of them fit.
///
/// They are kept in the topic `TOPIC.snapshots`, which is created in the repository of the topic when
/// the first one is saved; an event for each, in a stream that is called as the aggregate's, of which the
/// newest counts. One that does not fit is left out and made anew: where the schema version is another
/// one, where it cannot be read, or where the event that it was made after is not in the topic. To make
/// all anew, set another schema version; to delete them, delete the topic.
///
/// They are saved in the background after a command, by whoever carried it out. One that cannot be saved
/// is logged, and changes nothing else. A snapshot is at most as large as a payload may be, 1 MiB unless
/// it is set.
///
/// ```
/// # use annals::cqrs::Snapshots;
/// # use std::time::Duration;
/// let snapshots = Snapshots::every(100).or_after(Duration::from_secs(3600)).schema_version(2);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Snapshots {
    events: u64,
    age: Option<Duration>,
    schema_version: u32,
}

impl Snapshots {
    /// A snapshot as soon as this many events follow the one before.
    #[must_use]
    pub fn every(events: u64) -> Self {
        Self {
            events: events.max(1),
            age: None,
            schema_version: 1,
        }
    }

    /// Also when the one before is so old, and any event follows it.
    #[must_use]
    pub const fn or_after(mut self, age: Duration) -> Self {
        self.age = Some(age);
        self
    }

    /// Sets the version of what a snapshot looks like: increase it when the aggregate's state changes, or
    /// what its events do to it. 1, unless it is set.
    #[must_use]
    pub const fn schema_version(mut self, version: u32) -> Self {
        self.schema_version = version;
        self
    }
}

/// What is known of the snapshot of one aggregate.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Saved {
    /// The version of the stream that it was made at; [`Version::NONE`] where there is none that fits.
    pub(super) version: Version,
    /// The version of the stream in which snapshots are, where it was read.
    revision: Option<Version>,
    at: Option<Timestamp>,
}

/// What is said of a snapshot, as its metadata.
#[derive(Debug, Serialize, Deserialize)]
struct Label {
    version: Version,
    /// The event of that version.
    event: Uuid,
    schema_version: u32,
}

/// A state and the id of the last event in it.
type Snapshot<A> = (A, Uuid);

/// The snapshots of a topic's aggregates.
pub(super) struct SnapshotStore<A> {
    store: EventStore,
    topic: String,
    snapshots: String,
    policy: Snapshots,
    /// Known where they are asked for, so that aggregates without snapshots need not be written.
    write: fn(&A) -> serde_json::Result<Vec<u8>>,
    read: fn(&[u8]) -> serde_json::Result<A>,
}

impl<A: Serialize + DeserializeOwned> SnapshotStore<A> {
    pub(super) fn new(store: &EventStore, topic: &str, policy: Snapshots) -> Self {
        Self {
            store: store.clone(),
            topic: topic.to_owned(),
            snapshots: format!("{topic}.snapshots"),
            policy,
            write: |state| serde_json::to_vec(state),
            read: |bytes| serde_json::from_slice(bytes),
        }
    }
}

impl<A> SnapshotStore<A> {
    /// The newest snapshot, if it fits, and what is known of it.
    pub(super) async fn load(&self, stream: &str) -> Result<(Option<Snapshot<A>>, Saved)> {
        let newest = Read::stream(stream).backward().limit(1);
        let found = match self.store.get_events(&self.snapshots, newest).await {
            Ok(found) => found,
            // Nothing was saved yet.
            Err(Error::TopicNotFound { .. } | Error::StreamDeleted { .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        let Some(event) = found.first() else {
            return Ok((
                None,
                Saved {
                    revision: Some(Version::NONE),
                    ..Saved::default()
                },
            ));
        };
        let mut saved = Saved {
            version: Version::NONE,
            revision: Some(event.version),
            at: Some(event.recorded_at),
        };
        let Some((label, state)) = self.fits(event) else {
            return Ok((None, saved));
        };
        saved.version = label.version;
        Ok((Some((state, label.event)), saved))
    }

    fn fits(&self, event: &RecordedEvent) -> Option<(Label, A)> {
        let label: Label = event.metadata_json().ok()?;
        if label.schema_version != self.policy.schema_version || event.event_type.as_str() != TYPE {
            return None;
        }
        match (self.read)(&event.payload) {
            Ok(state) => Some((label, state)),
            Err(error) => {
                tracing::warn!(
                    topic = self.snapshots,
                    stream = event.stream.as_str(),
                    %error,
                    "a snapshot cannot be read, and is made anew"
                );
                None
            }
        }
    }

    fn is_due(&self, version: Version, saved: &Saved) -> bool {
        let since = version.get().saturating_sub(saved.version.get());
        if since >= self.policy.events {
            return true;
        }
        let age = saved.at.map(|at| at.until(self.store.clock().now()));
        since > 0 && matches!((age, self.policy.age), (Some(age), Some(limit)) if age >= limit)
    }

    /// Saves a snapshot in the background, if it is time.
    pub(super) fn save_if_due(
        &self,
        stream: &str,
        state: &A,
        (version, event): (Version, Uuid),
        saved: &mut Saved,
    ) {
        if !self.is_due(version, saved) {
            return;
        }
        let label = Label {
            version,
            event,
            schema_version: self.policy.schema_version,
        };
        let written = (self.write)(state).map_err(|source| Error::Serialization {
            what: format!("{} to a snapshot", std::any::type_name::<A>()),
            source: Box::new(source),
        });
        let snapshot = written.and_then(|state| new(state, &label));
        let mut saving = Saving {
            store: self.store.clone(),
            topic: self.topic.clone(),
            snapshots: self.snapshots.clone(),
            stream: stream.to_owned(),
            revision: saved.revision,
        };
        // Not again for the next command: what is in this one is written already, or cannot be.
        saved.version = version;
        saved.revision = None;
        saved.at = Some(self.store.clock().now());
        tokio::spawn(async move {
            let saved = match snapshot {
                Ok(snapshot) => saving.save(snapshot, &label).await,
                Err(error) => Err(error),
            };
            if let Err(error) = saved {
                let Saving { topic, stream, .. } = saving;
                tracing::warn!(topic, stream, %error, "a snapshot was not saved");
            }
        });
    }
}

fn new(state: Vec<u8>, label: &Label) -> Result<NewEvent> {
    NewEvent::json_text(TYPE, Bytes::from(state)).metadata(label)
}

/// A snapshot that is being saved.
struct Saving {
    store: EventStore,
    topic: String,
    snapshots: String,
    stream: String,
    /// The version of the stream in which snapshots are, where it was read.
    revision: Option<Version>,
}

impl Saving {
    async fn save(&mut self, snapshot: NewEvent, label: &Label) -> Result<()> {
        for _ in 0..TRIES {
            let revision = match self.revision.take() {
                Some(revision) => revision,
                None => match self.look(label).await? {
                    Some(revision) => revision,
                    None => return Ok(()),
                },
            };
            let append = Append::new([snapshot.clone()])
                .stream(self.stream.clone())
                .expected(ExpectedVersion::Exact(revision));
            match self.store.append_events(&self.snapshots, append).await {
                Ok(_) => return Ok(()),
                Err(Error::TopicNotFound { .. }) => {
                    let (store, topic) = (&self.store, &self.topic);
                    store.create_beside(topic, &self.snapshots).await?;
                }
                Err(Error::WrongExpectedVersion { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let (topic, stream) = (&self.topic, &self.stream);
        tracing::debug!(topic, stream, "others save snapshots all the time");
        Ok(())
    }

    /// The version of the stream in which snapshots are; none where the newest is of as many events, so
    /// that to save this one would be to go back.
    async fn look(&self, label: &Label) -> Result<Option<Version>> {
        let newest = Read::stream(self.stream.clone()).backward().limit(1);
        let found = match self.store.get_events(&self.snapshots, newest).await {
            Err(Error::TopicNotFound { .. }) => return Ok(Some(Version::NONE)),
            found => found?,
        };
        let Some(event) = found.first() else {
            return Ok(Some(Version::NONE));
        };
        let is_passed = event.metadata_json().is_ok_and(|newest: Label| {
            newest.schema_version == label.schema_version && newest.version >= label.version
        });
        Ok((!is_passed).then_some(event.version))
    }
}

impl<A> Clone for SnapshotStore<A> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            topic: self.topic.clone(),
            snapshots: self.snapshots.clone(),
            ..*self
        }
    }
}

impl<A> fmt::Debug for SnapshotStore<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotStore")
            .field("topic", &self.snapshots)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
