//! What a read has to give, found out in the plainest way.

use std::collections::{HashMap, HashSet};

use crate::{
    models::{
        Direction, EventFilter, FilterItem, Position, RecordedEvent, STREAM_DELETED,
        STREAM_RESTORED, StreamId, StreamState, Version,
    },
    repository::{Page, ReadPlan},
};

/// The events that `plan` reads from a topic whose events are `log`, in its order.
#[must_use]
pub fn expected_events(log: &[RecordedEvent], plan: &ReadPlan) -> Vec<RecordedEvent> {
    let mut events: Vec<RecordedEvent> = log
        .iter()
        .filter(|event| is_meant(event, plan))
        .cloned()
        .collect();
    if plan.direction == Direction::Backward {
        events.reverse();
    }
    if let Some(limit) = plan.limit {
        events.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    }
    events
}

/// The first event of `log` after a position that matches.
#[must_use]
pub fn first_match(
    log: &[RecordedEvent],
    filter: &EventFilter,
    after: Position,
) -> Option<Position> {
    log.iter()
        .find(|event| event.position > after && matches(event, filter))
        .map(|event| event.position)
}

/// The state of a stream in a topic whose events are `log`.
pub(super) fn stream_state(log: &[RecordedEvent], stream: &StreamId) -> StreamState {
    let mut state = StreamState::default();
    for event in log.iter().filter(|event| event.stream == *stream) {
        state.version = event.version;
        match event.event_type.as_str() {
            STREAM_DELETED => state.deleted = true,
            STREAM_RESTORED => state.deleted = false,
            _ => {}
        }
    }
    state
}

/// Whether `plan`, its order and limit aside, means this event.
fn is_meant(event: &RecordedEvent, plan: &ReadPlan) -> bool {
    let in_stream = plan.stream.as_ref().is_none_or(|stream| {
        event.stream == *stream
            && event.version > plan.after_version
            && event.version <= plan.up_to_version
    });
    in_stream
        && event.position > plan.after
        && event.position <= plan.up_to
        && matches(event, &plan.filter)
}

/// Whether an event matches, written apart from the law of the models so that one checks the
/// other.
fn matches(event: &RecordedEvent, filter: &EventFilter) -> bool {
    filter.items().iter().any(|item| meets(event, item))
}

fn meets(event: &RecordedEvent, item: &FilterItem) -> bool {
    let tags: HashSet<&str> = event.tags.iter().collect();
    let of_type = item
        .types
        .iter()
        .any(|one| *one == event.event_type.as_str());
    let of_stream = item.streams.iter().any(|one| *one == event.stream.as_str());
    let prefix = item.stream_prefix.as_deref().unwrap_or("");
    let since = item.since.map_or(i64::MIN, |moment| moment.as_micros());
    let until = item.until.map_or(i64::MAX, |moment| moment.as_micros());
    (of_type || item.types.is_empty())
        && (of_stream || item.streams.is_empty())
        && event.stream.as_str().get(..prefix.len()) == Some(prefix)
        && item.tags.iter().all(|tag| tags.contains(&**tag))
        && (since..=until).contains(&event.recorded_at.as_micros())
}

/// Checks what holds for every whole log: positions and versions without gaps, times that do not
/// run backwards, and no id twice.
///
/// # Panics
/// Where it does not hold.
pub fn check_log(log: &[RecordedEvent]) {
    let mut versions: HashMap<&StreamId, Version> = HashMap::new();
    let mut ids = HashSet::new();
    let mut position = Position::START;
    let mut recorded_at = None;
    for event in log {
        position = position.next();
        assert_eq!(event.position, position, "positions have no gap");
        let version = versions.entry(&event.stream).or_default();
        *version = version.next();
        assert_eq!(
            event.version, *version,
            "versions of {:?} have no gap",
            event.stream
        );
        assert!(ids.insert(event.id), "the id {} is there once", event.id);
        assert!(
            recorded_at <= Some(event.recorded_at),
            "time runs backwards at {position}"
        );
        recorded_at = Some(event.recorded_at);
    }
}

/// Checks what pages of a read tell of how far it has looked. `log` is the topic at the moment of
/// the read.
pub(super) fn check_pages(log: &[RecordedEvent], plan: &ReadPlan, pages: &[Page]) {
    let unlimited = ReadPlan {
        limit: None,
        ..plan.clone()
    };
    let wanted = expected_events(log, &unlimited);
    let head = log.last().map_or(Position::START, |event| event.position);
    let mut given = 0;
    let mut before: Option<Position> = None;
    for page in pages {
        given += page.events.len();
        let looked_to = page.looked_to;
        assert!(
            looked_to <= head || plan.direction == Direction::Backward,
            "{plan:?} looked to {looked_to}, beyond the head {head}"
        );
        let (due, moved_on) = match plan.direction {
            Direction::Forward => (
                wanted.iter().filter(|e| e.position <= looked_to).count(),
                before.is_none_or(|before| before <= looked_to),
            ),
            Direction::Backward => (
                wanted.iter().filter(|e| e.position >= looked_to).count(),
                before.is_none_or(|before| before >= looked_to),
            ),
        };
        assert!(
            moved_on,
            "{plan:?} went back from {before:?} to {looked_to}"
        );
        assert_eq!(
            given, due,
            "{plan:?}: what was given and what is due when it has looked to {looked_to}"
        );
        before = Some(looked_to);
    }
    let limited = plan.limit.is_some_and(|limit| limit <= given as u64);
    assert!(
        limited || before.is_some(),
        "{plan:?} has no page to tell its end"
    );
    if limited || plan.stream.is_some() && plan.up_to_version != Version::MAX {
        return;
    }
    let end = plan.up_to.min(head);
    match (plan.direction, before) {
        (Direction::Forward, Some(last)) if plan.after <= end => {
            assert_eq!(last, end, "{plan:?} tells its end");
        }
        (Direction::Backward, Some(last)) if plan.after < end => {
            assert!(last <= plan.after.next(), "{plan:?} ended at {last}");
        }
        _ => {}
    }
}
