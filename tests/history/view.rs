//! The final log of a topic, indexed.
//!
//! A place is where an event is in the log, counted from 1. In a log without gaps it is the event's
//! position.

use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap},
    rc::Rc,
};

use annals::{RecordedEvent, STREAM_DELETED, STREAM_RESTORED};
use uuid::Uuid;

use super::record::{Ask, Expected, Filter, Item, digest};

/// Events that a filter matches, by place.
pub(super) type Matched = Rc<[u64]>;

#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) events: &'a [RecordedEvent],
    digests: Vec<u64>,
    by_id: HashMap<Uuid, u64>,
    streams: HashMap<&'a str, Vec<u64>>,
    types: HashMap<&'a str, Vec<u64>>,
    tags: HashMap<&'a str, Vec<u64>>,
    /// Where each stream was deleted or restored.
    changes: HashMap<&'a str, Vec<(u64, bool)>>,
    /// What was looked for already. Filters that are asked for again and again are evaluated once.
    matched: RefCell<HashMap<(Option<&'a str>, &'a Filter), Matched>>,
}

impl<'a> View<'a> {
    pub(super) fn new(events: &'a [RecordedEvent]) -> Self {
        let mut view = Self {
            events,
            digests: events.iter().map(digest).collect(),
            by_id: HashMap::with_capacity(events.len()),
            streams: HashMap::new(),
            types: HashMap::new(),
            tags: HashMap::new(),
            changes: HashMap::new(),
            matched: RefCell::default(),
        };
        for (event, place) in events.iter().zip(1..) {
            view.by_id.entry(event.id).or_insert(place);
            let (stream, event_type) = (event.stream.as_str(), event.event_type.as_str());
            view.streams.entry(stream).or_default().push(place);
            view.types.entry(event_type).or_default().push(place);
            for tag in event.tags.iter() {
                let places = view.tags.entry(tag).or_default();
                if places.last() != Some(&place) {
                    places.push(place);
                }
            }
            if event_type == STREAM_DELETED || event_type == STREAM_RESTORED {
                let deleted = event_type == STREAM_DELETED;
                view.changes
                    .entry(stream)
                    .or_default()
                    .push((place, deleted));
            }
        }
        view
    }

    pub(super) fn head(&self) -> u64 {
        self.events.len() as u64
    }

