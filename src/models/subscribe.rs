//! Which events a subscription delivers, from where on, and what it tells.

use super::{EventFilter, Position, RecordedEvent};

/// Which events a subscription delivers, and from where on.
///
/// ```
/// # use annals::{EventFilter, Position, Subscribe};
/// let everything = Subscribe::from_start();
/// let resumed = Subscribe::after(Position::new(1000)).filter(EventFilter::all().types(["OrderPaid"]));
/// let of_one_stream = Subscribe::from_now().stream("order-42");
/// let the_same_as_after = Subscribe::from(Position::new(1000));
/// ```
#[derive(Clone, Debug)]
pub struct Subscribe(SubscribeParts);

/// What a [`Subscribe`] was told.
#[derive(Clone, Debug)]
pub(crate) struct SubscribeParts {
    pub(crate) from: Begin,
    pub(crate) stream: Option<String>,
    pub(crate) filter: EventFilter,
    pub(crate) behind: u64,
}

/// Where a subscription begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    After(Position),
    Now,
}

/// What a subscription tells, events among them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "nearly all of them are events")]
pub enum Signal {
    /// The next event.
    Event(RecordedEvent),
    /// All that is recorded up to this position was delivered, and what comes is new.
    CaughtUp(Position),
    /// More was recorded than the subscription allows before it counts as behind, or the repository
    /// cannot be reached, so that nobody knows. Delivery goes on where it was;
    /// [`Signal::CaughtUp`] follows when all is delivered.
    FellBehind(Position),
}

impl Subscribe {
    /// How many events may be recorded and not delivered before a subscription that had caught up
    /// counts as behind, unless it is told another number.
    pub const BEHIND: u64 = 1000;

    /// Every event of the topic: those that are recorded, and those that will be.
    #[must_use]
    pub fn from_start() -> Self {
        Self::after(Position::START)
    }

    /// Every event after this position: that of a checkpoint.
    #[must_use]
    pub fn after(position: Position) -> Self {
        Self::of(Begin::After(position))
    }

    /// Every event that is recorded after the call of `subscribe`.
    #[must_use]
    pub fn from_now() -> Self {
        Self::of(Begin::Now)
    }

    /// The same from after this position.
    pub(crate) const fn begin_after(mut self, position: Position) -> Self {
        self.0.from = Begin::After(position);
        self
    }

    fn of(from: Begin) -> Self {
        Self(SubscribeParts {
            from,
            stream: None,
            filter: EventFilter::all(),
            behind: Self::BEHIND,
        })
    }

    /// Only events of one stream, its deletion (`$stream-deleted`) and restoration included.
    #[must_use]
    pub fn stream(mut self, stream: impl Into<String>) -> Self {
        self.0.stream = Some(stream.into());
        self
    }

    /// Only events that match.
    #[must_use]
    pub fn filter(mut self, filter: EventFilter) -> Self {
        self.0.filter = filter;
        self
    }

    /// Counts as behind once more than this many events are recorded and not delivered.
    #[must_use]
    pub const fn behind_after(mut self, events: u64) -> Self {
        self.0.behind = events;
        self
    }

    pub(crate) fn into_parts(self) -> SubscribeParts {
        self.0
    }
}

impl From<Position> for Subscribe {
    /// As [`Subscribe::after`].
    fn from(position: Position) -> Self {
        Self::after(position)
    }
}
