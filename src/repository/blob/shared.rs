//! What all topics of a repository share.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::watch;

use super::{desk::Caches, objects::Objects, options::Settings};
use crate::models::Clock;

/// What all topics of a repository share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) objects: Objects,
    pub(super) caches: Caches,
    pub(super) settings: Settings,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) read_only: bool,
    /// What is to be known of the repository beside whether it is up.
    pub(super) notes: Vec<String>,
    /// Ends what runs beside the calls, also when it is dropped.
    pub(super) closed: watch::Sender<bool>,
}

/// A moment from which time is counted, also while the machine sleeps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    running: Instant,
    wall: SystemTime,
}

impl Moment {
    #[expect(
        clippy::disallowed_methods,
        reason = "it is not a time that anybody sees: it tells whether the machine slept"
    )]
    pub(super) fn now() -> Self {
        Self {
            running: Instant::now(),
            wall: SystemTime::now(),
        }
    }

    /// How long ago it was: the clock that runs on counts, and the one on the wall where that has
    /// gone further, since the first may stop while the machine sleeps.
    pub(super) fn elapsed(&self) -> Duration {
        let now = Self::now();
        let running = now.running.duration_since(self.running);
        let wall = now.wall.duration_since(self.wall).unwrap_or_default();
        running.max(wall)
    }

    pub(super) fn is_before(&self, other: Self) -> bool {
        self.running < other.running
    }
}
