//! Decides who writes when: hands the topics of a directory that have something to write to one
//! thread, which makes the groups of all of them durable with one sync.
//!
//! A topic that is ready while nobody writes is written at once, and synced in its segment. Topics
//! that become ready meanwhile are written together in the next round, and synced in the journal.
//! A topic that would hold the others up, because much waits for it, or that need not wait for a
//! sync, goes to a thread of its own.

use std::{
    collections::VecDeque,
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use parking_lot::{Mutex, MutexGuard};

use super::{
    gather::Gather,
    group::{Core, Pending, Written},
    journal::{Entry, Journal},
    log::Log,
    workers::Workers,
    writer::{Rescue, Writer},
};

/// The most topics of one round.
const TOPICS: usize = 256;
/// A round is full when this many bytes wait for its topics.
const ROUND_BYTES: usize = 4 << 20;
/// A topic for which more bytes than this wait goes alone.
const ALONE_BYTES: usize = 256 << 10;

/// Who writes to a directory.
#[derive(Debug)]
pub(super) struct Committer {
    state: Mutex<State>,
    /// How many requests wait, in all topics.
    waiting: AtomicUsize,
    /// Locked by the thread that leads.
    gather: Mutex<Gather>,
    /// Locked by the thread that leads, and to close.
    pub(super) journal: Mutex<Journal>,
    pub(super) workers: Workers,
}

#[derive(Debug, Default)]
struct State {
    /// Topics that wait for the next round.
    ready: VecDeque<Arc<Log>>,
    /// Whether a thread leads.
    leading: bool,
}

/// A topic in a round, its writer locked until the round is over.
struct Turn<'a> {
    log: &'a Arc<Log>,
    writer: &'a Writer,
    core: MutexGuard<'a, Core>,
    pending: Pending,
    _rescue: Rescue<'a>,
}

impl Committer {
    pub(super) fn new(journal: Journal, workers: Workers) -> Self {
        Self {
            state: Mutex::default(),
            waiting: AtomicUsize::new(0),
            gather: Mutex::default(),
            journal: Mutex::new(journal),
            workers,
        }
    }

    /// Counts a request that waits from now on.
    pub(super) fn count(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts requests that were taken.
    pub(super) fn discount(&self, requests: usize) {
        self.waiting.fetch_sub(requests, Ordering::Relaxed);
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Takes a topic that has something to write into the next round.
    ///
    /// # Errors
    /// Where no thread is there to lead, and none can be started.
    pub(super) fn ready(self: &Arc<Self>, log: &Arc<Log>) -> io::Result<()> {
        let mut state = self.state.lock();
        state.ready.push_back(Arc::clone(log));
        if state.leading {
            return Ok(());
        }
        state.leading = true;
        drop(state);
        let leader = Arc::clone(self);
        self.workers.submit(move || leader.lead()).inspect_err(|_| {
            let mut state = self.state.lock();
            state.leading = false;
            state.ready.retain(|one| !Arc::ptr_eq(one, log));
        })
    }

    /// Writes round after round until no topic is ready.
    fn lead(self: &Arc<Self>) {
        let guard = Leading(self);
        loop {
            let round = self.take_round();
            if round.is_empty() {
                break;
            }
            self.write_round(&round);
            let rest: Vec<_> = round.into_iter().filter(|log| log.has_more()).collect();
            self.state.lock().ready.extend(rest);
        }
        drop(guard);
    }

    /// The topics of the next round. With none, nobody leads any more.
    fn take_round(&self) -> Vec<Arc<Log>> {
        let mut state = self.state.lock();
        let mut bytes = 0;
        let mut round = Vec::new();
        while round.len() < TOPICS && bytes < ROUND_BYTES {
            let Some(log) = state.ready.pop_front() else {
                break;
            };
            let waits = log.writer().map_or(0, Writer::waiting_bytes);
            if waits > ALONE_BYTES && log.write_apart().is_ok() {
                continue;
            }
            bytes += waits;
            round.push(log);
        }
        if round.is_empty() {
            state.leading = false;
        }
        round
    }

    fn write_round(self: &Arc<Self>, round: &[Arc<Log>]) {
        let turns: Vec<_> = round.iter().filter_map(Turn::begin).collect();
        let begin = Instant::now();
        // Alone, a topic is synced in its segment: that writes less.
        let shared = turns.len() > 1;
        let journaled = shared && {
            let entries: Vec<_> = turns.iter().filter_map(Turn::entry).collect();
            !entries.is_empty() && self.journal.lock().write(&entries)
        };
        let written: Vec<_> = turns.into_iter().map(|turn| turn.end(journaled)).collect();
        let took = begin.elapsed();
        let synced = journaled || written.iter().any(|one| one.synced);
        let requests: usize = written.iter().map(|one| one.outcomes.len()).sum();
        let clients = requests + self.waiting();
        written.into_iter().for_each(Written::answer);
        if synced {
            self.gather.lock().wait(clients, took, || self.waiting());
        }
    }
}

impl<'a> Turn<'a> {
    /// Decides on what waits for a topic, and writes it to its segment.
    fn begin(log: &'a Arc<Log>) -> Option<Self> {
        let writer = log.writer().ok()?;
        // A panic would be a fault of this library. It must not leave others waiting for ever.
        let rescue = Rescue(log, writer);
        let group = writer.take_group();
        if group.is_empty() {
            return None;
        }
        let mut core = writer.core.lock();
        let pending = core.begin(log, writer, group);
        Some(Self {
            log,
            writer,
            core,
            pending,
            _rescue: rescue,
        })
    }

    /// What the journal is to hold of it.
    fn entry(&self) -> Option<(Entry<'_>, &Path)> {
        let bytes = self.core.to_journal(&self.pending)?;
        let segment = &self.core.segment;
        let entry = Entry {
            storage: self.log.storage,
            segment: segment.first,
            offset: self.core.end - bytes.len() as u64,
            bytes,
        };
        Some((entry, &segment.path))
    }

    /// Makes it durable, where the journal did not, and visible. Nobody is told yet.
    fn end(self, journaled: bool) -> Written {
        let Self {
            log,
            writer,
            mut core,
            pending,
            _rescue,
        } = self;
        core.finish(log, writer, pending, journaled)
    }
}

/// Sees to it that others can lead after the one who did has panicked.
struct Leading<'a>(&'a Arc<Committer>);

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let left = {
                let mut state = self.0.state.lock();
                state.leading = false;
                state.ready.pop_front()
            };
            if let Some(log) = left
                && let Err(error) = self.0.ready(&log)
            {
                tracing::error!(%error, "no thread to write with");
            }
        }
    }
}
