//! A topic as its writer asks it: what is new is mostly known to be from the summary, so that only
//! the parts that the summary does not cover are asked one by one.

mod summary;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Weak};

use uuid::Uuid;

use self::summary::{Covering, Summary};
use super::{
    log::{Log, Published},
    part::{FilePart, PartView},
    writer::{Request, Writer},
};
use crate::{
    models::{EventFilter, Position, RecordedEvent, Result, StreamId, StreamState, TopicName},
    repository::{
        LogView,
        parts::{Part, Parts, Probe},
    },
};

/// After so many appends a topic gets a summary.
const DUE: usize = 64;
/// As many parts are asked one by one, beside those in memory, without that being worth a change.
const FEW: usize = 1;

/// Which parts the writer asks. It looks at what is published before each group.
#[derive(Debug, Default)]
pub(super) struct Search {
    summary: Arc<Summary>,
    covering: Option<Arc<Covering>>,
    /// The parts that it has seen, which are not to be kept for that.
    seen: Option<Weak<[Arc<FilePart>]>>,
    /// Which of them are not covered, by number.
    uncovered: Vec<usize>,
    /// Appends since the parts or the summary have changed.
    asked: usize,
}

impl Search {
    /// Takes notice of what is published now. Has the summary extended where that is due.
    pub(super) fn look(&mut self, writer: &Writer, log: &Log, published: &Published, asked: usize) {
        let covering = self.summary.now();
        let parts = Arc::downgrade(&published.parts);
        let same = self.seen.as_ref().is_some_and(|seen| seen.ptr_eq(&parts))
            && covering.as_ref().map(Arc::as_ptr) == self.covering.as_ref().map(Arc::as_ptr);
        if !same {
            let covered = |part: &FilePart| covering.as_ref().is_some_and(|now| now.covers(part));
            let all = published.parts.iter().enumerate();
            let uncovered = all.filter(|(_, part)| !covered(part));
            self.uncovered = uncovered.map(|(at, _)| at).collect();
            self.seen = Some(parts);
            self.covering = covering;
            self.asked = 0;
        }
        // Once for each change: where nothing came of it, nothing more would.
        let before = self.asked;
        self.asked = before.saturating_add(asked);
        if before < DUE && self.asked >= DUE {
            self.extend(writer, log, &published.parts);
        }
    }

    fn extend(&mut self, writer: &Writer, log: &Log, parts: &[Arc<FilePart>]) {
        let uncovered = self.uncovered.iter().filter_map(|at| parts.get(*at));
        if uncovered.filter(|part| part.is_stored()).count() <= FEW {
            return;
        }
        if !self.summary.begin() {
            self.asked = 0;
            return;
        }
        // Neither the log, which must be let go of as soon as it is closed, nor what is in memory.
        let stored = parts.iter().filter(|part| part.is_stored());
        let parts: Vec<_> = stored.cloned().collect();
        let (summary, files) = (Arc::clone(&self.summary), Arc::clone(&log.files));
        let extend = move || summary.extend(&parts, &files);
        if let Err(error) = writer.committer.workers.submit(extend) {
            tracing::warn!(topic = %log.topic, %error, "no thread to summarise index files with");
        }
    }

    /// Has the processor fetch what a group will ask the summary for, all at once: to wait for one
    /// after the other would take several times as long.
    pub(super) fn fetch(&self, group: &[Request]) {
        if let Some(covering) = &self.covering {
            let ids = group.iter().flat_map(Request::ids).map(Probe::new);
            covering.fetch(ids);
        }
    }

    /// Whether an id is in no part that is covered.
    fn rules_out_id(&self, id: &Probe<Uuid>) -> bool {
        let covering = self.covering.as_ref();
        covering.is_some_and(|covering| covering.rules_out_id(id))
    }

    /// The same of a stream.
    fn rules_out_stream(&self, stream: &Probe<&[u8]>) -> bool {
        let covering = self.covering.as_ref();
        covering.is_some_and(|covering| covering.rules_out_stream(stream))
    }
}

/// The topic at one moment of a group.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) log: &'a Log,
    /// What the search has looked at.
    pub(super) parts: &'a [Arc<FilePart>],
    pub(super) search: &'a Search,
    pub(super) head: Position,
    pub(super) sealed: bool,
    /// The end of the last segment, from this offset on, which is not in the file.
    pub(super) unwritten: (u64, &'a [u8]),
}

impl Asked<'_> {
    /// The first answer that any of the first `parts` gives, the newest asked first. Those that are
    /// covered need not be asked for what is ruled out.
    fn newest<T>(
        &self,
        parts: usize,
        ruled_out: impl FnOnce() -> bool,
        ask: impl Fn(PartView<'_>) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let ask = |at: usize| match self.parts.get(at) {
            Some(part) => ask(self.log.view(part)).transpose(),
            None => None,
        };
        let answer = if ruled_out() {
            let uncovered = self.search.uncovered.iter().rev();
            uncovered.filter(|at| **at < parts).find_map(|at| ask(*at))
        } else {
            (0..parts).rev().find_map(ask)
        };
        answer.transpose()
    }

    fn last(&self) -> Option<PartView<'_>> {
        self.parts.last().map(|part| self.log.view(part))
    }

    /// The state of a stream before the last part, in which it is not, and which is not asked.
    pub(super) fn stream_before_last(&self, stream: &Probe<&[u8]>) -> Result<StreamState> {
        let earlier = self.parts.len().saturating_sub(1);
        let ruled_out = || self.search.rules_out_stream(stream);
        let state = self.newest(earlier, ruled_out, |part| part.stream(stream, self.head))?;
        Ok(state.unwrap_or_default())
    }

    /// What is asked of all parts.
    fn all<T>(&self, question: impl FnOnce(&Parts<'_, PartView<'_>>) -> Result<T>) -> Result<T> {
        let mut views: Vec<_> = self.parts.iter().map(|part| self.log.view(part)).collect();
        if let Some(last) = views.last_mut() {
            last.unwritten = Some(self.unwritten);
        }
        question(&Parts {
            topic: &self.log.topic,
            parts: &views,
            head: self.head,
            sealed: self.sealed,
        })
    }
}

impl LogView for Asked<'_> {
    fn topic(&self) -> &TopicName {
        &self.log.topic
    }

    fn is_sealed(&self) -> bool {
        self.sealed
    }

    fn position_of(&self, id: Uuid) -> Result<Option<Position>> {
        let id = Probe::new(id);
        let ruled_out = || self.search.rules_out_id(&id);
        self.newest(self.parts.len(), ruled_out, |part| part.position_of(&id))
    }

    fn event_at(&self, position: Position) -> Result<RecordedEvent> {
        self.all(|parts| parts.event_at(position))
    }

    fn stream(&self, stream: &StreamId) -> Result<StreamState> {
        let stream = Probe::new(stream.as_str().as_bytes());
        // Most are in the last part, which is in memory.
        let last = self.last();
        match last.map_or(Ok(None), |last| last.stream(&stream, self.head))? {
            Some(state) => Ok(state),
            None => self.stream_before_last(&stream),
        }
    }

    fn first_match(&self, filter: &EventFilter, after: Position) -> Result<Option<Position>> {
        self.all(|parts| parts.first_match(filter, after))
    }
}
