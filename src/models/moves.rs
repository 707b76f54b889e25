//! Moves of topics: as they are asked for, and how they get on.

use std::{fmt, sync::Arc};

use super::{Placement, Position, Timestamp, TopicName};

/// Hears how a move gets on.
type OnProgress = Arc<dyn Fn(&MoveProgress) + Send + Sync>;

/// How a topic is moved.
///
/// ```
/// # use annals::{FormerStorage, MoveOptions};
/// let options = MoveOptions::default()
///     .former(FormerStorage::Remove)
///     .on_progress(|progress| println!("{} of {} events", progress.copied, progress.head));
/// ```
#[derive(Clone, Default)]
pub struct MoveOptions {
    pub(crate) former: FormerStorage,
    pub(crate) on_progress: Option<OnProgress>,
}

/// What becomes of the storage that a topic has left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FormerStorage {
    /// It is kept, sealed, until the topic is purged or
    /// [`remove_former`](crate::EventStore::remove_former) is called. Reads that are under way go on
    /// in it.
    #[default]
    Keep,
    /// It is removed once the topic has moved. Reads that are under way in it fail.
    Remove,
}

impl MoveOptions {
    /// Sets what becomes of the storage that the topic has left.
    #[must_use]
    pub const fn former(mut self, former: FormerStorage) -> Self {
        self.former = former;
        self
    }

    /// Calls this after each page of events that was copied, at most some thousand events. It must
    /// not block: the move waits for it.
    #[must_use]
    pub fn on_progress(mut self, hear: impl Fn(&MoveProgress) + Send + Sync + 'static) -> Self {
        self.on_progress = Some(Arc::new(hear));
        self
    }

    pub(crate) fn tell(&self, progress: &MoveProgress) {
        if let Some(hear) = &self.on_progress {
            hear(progress);
        }
    }
}

impl fmt::Debug for MoveOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MoveOptions")
            .field("former", &self.former)
            .finish_non_exhaustive()
    }
}

/// What a move does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MovePhase {
    /// Events are copied while appends go on.
    Copying,
    /// What was copied is read back and compared while appends go on.
    Comparing,
    /// Appends wait while the last events are copied and compared.
    Sealed,
}

/// How a move gets on.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MoveProgress {
    /// The topic.
    pub topic: TopicName,
    /// What is being done.
    pub phase: MovePhase,
    /// The position up to which events are copied.
    pub copied: Position,
    /// The topic's last event when that was looked at last.
    pub head: Position,
    /// How many events were copied in a second, since the move began.
    pub events_per_second: f64,
}

/// A move that is under way, as the configuration has it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicMove {
    /// Where the topic goes. Secrets are masked as in a topic's own placement.
    pub target: Placement,
    /// How far the events were copied when the mover said so last.
    pub copied: Position,
    /// When that was.
    pub renewed_at: Timestamp,
    /// Whether appends wait for its end.
    pub sealed: bool,
}

impl TopicMove {
    pub(crate) const fn new(
        target: Placement,
        copied: Position,
        renewed_at: Timestamp,
        sealed: bool,
    ) -> Self {
        Self {
            target,
            copied,
            renewed_at,
            sealed,
        }
    }
}
