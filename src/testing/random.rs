//! Random choices that are the same in every run.

use super::draft::Draft;
use crate::{
    models::{Direction, EventFilter, Position, Timestamp, Version},
    repository::ReadPlan,
};

use super::draft::stream_id;

/// A generator of random numbers (splitmix64) that is told where to begin.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

/// The words that random events and plans are made of. Few, so that they meet.
const STREAMS: [&str; 5] = ["", "a-1", "a-2", "b-1", "B-1"];
const TYPES: [&str; 4] = ["Opened", "Paid", "Closed", "closed"];
const TAGS: [&str; 4] = ["x:1", "x:2", "y", "x"];

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    pub(super) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub(super) fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        let index = self.below(words.len() as u64);
        words[usize::try_from(index).expect("an index is small")]
    }

    fn some<'a>(&mut self, words: &[&'a str]) -> Vec<&'a str> {
        let count = 1 + self.below(2);
        (0..count).map(|_| self.pick(words)).collect()
    }

    /// An append of one to four events to random streams.
    pub(super) fn draft(&mut self) -> Draft {
        let mut draft = Draft::to(self.pick(&STREAMS));
        for _ in 0..=self.below(4) {
            draft = draft.event(self.pick(&TYPES));
            if self.one_in(3) {
                draft = draft.in_stream(self.pick(&STREAMS));
            }
            if !self.one_in(3) {
                draft = draft.tags(&self.some(&TAGS));
            }
        }
        draft
    }

    /// A filter of one to three items over the same words, and over moments up to `span`
    /// microseconds after `begin`.
    pub(super) fn filter(&mut self, begin: Timestamp, span: u64) -> EventFilter {
        let mut filter = self.item(begin, span);
        while self.one_in(3) {
            filter = filter.or(self.item(begin, span));
        }
        filter
    }

    fn item(&mut self, begin: Timestamp, span: u64) -> EventFilter {
        let mut item = EventFilter::all();
        if self.one_in(2) {
            item = item.types(self.some(&TYPES));
        }
        if self.one_in(4) {
            item = item.streams(self.some(&STREAMS));
        }
        if self.one_in(4) {
            item = item.stream_prefix(self.pick(&["", "a", "a-", "a-1", "b", "c"]));
        }
        if self.one_in(3) {
            item = item.tags(self.some(&TAGS));
        }
        if self.one_in(5) {
            item = item.recorded_since(self.moment(begin, span));
        }
        if self.one_in(5) {
            item = item.recorded_until(self.moment(begin, span));
        }
        item
    }

    fn moment(&mut self, begin: Timestamp, span: u64) -> Timestamp {
        let after = i64::try_from(self.below(span.max(1))).expect("a span is small");
        Timestamp::from_micros(begin.as_micros() + after)
    }

    /// A read of a topic with this head.
    pub(super) fn plan(&mut self, head: u64, begin: Timestamp, span: u64) -> ReadPlan {
        let mut plan = ReadPlan::all_after(Position::START);
        if self.one_in(2) {
            plan.stream = Some(stream_id(self.pick(&[STREAMS[1], "", "b-1", "nobody"])));
            plan.include_deleted = !self.one_in(4);
            if self.one_in(3) {
                plan.after_version = Version::new(self.below(head / 3 + 1));
            }
            if self.one_in(3) {
                plan.up_to_version = Version::new(self.below(head / 2 + 1));
            }
        }
        if self.one_in(2) {
            plan.filter = self.filter(begin, span);
        }
        if self.one_in(3) {
            plan.after = Position::new(self.below(head + 3));
        }
        if self.one_in(3) {
            plan.up_to = Position::new(self.below(head + 3));
        }
        if self.one_in(2) {
            plan.direction = Direction::Backward;
        }
        if self.one_in(3) {
            plan.limit = Some(1 + self.below(9));
        }
        plan
    }
}
