//! Topics: as they are asked for, and as they are.

use std::fmt;

use super::{
    Options, Placement, Position, Timestamp, TopicMove, TopicName,
    secrets::{mask, mask_options},
};

/// A topic as it is asked for: its name, its repository and settings for the adapter.
///
/// ```
/// # use annals::TopicConfig;
/// let orders = TopicConfig::file("orders", "./data").option("sync", "always");
/// let audit = TopicConfig::new("audit", "postgres", "${DATABASE_URL}").option("schema", "audit");
/// ```
#[derive(Clone)]
pub struct TopicConfig {
    pub(crate) name: String,
    pub(crate) adapter: String,
    pub(crate) connection: String,
    pub(crate) options: Options,
}

impl TopicConfig {
    /// A topic in the repository of this adapter at this connection.
    ///
    /// `${NAME}` in a connection is resolved when the repository is opened, and recorded
    /// unresolved.
    pub fn new(
        name: impl Into<String>,
        adapter: impl Into<String>,
        connection: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            adapter: adapter.into(),
            connection: connection.into(),
            options: Options::new(),
        }
    }

    /// A topic in memory: gone when the store is closed. Topics of one connection share a
    /// repository.
    pub fn memory(name: impl Into<String>) -> Self {
        Self::new(name, "memory", "")
    }

    /// A topic in files below `directory`.
    pub fn file(name: impl Into<String>, directory: impl Into<String>) -> Self {
        Self::new(name, "file", directory)
    }

    /// A topic in a PostgreSQL database.
    pub fn postgres(name: impl Into<String>, url: impl Into<String>) -> Self {
        Self::new(name, "postgres", url)
    }

    /// A topic in an object store.
    pub fn blob(name: impl Into<String>, url: impl Into<String>) -> Self {
        Self::new(name, "blob", url)
    }

    /// Sets an option of the adapter; one that it does not know is refused when the topic is
    /// created.
    #[must_use]
    pub fn option(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.insert(key.into(), value.into());
        self
    }
}

impl fmt::Debug for TopicConfig {
    /// Secrets are masked.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicConfig")
            .field("name", &self.name)
            .field("adapter", &self.adapter)
            .field("connection", &mask(&self.connection))
            .field("options", &mask_options(&self.options))
            .finish()
    }
}

/// Whether a topic is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TopicStatus {
    /// It takes appends and reads.
    Active,
    /// It was deleted and can be restored or purged.
    Deleted,
}

/// A topic as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicInfo {
    /// The name.
    pub name: TopicName,
    /// Whether it is in use.
    pub status: TopicStatus,
    /// Where its events are. The connection has no secret that was given by `${NAME}`, and a
    /// literal password is masked.
    pub placement: Placement,
    /// When it was created.
    pub created_at: Timestamp,
    /// The position of the configuration event that created it: what tells it from every other topic
    /// of the store, also from one that had its name before.
    pub created_position: Position,
    /// The position of the last configuration event that speaks of it.
    pub configured_at: Position,
    /// The move that is under way.
    pub moving: Option<TopicMove>,
    /// Where it was before it moved, the last at the end: storage that is still kept.
    pub former: Vec<Placement>,
}

impl TopicInfo {
    pub(crate) const fn new(
        status: TopicStatus,
        placement: Placement,
        name: TopicName,
        created_at: Timestamp,
        created_position: Position,
        configured_at: Position,
    ) -> Self {
        Self {
            name,
            status,
            placement,
            created_at,
            created_position,
            configured_at,
            moving: None,
            former: Vec::new(),
        }
    }
}
