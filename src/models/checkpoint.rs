//! How far a consumer has come, and who may go on.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Position, Timestamp};

/// How far a consumer has come, and who may go on: the record that [`Checkpoints`] keep.
///
/// [`Checkpoints`]: crate::repository::Checkpoints
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// How often the record was replaced; 0 where there is none. It tells whether it is still the one
    /// that was read.
    #[serde(skip)]
    pub revision: u64,
    /// The topic that the position is of: what tells it from one that has its name later.
    pub origin: String,
    /// The position up to which all was processed; none before the first start.
    pub position: Option<Position>,
    /// Counts those who held the lease. A write by an earlier one is refused.
    pub epoch: u64,
    /// Who holds the lease.
    pub holder: Option<Holder>,
    /// What the consumer keeps beside its position.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// Who holds the lease of a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The one instance of the consumer that may go on.
    pub owner: Uuid,
    /// When the lease is over, unless it is renewed.
    pub until: Timestamp,
}

/// A position that a consumer has processed all events up to, with what proves that it may say so:
/// what is written with a read model, in one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Commit {
    /// The consumer's key in its [`Checkpoints`](crate::repository::Checkpoints).
    pub consumer: String,
    /// The position.
    pub position: Position,
    /// The one instance of the consumer that may go on.
    pub owner: Uuid,
    /// Which lease it has.
    pub epoch: u64,
}
