//! Which events are meant: one filter for reads, subscriptions and append conditions.

use bytestring::ByteString;

use super::{RecordedEvent, Timestamp};

/// Which events are meant.
///
/// A filter has items; an event matches the filter where it matches **any** item, and it matches
/// an item where it meets **all** of the item's criteria. The filter [`EventFilter::all`] has one
/// item without criteria, which every event matches.
///
/// ```
/// # use annals::EventFilter;
/// // OrderPlaced or OrderPaid of customer 7, or whatever happened in stream order-42
/// let filter = EventFilter::all()
///     .types(["OrderPlaced", "OrderPaid"])
///     .tags(["customer:7"])
///     .or(EventFilter::all().streams(["order-42"]));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventFilter {
    items: Vec<FilterItem>,
}

/// One item of an [`EventFilter`]: criteria that an event has to meet together. An empty criterion
/// is met by every event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilterItem {
    /// The event's type is one of these.
    pub types: Vec<ByteString>,
    /// The event's stream is one of these.
    pub streams: Vec<ByteString>,
    /// The event's stream begins with this.
    pub stream_prefix: Option<ByteString>,
    /// The event has all of these tags.
    pub tags: Vec<ByteString>,
    /// The event was recorded at this moment or later.
    pub since: Option<Timestamp>,
    /// The event was recorded at this moment or earlier.
    pub until: Option<Timestamp>,
}

/// What a filter looks at in an event.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The stream.
    pub stream: &'a str,
    /// The type.
    pub event_type: &'a str,
    /// The tags.
    pub tags: &'a super::Tags,
    /// When it was recorded.
    pub recorded_at: Timestamp,
}

impl Default for EventFilter {
    fn default() -> Self {
        Self::all()
    }
}

impl EventFilter {
    /// Every event. Narrow it with the methods below.
    #[must_use]
    pub fn all() -> Self {
        Self {
            items: vec![FilterItem::default()],
        }
    }

    /// Only events of one of these types, in every item so far. Called twice, the types add up.
    #[must_use]
    pub fn types<T: Into<String>>(self, types: impl IntoIterator<Item = T>) -> Self {
        let types = texts(types);
        self.each(|item| item.types.extend_from_slice(&types))
    }

    /// Only events of one of these streams, in every item so far. Called twice, they add up.
    #[must_use]
    pub fn streams<T: Into<String>>(self, streams: impl IntoIterator<Item = T>) -> Self {
        let streams = texts(streams);
        self.each(|item| item.streams.extend_from_slice(&streams))
    }

    /// Only events of streams whose id begins with `prefix`, in every item so far.
    #[must_use]
    pub fn stream_prefix(self, prefix: impl Into<String>) -> Self {
        let prefix = ByteString::from(prefix.into());
        self.each(|item| item.stream_prefix = Some(prefix.clone()))
    }

    /// Only events that have all of these tags, in every item so far. Called twice, they add up.
    #[must_use]
    pub fn tags<T: Into<String>>(self, tags: impl IntoIterator<Item = T>) -> Self {
        let tags = texts(tags);
        self.each(|item| item.tags.extend_from_slice(&tags))
    }

    /// Only events recorded at this moment or later, in every item so far.
    #[must_use]
    pub fn recorded_since(self, since: Timestamp) -> Self {
        self.each(|item| item.since = Some(since))
    }

    /// Only events recorded at this moment or earlier, in every item so far.
    #[must_use]
    pub fn recorded_until(self, until: Timestamp) -> Self {
        self.each(|item| item.until = Some(until))
    }

    /// The events of this filter and those of `other`.
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        self.items.extend(other.items);
        self
    }

    /// The items, of which an event has to match one.
    #[must_use]
    pub fn items(&self) -> &[FilterItem] {
        &self.items
    }

    /// Whether every event matches, whatever it is.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.items.iter().any(|item| *item == FilterItem::default())
    }

    /// Whether `event` matches: the one law by which every repository filters.
    #[must_use]
    pub fn matches(&self, event: &RecordedEvent) -> bool {
        self.admits(Candidate {
            stream: event.stream.as_str(),
            event_type: event.event_type.as_str(),
            tags: &event.tags,
            recorded_at: event.recorded_at,
        })
    }

    /// Whether an event that looks like `candidate` matches.
    #[must_use]
    pub fn admits(&self, candidate: Candidate<'_>) -> bool {
        self.items.iter().any(|item| item.admits(candidate))
    }

    fn each(mut self, change: impl Fn(&mut FilterItem)) -> Self {
        self.items.iter_mut().for_each(change);
        self
    }
}

impl FilterItem {
    /// Whether an event that looks like `candidate` meets all criteria.
    #[must_use]
    pub fn admits(&self, candidate: Candidate<'_>) -> bool {
        (self.types.is_empty() || self.types.iter().any(|one| one == candidate.event_type))
            && (self.streams.is_empty() || self.streams.iter().any(|one| one == candidate.stream))
            && self
                .stream_prefix
                .as_ref()
                .is_none_or(|prefix| candidate.stream.starts_with(&**prefix))
            && self.tags.iter().all(|tag| candidate.tags.contains(tag))
            && self
                .since
                .is_none_or(|since| candidate.recorded_at >= since)
            && self
                .until
                .is_none_or(|until| candidate.recorded_at <= until)
    }
}

fn texts<T: Into<String>>(values: impl IntoIterator<Item = T>) -> Vec<ByteString> {
    values
        .into_iter()
        .map(|value| ByteString::from(value.into()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{super::Tags, *};

    fn admits(
        filter: &EventFilter,
        stream: &str,
        event_type: &str,
        tags: &[&str],
        at: i64,
    ) -> bool {
        filter.admits(Candidate {
            stream,
            event_type,
            tags: &Tags::join(tags).unwrap(),
            recorded_at: Timestamp::from_micros(at),
        })
    }

    #[test]
    fn criteria_of_an_item_are_met_together_and_items_apart() {
        let filter = EventFilter::all()
            .types(["A", "B"])
            .tags(["x", "y"])
            .or(EventFilter::all()
                .stream_prefix("order-")
                .recorded_since(Timestamp::from_micros(5)));
        assert!(admits(&filter, "s", "B", &["y", "z", "x"], 0));
        assert!(!admits(&filter, "s", "B", &["y"], 0));
        assert!(!admits(&filter, "s", "C", &["x", "y"], 0));
        assert!(admits(&filter, "order-1", "C", &[], 5));
        assert!(!admits(&filter, "order-1", "C", &[], 4));
    }

    #[test]
    fn a_filter_without_criteria_matches_everything() {
        assert!(EventFilter::all().is_all() && admits(&EventFilter::all(), "", "A", &[], 0));
        assert!(!EventFilter::all().streams([""]).is_all());
        assert!(admits(&EventFilter::all().streams([""]), "", "A", &[], 0));
        assert!(!admits(
            &EventFilter::all().recorded_until(Timestamp::from_micros(1)),
            "",
            "A",
            &[],
            2
        ));
    }
}
