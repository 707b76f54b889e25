//! The sagas that have not ended, as far as the log was looked through: an id and a place each, and not
//! what they know.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::worker::Rest;
use crate::{Position, Timestamp};

/// How many sagas a runner has in hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SagaCounts {
    /// They do something, or will as soon as there is a place.
    pub running: u64,
    /// They wait for a timer, for a signal, or to try again.
    pub waiting: u64,
    /// They cannot go on by themselves.
    pub parked: u64,
    /// They were completed by this runner.
    pub completed: u64,
    /// They were compensated by this runner.
    pub compensated: u64,
}

#[derive(Debug)]
struct Entry {
    started: Position,
    doing: Doing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Queued,
    /// Whether something was recorded since that the worker may not know.
    Running {
        stale: bool,
    },
    Waiting(Timestamp),
    Parked,
}

/// All sagas in hand.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: HashMap<String, Entry>,
    queue: VecDeque<String>,
    timers: BTreeSet<(Timestamp, String)>,
    /// Where those were started that have not ended and are not in the list of those left behind.
    unfinished: BTreeSet<Position>,
    /// In the list of those left behind.
    listed: BTreeMap<String, Position>,
    counts: SagaCounts,
}

impl Table {
    /// A saga was started there, or restored.
    pub(super) fn started(&mut self, id: &str, position: Position) {
        if self.entries.contains_key(id) {
            // Whoever works on it may have found it deleted.
            return self.wake(id);
        }
        self.unfinished.insert(position);
        self.enter(id, position);
    }

    /// A saga was left behind, as the list says.
    pub(super) fn left_behind(&mut self, id: &str, position: Position) {
        self.listed.insert(id.to_owned(), position);
        self.enter(id, position);
    }

    fn enter(&mut self, id: &str, started: Position) {
        let doing = Doing::Queued;
        self.entries.insert(id.to_owned(), Entry { started, doing });
        self.queue.push_back(id.to_owned());
        self.counts.running += 1;
    }

    /// Something was recorded of a saga that may wake it.
    pub(super) fn wake(&mut self, id: &str) {
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        match entry.doing {
            Doing::Queued => {}
            Doing::Running { .. } => entry.doing = Doing::Running { stale: true },
            Doing::Waiting(_) | Doing::Parked => self.queue(id),
        }
    }

    fn queue(&mut self, id: &str) {
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        match entry.doing {
            Doing::Waiting(due) => {
                self.timers.remove(&(due, id.to_owned()));
                self.counts.waiting -= 1;
                self.counts.running += 1;
            }
            Doing::Parked => {
                self.counts.parked -= 1;
                self.counts.running += 1;
            }
            Doing::Queued | Doing::Running { .. } => {}
        }
        entry.doing = Doing::Queued;
        self.queue.push_back(id.to_owned());
    }

    /// Queues those whose time has come.
    pub(super) fn fire(&mut self, now: Timestamp) {
        while let Some((due, id)) = self.timers.first().cloned() {
            if due > now {
                return;
            }
            self.queue(&id);
        }
    }

    /// When the next one's time comes.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// How many wait for a place.
    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// The next one that is to be worked on.
    pub(super) fn take(&mut self) -> Option<String> {
        let id = self.queue.pop_front()?;
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.doing = Doing::Running { stale: false };
        }
        Some(id)
    }

    /// A saga was worked on until it came to rest.
    pub(super) fn rest(&mut self, id: &str, rest: Rest) {
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        let stale = entry.doing == Doing::Running { stale: true };
        match rest {
            Rest::Completed => self.counts.completed += 1,
            Rest::Compensated => self.counts.compensated += 1,
            Rest::Waits(_) | Rest::Parked | Rest::Gone if stale => return self.queue(id),
            Rest::Gone => {}
            Rest::Waits(until) => {
                entry.doing = Doing::Waiting(until);
                self.timers.insert((until, id.to_owned()));
                self.counts.running -= 1;
                self.counts.waiting += 1;
                return;
            }
            Rest::Parked => {
                entry.doing = Doing::Parked;
                self.counts.running -= 1;
                self.counts.parked += 1;
                return;
            }
        }
        self.counts.running -= 1;
        let started = entry.started;
        self.entries.remove(id);
        self.listed.remove(id);
        self.unfinished.remove(&started);
    }

    pub(super) const fn counts(&self) -> SagaCounts {
        self.counts
    }

    /// Up to where all sagas have ended or are in the list, where all up to `looked_to` are known.
    pub(super) fn settled(&self, looked_to: Position) -> Position {
        let first = self.unfinished.first();
        first.map_or(looked_to, |started| started.previous())
    }

    /// All that have not ended, for a list of those left behind; none where there are more than `most`.
    pub(super) fn list(&self, most: usize) -> Option<BTreeMap<String, Position>> {
        if self.entries.len() > most {
            return None;
        }
        let entries = self.entries.iter();
        Some(
            entries
                .map(|(id, entry)| (id.clone(), entry.started))
                .collect(),
        )
    }

    /// The list is recorded.
    pub(super) fn listed(&mut self, list: BTreeMap<String, Position>) {
        for position in list.values() {
            self.unfinished.remove(position);
        }
        self.listed = list;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It was forgotten: its worker had found it deleted, and was not back yet when it was restored.
    #[test]
    fn a_saga_that_is_restored_while_it_is_found_deleted_is_looked_at_again() {
        let mut table = Table::default();
        let (started, restored) = (Position::START.next(), Position::START.next().next());
        table.started("1", started);
        assert_eq!(table.take().as_deref(), Some("1"));
        table.started("1", restored);
        table.rest("1", Rest::Gone);
        assert_eq!(table.take().as_deref(), Some("1"));
        table.rest("1", Rest::Gone);
        assert_eq!(table.take(), None);
        assert_eq!(table.settled(restored), restored);
        assert_eq!(table.counts(), SagaCounts::default());
    }
}
