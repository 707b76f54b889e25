//! Moves. A topic that is moved stays the same topic, so all rules hold across a move as if there
//! were none; what is special is only what may be answered while one goes on.

use super::{
    check::Topic,
    record::{AppendAnswer, Call, Entry, MoveAnswer, NEVER, Refusal},
    rule::{Findings, Rule, who},
};

/// The times in which a topic may have been moved.
#[derive(Debug, Default)]
pub(super) struct Moves {
    /// Sorted by their begins.
    spans: Vec<(u64, u64)>,
    /// The latest end of each span and those before it.
    latest: Vec<u64>,
}

impl Moves {
    pub(super) fn of(entries: &[&Entry]) -> Self {
        let span = |entry: &&Entry| match entry.call {
            // A move that was refused has sealed the topic for a while nevertheless.
            Call::Move(MoveAnswer::Moved | MoveAnswer::Refused) => Some((entry.begin, entry.end)),
            Call::Move(MoveAnswer::Unknown) => Some((entry.begin, NEVER)),
            _ => None,
        };
        let mut spans: Vec<_> = entries.iter().filter_map(span).collect();
        spans.sort_unstable();
        let ends = spans.iter().scan(0, |latest: &mut u64, (_, end)| {
            *latest = (*latest).max(*end);
            Some(*latest)
        });
        Self {
            latest: ends.collect(),
            spans,
        }
    }

    /// Whether a move went on after this moment.
    pub(super) fn moved_after(&self, moment: u64) -> bool {
        self.latest.last().is_some_and(|end| *end > moment)
    }

    /// Whether a move went on at a moment of these.
    fn during(&self, begin: u64, end: u64) -> bool {
        let begun = self.spans.partition_point(|(start, _)| *start <= end);
        let last = begun.checked_sub(1).map(|last| self.latest[last]);
        last.is_some_and(|latest| latest >= begin)
    }
}

/// Checks that appends were told of a seal only while there was a move.
pub(super) fn check(topic: &Topic<'_>, findings: &mut Findings) {
    for entry in &topic.entries {
        let Call::Append(call) = &entry.call else {
            continue;
        };
        let sealed = call.answer == AppendAnswer::Refused(Refusal::Sealed);
        if sealed && !topic.moves.during(entry.begin, entry.end) {
            findings.add(Rule::SealedWithoutMove, topic.name, || who(entry));
        }
    }
}
