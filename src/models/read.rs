//! Which events are read, and in which order.

use super::{EventFilter, Position, Version};

/// The order in which events are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// From the first to the last.
    #[default]
    Forward,
    /// From the last to the first.
    Backward,
}

/// Which events are read.
///
/// A read ends at the topic's last event at the moment when it begins. Bounds, filter and limit
/// work together: the limit counts events that match.
///
/// ```
/// # use annals::{EventFilter, Position, Read, Version};
/// let page = Read::all().after(Position::new(1000)).limit(100);
/// let newest = Read::stream("order-42").backward().limit(1);
/// let paid = Read::all().filter(EventFilter::all().types(["OrderPaid"]));
/// let rest = Read::stream("order-42").after_version(Version::new(7));
/// ```
#[derive(Clone, Debug)]
pub struct Read(ReadParts);

/// What a [`Read`] was told.
#[derive(Clone, Debug)]
pub(crate) struct ReadParts {
    pub(crate) stream: Option<String>,
    pub(crate) filter: EventFilter,
    pub(crate) after: Position,
    pub(crate) up_to: Position,
    pub(crate) after_version: Version,
    pub(crate) up_to_version: Version,
    pub(crate) direction: Direction,
    pub(crate) limit: Option<u64>,
    pub(crate) include_deleted: bool,
}

impl Read {
    /// All events of the topic, those of deleted streams and the store's own events (`$…`)
    /// included: the log as it is.
    #[must_use]
    pub fn all() -> Self {
        Self::of(None)
    }

    /// The events of one stream. A stream that was deleted is answered with
    /// [`Error::StreamDeleted`](crate::Error::StreamDeleted) unless [`Read::include_deleted`] is
    /// set; a stream that never was has no events.
    #[must_use]
    pub fn stream(stream: impl Into<String>) -> Self {
        Self::of(Some(stream.into()))
    }

    fn of(stream: Option<String>) -> Self {
        Self(ReadParts {
            stream,
            filter: EventFilter::all(),
            after: Position::START,
            up_to: Position::MAX,
            after_version: Version::NONE,
            up_to_version: Version::MAX,
            direction: Direction::Forward,
            limit: None,
            include_deleted: false,
        })
    }

    /// Only events after this position.
    #[must_use]
    pub const fn after(mut self, position: Position) -> Self {
        self.0.after = position;
        self
    }

    /// Only events up to this position, itself included.
    #[must_use]
    pub const fn up_to(mut self, position: Position) -> Self {
        self.0.up_to = position;
        self
    }

    /// Only events after this version. For reads of one stream.
    #[must_use]
    pub const fn after_version(mut self, version: Version) -> Self {
        self.0.after_version = version;
        self
    }

    /// Only events up to this version, itself included. For reads of one stream.
    #[must_use]
    pub const fn up_to_version(mut self, version: Version) -> Self {
        self.0.up_to_version = version;
        self
    }

    /// From the last event to the first.
    #[must_use]
    pub const fn backward(mut self) -> Self {
        self.0.direction = Direction::Backward;
        self
    }

    /// At most this many events.
    #[must_use]
    pub const fn limit(mut self, events: u64) -> Self {
        self.0.limit = Some(events);
        self
    }

    /// Only events that match.
    #[must_use]
    pub fn filter(mut self, filter: EventFilter) -> Self {
        self.0.filter = filter;
        self
    }

    /// Reads the history of a stream although it was deleted.
    #[must_use]
    pub const fn include_deleted(mut self) -> Self {
        self.0.include_deleted = true;
        self
    }

    pub(crate) const fn has_limit(&self) -> bool {
        self.0.limit.is_some()
    }

    pub(crate) fn into_parts(self) -> ReadParts {
        self.0
    }
}
