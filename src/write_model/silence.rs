//! For how long moves are known here to stand still.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::models::{Position, TopicName};

/// When each topic that moves was first seen to do so since its mover has said last that it is at it.
///
/// The clock of who said it may be wrong, and so may ours: that nothing was said for long is known
/// without them, too.
#[derive(Debug, Default)]
pub(crate) struct MoveWatch(Mutex<HashMap<TopicName, (Position, Instant)>>);

impl MoveWatch {
    /// For how long the mover is known here to have said nothing.
    pub(crate) fn silence(&self, name: &TopicName, renewed: Position) -> Duration {
        let mut seen = self.0.lock();
        let seen = seen
            .entry(name.clone())
            .and_modify(|seen| {
                if seen.0 < renewed {
                    *seen = (renewed, Instant::now());
                }
            })
            .or_insert_with(|| (renewed, Instant::now()));
        seen.1.elapsed()
    }

    pub(crate) fn forget(&self, name: &str) {
        self.0.lock().remove(name);
    }
}
