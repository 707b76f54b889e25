//! Reads a topic that is a row of parts, page by page: the one way in which memory and file
//! repositories read.
//!
//! A filter that names streams, tags or types in each of its items is driven by the index; any
//! other read goes through all events. Either way each event is checked against the whole filter.

use crate::models::{
    Direction, Error, EventFilter, FilterItem, Position, RecordedEvent, Result, Version,
};

use super::{
    Page, ReadPlan,
    index::{Key, KeyKind, Span},
    parts::{Part, Parts},
};

/// The most events of a page.
pub(crate) const PAGE_EVENTS: usize = 2048;
/// A page is full when its events have this many bytes together.
pub(crate) const PAGE_BYTES: usize = 1 << 20;

/// A page that the index drives goes on to the next part until it has this many events.
const ENOUGH: usize = 256;

/// A read under way.
#[derive(Clone, Debug)]
pub(crate) struct Pager {
    plan: ReadPlan,
    /// For a read of one stream: the version of the last event that it can find.
    last_version: Option<Version>,
    /// What is still to be looked at.
    span: Span,
    left: u64,
    /// Where a read forward ends: fixed when it begins, since the topic may grow under it.
    end: Position,
    done: bool,
}

impl Pager {
    /// Begins a read of what is visible now.
    pub(crate) fn new<P: Part>(plan: ReadPlan, topic: &Parts<'_, P>) -> Result<Self> {
        let mut span = Span {
            after: plan.after,
            up_to: plan.up_to.min(topic.head),
            backward: plan.direction == Direction::Backward,
        };
        let mut last_version = None;
        if let Some(stream) = &plan.stream {
            let name = stream.as_str().as_bytes();
            let state = topic.stream_state(name)?;
            if state.deleted && !plan.include_deleted {
                return Err(Error::StreamDeleted {
                    stream: stream.clone(),
                });
            }
            if plan.after_version >= state.version || plan.up_to_version.get() == 0 {
                // Nothing of the stream is within the bounds, so all of the span is looked at.
                span.after = span.up_to;
            }
            last_version = Some(match plan.direction {
                Direction::Forward => state.version.min(plan.up_to_version),
                Direction::Backward => plan.after_version.next(),
            });
            if plan.after_version > Version::NONE
                && let Some(at) = topic.position_of_version(name, plan.after_version)?
            {
                span.after = span.after.max(at);
            }
            if plan.up_to_version < state.version
                && let Some(at) = topic.position_of_version(name, plan.up_to_version)?
            {
                span.up_to = span.up_to.min(at);
            }
        }
        let left = plan.limit.unwrap_or(u64::MAX);
        let end = plan.up_to.min(topic.head);
        Ok(Self {
            plan,
            last_version,
            span,
            left,
            end,
            done: false,
        })
    }

    /// Looks for the first event that matches after a position.
    pub(crate) fn for_filter(filter: EventFilter, after: Position, head: Position) -> Self {
        let plan = ReadPlan {
            filter,
            limit: Some(1),
            ..ReadPlan::all_after(after)
        };
        Self {
            plan,
            last_version: None,
            span: Span {
                after,
                up_to: head,
                backward: false,
            },
            left: 1,
            end: head,
            done: false,
        }
    }

    /// Whether all pages were given.
    pub(crate) const fn is_done(&self) -> bool {
        self.done
    }

    /// The next page; none after the last one.
    pub(crate) fn next<P: Part>(&mut self, topic: &Parts<'_, P>) -> Result<Option<Page>> {
        if self.done {
            return Ok(None);
        }
        let mut events = Vec::new();
        if self.left == 0 {
            self.done = true;
            return Ok(Some(Page {
                events,
                looked_to: self.looked_to(),
                sealed: topic.sealed,
            }));
        }
        while self.span.after < self.span.up_to {
            let Some(part) = topic.part_of(self.edge()) else {
                self.done = true;
                break;
            };
            let looked_to = self.look(part, &mut events)?;
            self.advance(looked_to);
            // A part in which the index finds little costs next to nothing, and is no page.
            let enough = events.len() >= ENOUGH || events.len() as u64 >= self.left;
            if enough || !self.has_drivers() || payload_bytes(&events) >= PAGE_BYTES {
                break;
            }
        }
        self.choose(&mut events);
        if self.left == 0 {
            self.done = true;
            let looked_to = events
                .last()
                .map_or(self.span.after, |event| event.position);
            return Ok(Some(Page {
                events,
                looked_to,
                sealed: topic.sealed,
            }));
        }
        self.done |= self.span.after >= self.span.up_to;
        let looked_to = if self.done {
            self.end()
        } else {
            self.looked_to()
        };
        Ok(Some(Page {
            events,
            looked_to,
            sealed: topic.sealed,
        }))
    }

    /// The position that is looked at next.
    const fn edge(&self) -> Position {
        if self.span.backward {
            self.span.up_to
        } else {
            self.span.after.next()
        }
    }

    const fn looked_to(&self) -> Position {
        if self.span.backward {
            self.span.up_to.next()
        } else {
            self.span.after
        }
    }

    /// Up to where a read that found nothing more has looked.
    fn end(&self) -> Position {
        if self.span.backward {
            self.plan.after.next()
        } else {
            self.end
        }
    }

    fn advance(&mut self, looked_to: Position) {
        if self.span.backward {
            self.span.up_to = looked_to.previous();
        } else {
            self.span.after = looked_to;
        }
    }

