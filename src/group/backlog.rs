//! The events of one partition that are not done: which may be given, and how far all is done. Pure: it
//! knows no clock and no repository.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::Instant,
};

use crate::{Position, RecordedEvent, StreamId};

/// The events of one partition that are not done.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    entries: BTreeMap<Position, Entry>,
    /// The places of each stream, in order: only the first may be given.
    streams: HashMap<StreamId, VecDeque<Position>>,
    /// Up to where the partition has looked.
    read_to: Position,
    /// Tries of events that an earlier holder has told of.
    tried: BTreeMap<Position, u32>,
    /// What is done beyond something that is not.
    done: BTreeSet<Position>,
}

/// One event.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) event: RecordedEvent,
    pub(super) tries: u32,
    pub(super) state: State,
    pub(super) reason: String,
}

/// Where an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Waits,
    /// It waits for this moment, after it has failed.
    Rests(Instant),
    /// It is on its way to the user.
    Offered,
    /// The user has it, until then.
    Given(Instant),
}

impl Backlog {
    /// Nothing yet, after a position.
    pub(super) fn after(
        position: Position,
        tried: BTreeMap<Position, u32>,
        done: BTreeSet<Position>,
    ) -> Self {
        Self {
            read_to: position,
            tried,
            done,
            ..Self::default()
        }
    }

    pub(super) const fn read_to(&self) -> Position {
        self.read_to
    }

    /// It has looked up to here.
    pub(super) fn looked_to(&mut self, position: Position) {
        self.read_to = self.read_to.max(position);
    }

    /// Takes an event from its place, if it has not been there yet.
    pub(super) fn add(&mut self, place: Position, event: RecordedEvent) {
        if place <= self.read_to {
            return;
        }
        self.read_to = place;
        if self.done.contains(&place) {
            return;
        }
        let of_stream = self.streams.entry(event.stream.clone()).or_default();
        of_stream.push_back(place);
        let entry = Entry {
            event,
            tries: self.tried.remove(&place).unwrap_or_default(),
            state: State::Waits,
            reason: String::new(),
        };
        self.entries.insert(place, entry);
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Up to where all is done.
    pub(super) fn done_to(&self) -> Position {
        self.entries
            .first_key_value()
            .map_or(self.read_to, |(place, _)| place.previous())
    }

    /// What is done beyond that.
    pub(super) fn done_beyond(&self) -> BTreeSet<Position> {
        let from = self.done_to().next();
        self.done.range(from..).copied().collect()
    }

    /// The tries of events that are not done.
    pub(super) fn tries(&self) -> BTreeMap<Position, u32> {
        let tried = |(place, entry): (&Position, &Entry)| (*place, entry.tries);
        let now = self
            .entries
            .iter()
            .map(tried)
            .filter(|(_, tries)| *tries > 0);
        self.tried.clone().into_iter().chain(now).collect()
    }

    /// Whether the user has events, or they are on their way to him.
    pub(super) fn is_out(&self) -> bool {
        let out = |entry: &Entry| matches!(entry.state, State::Offered | State::Given(_));
        self.entries.values().any(out)
    }

    /// The first event that may be given: the first of its stream, and not resting.
    pub(super) fn next(&self, now: Instant) -> Option<Position> {
        self.entries
            .iter()
            .find(|(place, entry)| self.is_first(**place, entry) && entry.is_due(now))
            .map(|(place, _)| *place)
    }

    /// When something is to be done without being asked: an event will have rested, or is not answered.
    pub(super) fn alarm(&self, now: Instant) -> Option<Instant> {
        let moment = |entry: &Entry| match entry.state {
            State::Rests(until) if until > now => Some(until),
            State::Given(until) => Some(until),
            State::Rests(_) | State::Waits | State::Offered => None,
        };
        self.entries.values().filter_map(moment).min()
    }

    /// The events that were not answered in time.
    pub(super) fn overdue(&self, now: Instant) -> Vec<(Position, u32)> {
        let late = |entry: &Entry| matches!(entry.state, State::Given(until) if until <= now);
        let entries = self.entries.iter().filter(|(_, entry)| late(entry));
        entries
            .map(|(place, entry)| (*place, entry.tries))
            .collect()
    }

    /// The entry at a place, if this is still its try.
    pub(super) fn entry(&mut self, place: Position, tries: u32) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(&place)?;
        (entry.tries == tries).then_some(entry)
    }

    /// Begins a try of the event at a place.
    pub(super) fn offer(&mut self, place: Position) -> Option<(RecordedEvent, u32)> {
        let entry = self.entries.get_mut(&place)?;
        entry.tries = entry.tries.saturating_add(1);
        entry.state = State::Offered;
        Some((entry.event.clone(), entry.tries))
    }

    /// The event at a place is done.
    pub(super) fn done(&mut self, place: Position) {
        let Some(entry) = self.entries.remove(&place) else {
            return;
        };
        self.done.insert(place);
        self.done = self.done_beyond();
        if let Some(places) = self.streams.get_mut(&entry.event.stream) {
            places.retain(|one| *one != place);
            if places.is_empty() {
                self.streams.remove(&entry.event.stream);
            }
        }
    }

    fn is_first(&self, place: Position, entry: &Entry) -> bool {
        let of_stream = self.streams.get(&entry.event.stream);
        of_stream.and_then(VecDeque::front) == Some(&place)
    }
}

impl Entry {
    fn is_due(&self, now: Instant) -> bool {
        match self.state {
            State::Waits => true,
            State::Rests(until) => until <= now,
            State::Offered | State::Given(_) => false,
        }
    }
}
