//! Where a topic's head can have been at a moment.
//!
//! An event cannot be there before somebody began to append it, nor before those ahead of it; it is
//! there once it was acknowledged or seen, and so are those ahead of it. So at every moment the
//! head lies between two places, which are found by bisection.

use super::{record::NEVER, view::index};

/// What is known of single events, by place; the first is that of place 1.
#[derive(Debug)]
pub(super) struct Marks {
    /// When somebody began to append it; 0 where nobody is known to.
    pub(super) born: Vec<u64>,
    /// When it was first acknowledged.
    pub(super) acked: Vec<u64>,
    /// When somebody first had seen it.
    pub(super) seen: Vec<u64>,
    /// The place of the last event of its append.
    pub(super) ends: Vec<u64>,
}

impl Marks {
    pub(super) fn new(events: usize) -> Self {
        Self {
            born: vec![0; events],
            acked: vec![NEVER; events],
            seen: vec![NEVER; events],
            ends: (1..=events as u64).collect(),
        }
    }

    /// Marks that the topic had its head here, or beyond, at a moment.
    pub(super) fn see(&mut self, place: u64, at: u64) {
        earlier(&mut self.seen, place, at);
    }

    pub(super) fn acknowledge(&mut self, place: u64, at: u64) {
        earlier(&mut self.acked, place, at);
    }
}

fn earlier(times: &mut [u64], place: u64, at: u64) {
    let time = place.checked_sub(1).and_then(|n| times.get_mut(index(n)));
    if let Some(time) = time {
        *time = at.min(*time);
    }
}

#[derive(Debug)]
pub(super) struct Bounds {
    /// The moment from which each event can have been there.
    born: Vec<u64>,
    /// The moments at which each event was acknowledged, or was known in any way, at the latest.
    acked: Vec<u64>,
    known: Vec<u64>,
    ends: Vec<u64>,
}

impl Bounds {
    pub(super) fn new(marks: Marks) -> Self {
        let Marks {
            mut born,
            acked,
            mut seen,
            ends,
        } = marks;
        let mut latest = 0;
        for time in &mut born {
            latest = latest.max(*time);
            *time = latest;
        }
        for ((seen, acked), born) in seen.iter_mut().zip(&acked).zip(&born) {
            // What cannot have been seen is told of him who saw it, and proves nothing to others.
            *seen = if *seen < *born {
                *acked
            } else {
                *acked.min(seen)
            };
        }
        Self {
            born,
            acked: from_behind(acked),
            known: from_behind(seen),
            ends,
        }
    }

    /// The least head that a call which begins now must find, by what was acknowledged.
    pub(super) fn acked_before(&self, now: u64) -> u64 {
        self.acked.partition_point(|&time| time < now) as u64
    }

    /// The same, by what was acknowledged or seen.
    pub(super) fn known_before(&self, now: u64) -> u64 {
        self.known.partition_point(|&time| time < now) as u64
    }

    /// The greatest head that a call which ends now can have found.
    pub(super) fn born_by(&self, now: u64) -> u64 {
        self.born.partition_point(|&time| time <= now) as u64
    }

    /// The heads that a call can have found.
    pub(super) fn heads(&self, begin: u64, end: u64) -> (u64, u64) {
        (self.known_before(begin), self.born_by(end))
    }

    /// When everything up to a place can have been there first.
    pub(super) fn born_at(&self, place: u64) -> u64 {
        let time = place.checked_sub(1).and_then(|n| self.born.get(index(n)));
        time.copied().unwrap_or(0)
    }

    /// The first end of an append at or after a head.
    pub(super) fn end_of(&self, head: u64) -> u64 {
        let end = head.checked_sub(1).and_then(|n| self.ends.get(index(n)));
        end.copied().unwrap_or(head)
    }

    /// Whether an append ends at one of these heads, so that a reader may find that head.
    pub(super) fn can_be_head(&self, (first, last): (u64, u64)) -> bool {
        first <= last && self.end_of(first) <= last
    }
}

/// The least of each time and those after it.
fn from_behind(mut times: Vec<u64>) -> Vec<u64> {
    let mut least = NEVER;
    for time in times.iter_mut().rev() {
        least = least.min(*time);
        *time = least;
    }
    times
}

/// What two ranges of heads have in common.
pub(super) fn both(one: (u64, u64), other: (u64, u64)) -> (u64, u64) {
    (one.0.max(other.0), one.1.min(other.1))
}