    /// Gets the next events of one part that may match, and tells up to where it has looked.
    fn look(&self, part: &impl Part, events: &mut Vec<RecordedEvent>) -> Result<Position> {
        let before = events.len();
        let span = Span {
            after: self.span.after.max(part.before()),
            up_to: self.span.up_to.min(part.last()),
            backward: self.span.backward,
        };
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .saturating_sub(before)
            .clamp(16, PAGE_EVENTS - before);
        let whole = if span.backward {
            span.after.next()
        } else {
            span.up_to
        };
        let (positions, all) = match self.drivers(part)? {
            Some(keys) => {
                let mut most = most;
                for key in &keys {
                    most = most.min(part.fitting(*key)?.max(16));
                }
                let positions = union(part, &keys, &span, most)?;
                let all = positions.len() < most;
                (positions, all)
            }
            None if span.backward => (last_of(&span, most), false),
            None => {
                let up_to = span.up_to.min(span.after.forward(most as u64));
                part.scan(&Span { up_to, ..span }, events)?;
                return Ok(events.last().map_or(whole, |event| event.position));
            }
        };
        if positions.is_empty() {
            return Ok(whole);
        }
        part.fetch(&positions, events)?;
        if self.is_last_of_stream(events.last()) {
            // What the stream has beyond is in no part.
            return Ok(if span.backward {
                self.span.after.next()
            } else {
                self.span.up_to
            });
        }
        if all && events.len() - before == positions.len() {
            return Ok(whole);
        }
        Ok(events.last().map_or(whole, |event| event.position))
    }

    /// Whether an event is the last that a read of one stream can find.
    fn is_last_of_stream(&self, event: Option<&RecordedEvent>) -> bool {
        matches!((self.last_version, event), (Some(last), Some(event)) if event.version == last)
    }

    /// Whether every item of the filter has keys, so that the index drives the read.
    fn has_drivers(&self) -> bool {
        let item = |item: &FilterItem| {
            !(item.streams.is_empty() && item.tags.is_empty() && item.types.is_empty())
        };
        self.plan.stream.is_some() || self.plan.filter.items().iter().all(item)
    }

    /// Keeps the events that match, up to the limit.
    fn choose(&mut self, events: &mut Vec<RecordedEvent>) {
        let plan = &self.plan;
        if plan.stream.is_some() || !plan.filter.is_all() {
            events.retain(|event| {
                plan.stream.as_ref().is_none_or(|stream| {
                    event.stream == *stream
                        && event.version > plan.after_version
                        && event.version <= plan.up_to_version
                }) && plan.filter.matches(event)
            });
        }
        if let Ok(left) = usize::try_from(self.left) {
            events.truncate(left);
        }
        self.left -= events.len() as u64;
    }

    /// The keys one of which every matching event has, if the filter gives any.
    fn drivers(&self, part: &impl Part) -> Result<Option<Vec<Key<'_>>>> {
        if let Some(stream) = &self.plan.stream {
            return Ok(Some(vec![Key::stream(stream.as_str().as_bytes())]));
        }
        let mut keys = Vec::new();
        for item in self.plan.filter.items() {
            if !add_drivers(item, part, &mut keys)? {
                return Ok(None);
            }
        }
        Ok(Some(keys))
    }
}

fn payload_bytes(events: &[RecordedEvent]) -> usize {
    events
        .iter()
        .map(|event| event.payload.len() + event.metadata.len())
        .sum()
}

/// Adds the keys one of which every event that matches `item` has; `false` where there are none.
fn add_drivers<'a>(
    item: &'a FilterItem,
    part: &impl Part,
    keys: &mut Vec<Key<'a>>,
) -> Result<bool> {
    if !item.streams.is_empty() {
        keys.extend(item.streams.iter().map(|text| Key::stream(text.as_bytes())));
        return Ok(true);
    }
    let mut rarest: Option<(usize, Key<'a>)> = None;
    for tag in &item.tags {
        let key = Key {
            kind: KeyKind::Tag,
            text: tag.as_bytes(),
        };
        let count = part.count(key)?;
        if rarest.is_none_or(|(least, _)| count < least) {
            rarest = Some((count, key));
        }
    }
    if let Some((_, key)) = rarest {
        keys.push(key);
        return Ok(true);
    }
    keys.extend(item.types.iter().map(|text| Key {
        kind: KeyKind::Type,
        text: text.as_bytes(),
    }));
    Ok(!item.types.is_empty())
}

/// The first, or last, `most` positions that have any of the keys, in the direction of the span.
///
/// The first `most` of a union are among the first `most` of each of its lists.
fn union(part: &impl Part, keys: &[Key<'_>], span: &Span, most: usize) -> Result<Vec<Position>> {
    let mut positions = Vec::new();
    for key in keys {
        positions.extend(part.postings(*key, span, most)?);
    }
    if keys.len() > 1 {
        positions.sort_unstable();
        positions.dedup();
    }
    if span.backward {
        positions.reverse();
    }
    positions.truncate(most);
    Ok(positions)
}

fn last_of(span: &Span, most: usize) -> Vec<Position> {
    let first = span
        .after
        .max(Position::new(span.up_to.get().saturating_sub(most as u64)));
    (first.get()..span.up_to.get())
        .rev()
        .map(|before| Position::new(before + 1))
        .collect()
}
