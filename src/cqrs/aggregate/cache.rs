//! Aggregates that are kept in memory, the ones that were used last.

use std::sync::Arc;

use quick_cache::sync;

use super::load::Found;
use crate::Position;

/// Aggregates by their streams. What is kept is never changed, so that whoever has it can go on with it.
pub(super) struct Cache<A> {
    kept: sync::Cache<Arc<str>, Arc<Found<A>>>,
    /// Known where the cache is made, so that nobody else has to be able to clone an aggregate.
    copy: fn(&Found<A>) -> Found<A>,
}

impl<A: Clone> Cache<A> {
    pub(super) fn new(aggregates: usize) -> Self {
        Self {
            kept: sync::Cache::new(aggregates),
            copy: Clone::clone,
        }
    }
}

impl<A> Cache<A> {
    /// What is kept, if it is of the topic that was created there.
    pub(super) fn get(&self, stream: &str, created: Option<Position>) -> Option<Found<A>> {
        let kept = self.kept.get(stream)?;
        (kept.created == created).then(|| (self.copy)(&kept))
    }

    pub(super) fn keep(&self, stream: &str, found: &Found<A>) {
        let copy = (self.copy)(found);
        self.kept.insert(stream.into(), Arc::new(copy));
    }

    pub(super) fn forget(&self, stream: &str) {
        self.kept.remove(stream);
    }
}