    pub(super) fn event(&self, place: u64) -> Option<&'a RecordedEvent> {
        self.events.get(index(place.checked_sub(1)?))
    }

    pub(super) fn digest(&self, place: u64) -> Option<u64> {
        self.digests.get(index(place.checked_sub(1)?)).copied()
    }

    pub(super) fn place_of(&self, id: Uuid) -> Option<u64> {
        self.by_id.get(&id).copied()
    }

    fn places(&self, stream: &str) -> &[u64] {
        self.streams.get(stream).map_or(&[], Vec::as_slice)
    }

    /// The version of a stream when the topic's head was here.
    pub(super) fn version_at(&self, stream: &str, head: u64) -> u64 {
        self.places(stream).partition_point(|&place| place <= head) as u64
    }

    /// Where a stream got this version.
    pub(super) fn place_of_version(&self, stream: &str, version: u64) -> Option<u64> {
        let places = self.places(stream);
        places.get(index(version.checked_sub(1)?)).copied()
    }

    /// The heads, first and last, at which a stream had this version.
    pub(super) fn heads_of_version(&self, stream: &str, version: u64) -> Option<(u64, u64)> {
        let first = match version {
            0 => 0,
            _ => self.place_of_version(stream, version)?,
        };
        let next = self.place_of_version(stream, version + 1);
        Some((first, next.map_or(self.head(), |next| next - 1)))
    }

    /// The heads at which a stream was as expected.
    pub(super) fn heads_of(&self, stream: &str, expected: Expected) -> Option<(u64, u64)> {
        match expected {
            Expected::Any => Some((0, self.head())),
            Expected::NoStream => self.heads_of_version(stream, 0),
            Expected::StreamExists => Some((self.place_of_version(stream, 1)?, self.head())),
            Expected::Exact(version) => self.heads_of_version(stream, version),
        }
    }

    /// Whether a stream was deleted (or was not) at any of these heads.
    pub(super) fn was(&self, stream: &str, deleted: bool, (first, last): (u64, u64)) -> bool {
        if first > last {
            return false;
        }
        let changes = self.changes.get(stream).map_or(&[][..], Vec::as_slice);
        let before = changes.partition_point(|(place, _)| *place <= first);
        let at_first = before.checked_sub(1).is_some_and(|last| changes[last].1);
        let later = changes[before..].iter();
        at_first == deleted
            || later
                .take_while(|(place, _)| *place <= last)
                .any(|(_, is)| *is == deleted)
    }

    /// The places after the first and up to the second of these that the bounds of a read leave.
    pub(super) fn span(&self, ask: &Ask) -> (u64, u64) {
        let (mut after, mut up_to) = (ask.after, ask.up_to);
        if let Some(stream) = &ask.stream {
            if ask.after_version > 0 {
                let place = self.place_of_version(stream, ask.after_version);
                after = after.max(place.unwrap_or(u64::MAX));
            }
            if let Some(next) = self.place_of_version(stream, ask.up_to_version.saturating_add(1)) {
                up_to = up_to.min(next - 1);
            }
        }
        (after, up_to)
    }

    /// The places of the events that match.
    pub(super) fn matched(&self, stream: Option<&'a str>, filter: &'a Filter) -> Matched {
        if let Some(known) = self.matched.borrow().get(&(stream, filter)) {
            return Rc::clone(known);
        }
        let mut places = Vec::new();
        for item in &filter.0 {
            self.add_matched(stream, item, &mut places);
        }
        if filter.0.len() > 1 {
            places.sort_unstable();
            places.dedup();
        }
        let matched: Matched = places.into();
        let mut known = self.matched.borrow_mut();
        known.insert((stream, filter), Rc::clone(&matched));
        matched
    }

    /// Adds the places that an item matches, looking only at those of its rarest criterion.
    fn add_matched(&self, stream: Option<&str>, item: &Item, out: &mut Vec<u64>) {
        let mut lists: Option<Vec<&[u64]>> = None;
        let mut offer = |offered: Vec<_>| {
            let size = |lists: &[&[u64]]| lists.iter().map(|list| list.len()).sum::<usize>();
            if lists
                .as_ref()
                .is_none_or(|best| size(&offered) < size(best))
            {
                lists = Some(offered);
            }
        };
        if let Some(stream) = stream {
            offer(vec![self.places(stream)]);
        }
        if !item.streams.is_empty() {
            let named: BTreeSet<_> = item.streams.iter().collect();
            offer(named.into_iter().map(|one| self.places(one)).collect());
        }
        if !item.types.is_empty() {
            let named: BTreeSet<_> = item.types.iter().collect();
            let list = |one: &String| self.types.get(one.as_str()).map_or(&[][..], Vec::as_slice);
            offer(named.into_iter().map(list).collect());
        }
        for tag in &item.tags {
            offer(vec![
                self.tags.get(tag.as_str()).map_or(&[][..], Vec::as_slice),
            ]);
        }
        let meant = |place: &u64| {
            self.event(*place).is_some_and(|event| {
                stream.is_none_or(|stream| stream == event.stream.as_str()) && item.admits(event)
            })
        };
        let begin = out.len();
        match lists {
            Some(lists) => {
                let several = lists.len() > 1;
                out.extend(lists.into_iter().flatten().copied().filter(meant));
                if several {
                    out[begin..].sort_unstable();
                }
            }
            None => out.extend((1..=self.head()).filter(meant)),
        }
    }

    /// The first event that matches after a position.
    pub(super) fn first_match(&self, filter: &'a Filter, after: u64) -> Option<u64> {
        let matched = self.matched(None, filter);
        let before = matched.partition_point(|place| *place <= after);
        matched.get(before).copied()
    }

    /// Every place at which a stream was deleted or restored, and which of them it was.
    pub(super) fn changes(&self) -> impl Iterator<Item = (&'a str, u64, bool)> {
        self.changes.iter().flat_map(|(stream, changes)| {
            let changes = changes.iter();
            changes.map(|(place, deleted)| (*stream, *place, *deleted))
        })
    }
}

pub(super) fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
