//! A read after it was checked at the edge, and the pages that it gives.

use crate::models::{Direction, EventFilter, Position, RecordedEvent, StreamId, Version};

/// What a repository is to read. Bounds, filter and limit work together; the limit counts events
/// that match.
#[derive(Clone, Debug)]
pub struct ReadPlan {
    /// One stream, or all events of the topic.
    pub stream: Option<StreamId>,
    /// Which events.
    pub filter: EventFilter,
    /// Only events after this position.
    pub after: Position,
    /// Only events up to this position, itself included.
    pub up_to: Position,
    /// Only events after this version; for reads of one stream.
    pub after_version: Version,
    /// Only events up to this version, itself included; for reads of one stream.
    pub up_to_version: Version,
    /// The order.
    pub direction: Direction,
    /// At most this many events.
    pub limit: Option<u64>,
    /// Whether a stream that was deleted is read.
    pub include_deleted: bool,
}

impl ReadPlan {
    /// All events of a topic, forward, after a position.
    #[must_use]
    pub fn all_after(after: Position) -> Self {
        Self {
            stream: None,
            filter: EventFilter::all(),
            after,
            up_to: Position::MAX,
            after_version: Version::NONE,
            up_to_version: Version::MAX,
            direction: Direction::Forward,
            limit: None,
            include_deleted: false,
        }
    }
}

/// Some events of a read, in its order.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The events.
    pub events: Vec<RecordedEvent>,
    /// The position up to which the read has looked after this page. Forward, every event that
    /// matches and is at or below it has been given; backward, every one at or above it.
    pub looked_to: Position,
    /// Whether the placement was sealed when the page was made. Then the topic may have moved, and
    /// whoever reads looks for it anew.
    pub sealed: bool,
}
