//! Where a topic's events are.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Error, Result, Timestamp, TopicName,
    secrets::{mask, mask_options},
};

/// Settings of a topic that its adapter understands.
pub type Options = BTreeMap<String, String>;

/// Names the storage of one placement: a UUIDv7 of its own, so that a name used again, or a topic
/// moved, never meets old data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StorageId(Uuid);

impl StorageId {
    /// The storage of every configuration stream.
    pub const CONFIGURATION: Self =
        Self(Uuid::from_u128(0x0000_0000_0000_7000_8000_636f_6e66_6967));

    /// A new id.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that makes storage ids"
    )]
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// The id with this UUID.
    #[must_use]
    pub const fn new(id: Uuid) -> Self {
        Self(id)
    }

    /// The UUID.
    #[must_use]
    pub const fn uuid(self) -> Uuid {
        self.0
    }

    /// When the id was made, where it tells.
    #[must_use]
    pub fn created_at(self) -> Option<Timestamp> {
        let (seconds, nanos) = self.0.get_timestamp()?.to_unix();
        let micros = i64::try_from(seconds).ok()?.checked_mul(1_000_000)?;
        Some(Timestamp::from_micros(
            micros.checked_add(i64::from(nanos / 1000))?,
        ))
    }
}

impl fmt::Display for StorageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for StorageId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Uuid::parse_str(text)
            .map(Self)
            .map_err(|error| Error::Serialization {
                what: "a storage id".into(),
                source: Box::new(error),
            })
    }
}

/// Names one store: the configuration stream that it was first opened on. Storage belongs to the
/// store that made it, so that two stores in one repository leave each other's topics alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StoreId(Uuid);

impl StoreId {
    /// The owner of configuration streams, which belong to themselves.
    pub const NONE: Self = Self(Uuid::nil());

    /// A new id.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that makes store ids"
    )]
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// The id with this UUID.
    #[must_use]
    pub const fn new(id: Uuid) -> Self {
        Self(id)
    }

    /// The UUID.
    #[must_use]
    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a topic's events are: what the configuration stream says of it, and what a repository is
/// handed with every call.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// The topic whose events these are.
    pub topic: TopicName,
    /// The kind of repository.
    pub adapter: String,
    /// The repository's address as it was given: `${NAME}` stands in it unresolved.
    pub connection: String,
    /// Settings for the adapter.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: Options,
    /// The storage in the repository.
    pub storage: StorageId,
    /// The store to which the storage belongs.
    pub store: StoreId,
}

impl fmt::Debug for Placement {
    /// Secrets are masked.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Placement")
            .field("topic", &self.topic)
            .field("adapter", &self.adapter)
            .field("connection", &mask(&self.connection))
            .field("options", &mask_options(&self.options))
            .field("storage", &self.storage)
            .field("store", &self.store)
            .finish()
    }
}
