//! What is appended, what it expects, and what comes of it.

use std::fmt;

use uuid::Uuid;

use super::{EventFilter, NewEvent, Position, StreamState, Version};

/// The namespace of event ids that are made from idempotency keys (UUIDv5, RFC 9562).
const KEYS: Uuid = Uuid::from_u128(0x8c4f_1d0e_52b7_5b7e_9a36_616e_6e61_6c73);

/// The version that an append expects its stream to have.
///
/// A stream that was deleted takes no appends, whatever they expect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExpectedVersion {
    /// Any version.
    #[default]
    Any,
    /// The stream has no events.
    NoStream,
    /// The stream has events.
    StreamExists,
    /// The stream's last event has this version; `Exact(Version::NONE)` is `NoStream`.
    Exact(Version),
}

impl ExpectedVersion {
    /// The stream's last event has the version `number`.
    #[must_use]
    pub const fn exact(number: u64) -> Self {
        Self::Exact(Version::new(number))
    }

    /// Whether a stream in this state is as expected: the one law by which every repository
    /// checks.
    #[must_use]
    pub fn admits(self, stream: StreamState) -> bool {
        match self {
            Self::Any => true,
            Self::NoStream => !stream.exists(),
            Self::StreamExists => stream.exists(),
            Self::Exact(version) => stream.version == version,
        }
    }
}

impl From<Version> for ExpectedVersion {
    fn from(version: Version) -> Self {
        Self::Exact(version)
    }
}

impl fmt::Display for ExpectedVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("at any version"),
            Self::NoStream => f.write_str("to have no events"),
            Self::StreamExists => f.write_str("to have events"),
            Self::Exact(version) => write!(f, "at version {version}"),
        }
    }
}

/// Events to append together: all of them are recorded, or none.
///
/// Appending the same value again is safe: its events are recorded once, and the second call
/// returns the first receipt as a duplicate.
///
/// ```
/// # use annals::{Append, EventFilter, ExpectedVersion, NewEvent, Position};
/// # use serde_json::json;
/// let append = Append::new([NewEvent::json("SeatReserved", &json!({ "seat": "12A" }))?.tag("seat:12A")])
///     .stream("booking-9")
///     .expected(ExpectedVersion::NoStream)
///     .unless(EventFilter::all().tags(["seat:12A"]), Position::START)
///     .idempotency_key("request-77");
/// # Ok::<(), annals::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Append {
    pub(crate) events: Vec<NewEvent>,
    pub(crate) stream: String,
    pub(crate) expected: ExpectedVersion,
    pub(crate) condition: Option<(EventFilter, Position)>,
    pub(crate) key: Option<String>,
}

impl Append {
    /// Appends `events`, in this order, to the topic's default stream.
    pub fn new(events: impl IntoIterator<Item = NewEvent>) -> Self {
        Self {
            events: events.into_iter().collect(),
            stream: String::new(),
            expected: ExpectedVersion::Any,
            condition: None,
            key: None,
        }
    }

    /// Appends to this stream.
    #[must_use]
    pub fn stream(mut self, stream: impl Into<String>) -> Self {
        self.stream = stream.into();
        self
    }

    /// Refuses the append unless the stream is as expected.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<ExpectedVersion>) -> Self {
        self.expected = expected.into();
        self
    }

    /// Refuses the append if an event that matches `filter` is recorded after the position
    /// `after`: the dynamic consistency boundary of <https://dcb.events>.
    ///
    /// `after` is the position up to which the decision has looked, as
    /// [`EventStream::looked_to`](crate::EventStream::looked_to) tells it.
    #[must_use]
    pub fn unless(mut self, filter: EventFilter, after: Position) -> Self {
        self.condition = Some((filter, after));
        self
    }

    /// Gives the events ids that are made from `key`, so that an append with the same key is the
    /// same append, also where its events were made anew.
    ///
    /// A key belongs to one topic, is 1 to 512 bytes, and is not allowed together with events
    /// that have ids of the caller's.
    #[must_use]
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The id under which an event is recorded, counted from 0, of an append with this idempotency key.
    #[must_use]
    pub fn keyed_id(key: &str, index: u64) -> Uuid {
        keyed_ids(key)(index)
    }
}

/// [`Append::keyed_id`] for many events of one key.
pub(crate) fn keyed_ids(key: &str) -> impl FnMut(u64) -> Uuid + use<> {
    let mut name = Vec::with_capacity(key.len() + 9);
    name.extend_from_slice(key.as_bytes());
    name.push(0);
    let begin = name.len();
    move |index| {
        name.truncate(begin);
        name.extend_from_slice(&index.to_le_bytes());
        Uuid::new_v5(&KEYS, &name)
    }
}

impl From<NewEvent> for Append {
    fn from(event: NewEvent) -> Self {
        Self::new([event])
    }
}

impl From<Vec<NewEvent>> for Append {
    fn from(events: Vec<NewEvent>) -> Self {
        Self::new(events)
    }
}

impl<const N: usize> From<[NewEvent; N]> for Append {
    fn from(events: [NewEvent; N]) -> Self {
        Self::new(events)
    }
}

/// What came of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AppendReceipt {
    /// The position of its first event.
    pub first: Position,
    /// The position of its last event.
    pub last: Position,
    /// The version of the last of its events in the append's stream; where none of its events is
    /// in that stream, the version at which the stream is.
    pub version: Version,
    /// Whether the append had been recorded before, and nothing was written now. Where a topic moves, or
    /// a server crashes, a store may send an append again by itself, and find what it recorded then.
    pub duplicate: bool,
}

impl AppendReceipt {
    /// A receipt for events that were written at these positions.
    #[must_use]
    pub const fn new(first: Position, last: Position, version: Version) -> Self {
        Self {
            first,
            last,
            version,
            duplicate: false,
        }
    }

    /// The same receipt, for an append that had been recorded before.
    #[must_use]
    pub const fn duplicate(mut self) -> Self {
        self.duplicate = true;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_expectation_meets_every_state() {
        let none = StreamState::default();
        let two = StreamState::new(Version::new(2), false);
        let cases = [
            (ExpectedVersion::Any, true, true),
            (ExpectedVersion::NoStream, true, false),
            (ExpectedVersion::StreamExists, false, true),
            (ExpectedVersion::exact(0), true, false),
            (ExpectedVersion::exact(1), false, false),
            (ExpectedVersion::exact(2), false, true),
            (ExpectedVersion::exact(3), false, false),
        ];
        for (expected, of_none, of_two) in cases {
            assert_eq!(expected.admits(none), of_none, "{expected:?}");
            assert_eq!(expected.admits(two), of_two, "{expected:?}");
        }
    }
}
