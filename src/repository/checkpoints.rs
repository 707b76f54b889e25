//! Where consumers keep how far they have come: a register for each, with compare and swap.

use std::fmt;

use async_trait::async_trait;

use crate::models::{Checkpoint, Result};

/// Keeps the [`Checkpoint`]s of consumers.
///
/// All that makes consumers safe rests on [`replace`](Self::replace): of any number who replace what
/// they have read, one succeeds. So a lease can be taken once, and whoever lost it can write nothing.
#[async_trait]
pub trait Checkpoints: fmt::Debug + Send + Sync + 'static {
    /// The checkpoint of a consumer; [`Checkpoint::default`], with the revision 0, where there is
    /// none.
    ///
    /// # Errors
    /// Those of the place where they are kept.
    async fn load(&self, consumer: &str) -> Result<Checkpoint>;

    /// Replaces the checkpoint of a consumer if it still has the revision of `next`, and returns the
    /// new revision, which is greater. When it returns, the checkpoint survives a crash as the events
    /// of the place do.
    ///
    /// # Errors
    /// [`CheckpointConflict`](crate::Error::CheckpointConflict) where the revision is another one, or
    /// the position of the same origin would go back; nothing was written then.
    async fn replace(&self, consumer: &str, next: &Checkpoint) -> Result<u64>;
}
