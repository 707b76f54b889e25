//! Whether what a subscriber was given is an exact run of what is recorded.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::models::{EventFilter, Position, RecordedEvent, StreamId};

/// What a subscriber was given, from one position on: also over several subscriptions, one after the
/// other, each of which begins where the one before had come to.
///
/// It keeps eight bytes of each event, so that runs of many millions can be checked.
///
/// ```
/// # use annals::{EventFilter, Position, testing::Delivered};
/// # let (first, last) = (Position::START, Position::START);
/// # let (events, log) = (Vec::new(), Vec::new());
/// let mut delivered = Delivered::after(Position::START).of(EventFilter::all().types(["OrderPaid"]));
/// for event in &events {
///     delivered.take(event);
/// }
/// delivered.check(&log, last); // panics where it is not exactly what `log` has up to there
/// ```
#[derive(Clone, Debug)]
pub struct Delivered {
    after: Position,
    stream: Option<StreamId>,
    filter: EventFilter,
    last: Position,
    marks: Vec<u64>,
}

/// What was given, while it is compared with what is recorded.
#[derive(Debug)]
pub struct Comparison<'a> {
    delivered: &'a Delivered,
    compared: usize,
    recorded: Position,
}

impl Delivered {
    /// Nothing yet, of the events after this position.
    #[must_use]
    pub fn after(position: Position) -> Self {
        Self {
            after: position,
            stream: None,
            filter: EventFilter::all(),
            last: position,
            marks: Vec::new(),
        }
    }

    /// Of those that match only.
    #[must_use]
    pub fn of(mut self, filter: EventFilter) -> Self {
        self.filter = filter;
        self
    }

    /// Of those of one stream only.
    #[must_use]
    pub fn of_stream(mut self, stream: StreamId) -> Self {
        self.stream = Some(stream);
        self
    }

    /// Notes an event that was given.
    ///
    /// # Panics
    /// Where it does not come behind the one before, or was not asked for.
    pub fn take(&mut self, event: &RecordedEvent) {
        assert!(
            event.position > self.last,
            "{} was delivered behind {}",
            event.position,
            self.last
        );
        assert!(
            self.means(event),
            "{} was delivered, which nobody asked for: {event:?}",
            event.position
        );
        self.last = event.position;
        self.marks.push(mark(event));
    }

    /// How many events were given.
    #[must_use]
    pub fn count(&self) -> usize {
        self.marks.len()
    }

    /// The position of the event that was given last.
    #[must_use]
    pub const fn last(&self) -> Position {
        self.last
    }

    /// Checks that what was given is what `log` has up to this position, which is the whole topic or
    /// its beginning.
    ///
    /// # Panics
    /// Where it is not, with the first difference.
    pub fn check<'a>(&self, log: impl IntoIterator<Item = &'a RecordedEvent>, up_to: Position) {
        let mut comparison = self.comparison();
        for event in log.into_iter().take_while(|event| event.position <= up_to) {
            comparison.recorded(event);
        }
        comparison.finish(up_to);
    }

    /// Begins to compare what was given with what is recorded, event by event.
    #[must_use]
    pub const fn comparison(&self) -> Comparison<'_> {
        Comparison {
            delivered: self,
            compared: 0,
            recorded: Position::START,
        }
    }

    fn means(&self, event: &RecordedEvent) -> bool {
        event.position > self.after
            && self.stream.as_ref().is_none_or(|one| *one == event.stream)
            && self.filter.matches(event)
    }
}

impl Comparison<'_> {
    /// The next event of the topic, from its first one on.
    ///
    /// # Panics
    /// Where it was to be delivered and was not, or another one was in its place.
    pub fn recorded(&mut self, event: &RecordedEvent) {
        self.recorded = event.position;
        if !self.delivered.means(event) {
            return;
        }
        match self.delivered.marks.get(self.compared) {
            Some(given) => assert!(
                *given == mark(event),
                "delivery {} should have been the event {event:?}",
                self.compared
            ),
            None => panic!(
                "only {} events were delivered, and not {event:?}",
                self.compared
            ),
        }
        self.compared += 1;
    }

    /// The topic was compared up to this position.
    ///
    /// # Panics
    /// Where more was delivered, or less is recorded.
    pub fn finish(self, up_to: Position) {
        assert_eq!(self.recorded, up_to, "the log ends before the run");
        assert_eq!(
            self.delivered.marks.len(),
            self.compared,
            "more was delivered than is recorded up to {up_to}"
        );
    }
}

/// Eight bytes that tell an event from every other one.
fn mark(event: &RecordedEvent) -> u64 {
    let mut hasher = DefaultHasher::new();
    event.topic.as_str().hash(&mut hasher);
    event.position.hash(&mut hasher);
    event.stream.as_str().hash(&mut hasher);
    event.version.hash(&mut hasher);
    event.id.hash(&mut hasher);
    event.event_type.as_str().hash(&mut hasher);
    event.payload.hash(&mut hasher);
    event.content_type.as_str().hash(&mut hasher);
    event.metadata.hash(&mut hasher);
    event.tags.joined().hash(&mut hasher);
    event.recorded_at.as_micros().hash(&mut hasher);
    hasher.finish()
}
