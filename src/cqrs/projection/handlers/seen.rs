//! What is seen of a projection from outside: the generation that is read, and the one that is built.

use std::sync::Arc;

use parking_lot::RwLock;

use super::super::board::Board;

/// The generations that run.
pub(super) struct Seen {
    read: RwLock<(u64, Arc<Board>)>,
    building: RwLock<Option<(u64, Arc<Board>)>>,
}

impl Seen {
    /// Before any has begun.
    pub(super) fn new(board: Arc<Board>) -> Self {
        Self {
            read: RwLock::new((0, board)),
            building: RwLock::new(None),
        }
    }

    /// The generation that is read, 0 before it has begun.
    pub(super) fn current(&self) -> (u64, Arc<Board>) {
        self.read.read().clone()
    }

    pub(super) fn board(&self) -> Arc<Board> {
        self.current().1
    }

    /// The generation that is built.
    pub(super) fn building(&self) -> Option<(u64, Arc<Board>)> {
        self.building.read().clone()
    }

    /// A generation runs.
    pub(super) fn started(&self, generation: u64, board: &Arc<Board>) {
        let mut read = self.read.write();
        if Arc::ptr_eq(&read.1, board) {
            read.0 = generation;
        }
    }

    /// This generation is the one that is read.
    pub(super) fn read(&self, generation: u64, board: Arc<Board>) {
        *self.read.write() = (generation, board);
    }

    /// This one is built.
    pub(super) fn builds(&self, building: Option<(u64, Arc<Board>)>) {
        *self.building.write() = building;
    }
}
