//! A rebuild, as who has asked for it sees it.

use std::{fmt, sync::Arc};

use tokio::sync::oneshot;

use super::board::{Board, TopicProgress, stopped};
use crate::{EventStore, Result};

/// A read model that is built anew beside the one that is read. It goes on where this is dropped.
pub struct Rebuild {
    store: EventStore,
    board: Arc<Board>,
    done: oneshot::Receiver<Result<()>>,
}

impl Rebuild {
    pub(super) const fn new(
        store: EventStore,
        board: Arc<Board>,
        done: oneshot::Receiver<Result<()>>,
    ) -> Self {
        Self { store, board, done }
    }

    /// How far it has come in each topic.
    pub async fn progress(&self) -> Vec<TopicProgress> {
        self.board.progress(&self.store).await
    }

    /// Waits until it is in the place of the one before.
    ///
    /// # Errors
    /// Where it was not: the one before goes on.
    pub async fn finished(self) -> Result<()> {
        match self.done.await {
            Ok(done) => done,
            Err(_) => Err(stopped(self.board.name(), None)),
        }
    }
}

impl fmt::Debug for Rebuild {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rebuild")
            .field("positions", &self.board.positions())
            .finish_non_exhaustive()
    }
}
