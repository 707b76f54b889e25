//! Who may have written each event.
//!
//! Of several attempts at the same append one has written it. Where one was told so, it is that one.
//! Else it is one of those that were told nothing; attempts with some of the events of another may
//! leave open which of them it was, and then all are kept in mind.

use super::{record::NEVER, view::index};

/// The events that an attempt has written, if it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    pub(super) first: u64,
    pub(super) last: u64,
    /// When it began.
    pub(super) begin: u64,
    /// Its place in the list of attempts.
    pub(super) attempt: usize,
}

impl Span {
    pub(super) fn has(&self, place: u64) -> bool {
        (self.first..=self.last).contains(&place)
    }
}

/// Events that one or several of some attempts have written.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) first: u64,
    pub(super) last: u64,
    /// Each of its events is in one of them at least.
    pub(super) writers: Vec<Span>,
}

#[derive(Debug)]
pub(super) struct Writers {
    pub(super) runs: Vec<Run>,
    /// Attempts that were told that they have written what another was told to have written.
    pub(super) again: Vec<usize>,
    /// When those who may have written it began, for each event; never where nobody may have.
    pub(super) begins: Vec<u64>,
    /// The last event of its append, for each event; the nearest where several are possible.
    pub(super) ends: Vec<u64>,
}

impl Writers {
    /// Finds out who wrote what, in a log of so many events, of those that were told that they did
    /// and those that were told nothing.
    pub(super) fn of(events: usize, mut told: Vec<Span>, mut untold: Vec<Span>) -> Self {
        let mut writers = Self {
            runs: Vec::with_capacity(told.len()),
            again: Vec::new(),
            begins: vec![NEVER; events],
            ends: vec![NEVER; events],
        };
        told.sort_unstable_by_key(|span| (span.begin, *span));
        for span in told {
            if writers.is_free(span) {
                writers.add(vec![span]);
            } else {
                writers.again.push(span.attempt);
            }
        }
        untold.retain(|span| writers.is_free(*span));
        untold.sort_unstable();
        let mut together: Vec<Span> = Vec::new();
        let mut last = 0;
        for span in untold {
            if span.first > last {
                writers.add(std::mem::take(&mut together));
            }
            last = span.last.max(last);
            together.push(span);
        }
        writers.add(together);
        writers
    }

    fn is_free(&self, span: Span) -> bool {
        (span.first..=span.last).all(|place| self.begins[index(place - 1)] == NEVER)
    }

    fn add(&mut self, writers: Vec<Span>) {
        let first = writers.iter().map(|span| span.first).min();
        let last = writers.iter().map(|span| span.last).max();
        let (Some(first), Some(last)) = (first, last) else {
            return;
        };
        for span in &writers {
            for place in span.first..=span.last {
                let event = index(place - 1);
                self.begins[event] = span.begin.min(self.begins[event]);
                self.ends[event] = span.last.min(self.ends[event]);
            }
        }
        self.runs.push(Run {
            first,
            last,
            writers,
        });
    }
}
