//! What holds for a log whatever was asked: no gaps, no id twice, times that do not go back.

use std::collections::{HashMap, HashSet};

use annals::{STREAM_DELETED, STREAM_RESTORED};

use super::{
    record::State,
    rule::{Findings, Rule},
    view::View,
};

/// Checks a log by itself, and tells whether its positions are those that they have to be: where
/// they are not, nothing can be said of who saw what.
pub(super) fn check(topic: &str, view: &View<'_>, findings: &mut Findings) -> bool {
    let mut sound = true;
    let mut ids = HashSet::with_capacity(view.events.len());
    let mut streams: HashMap<&str, State> = HashMap::new();
    let mut latest = None;
    for (event, place) in view.events.iter().zip(1_u64..) {
        let at = event.position;
        if at.get() != place {
            sound = false;
            findings.add(Rule::PositionGap, topic, || {
                format!("event {place} of the log has position {at}")
            });
        }
        if !ids.insert(event.id) {
            let id = event.id;
            findings.add(Rule::IdTwice, topic, || format!("{id} again at {at}"));
        }
        if event.topic.as_str() != topic {
            let of = &event.topic;
            findings.add(Rule::WrongTopic, topic, || {
                format!("the event at {at} says that it is of {of:?}")
            });
        }
        if latest > Some(event.recorded_at) {
            findings.add(Rule::TimeBack, topic, || {
                format!("{at} was recorded before the event ahead of it")
            });
        }
        latest = Some(event.recorded_at);
        let stream = event.stream.as_str();
        let state = streams.entry(stream).or_default();
        state.version += 1;
        if event.version.get() != state.version {
            let (is, due) = (event.version, state.version);
            findings.add(Rule::VersionGap, topic, || {
                format!("the event at {at} has version {is} of {stream:?}, {due} is due")
            });
        }
        let event_type = event.event_type.as_str();
        if state.deleted != (event_type == STREAM_RESTORED) {
            let was = if state.deleted { "" } else { "not " };
            findings.add(Rule::DeletedStreamGrew, topic, || {
                format!("{stream:?}, which was {was}deleted, took a {event_type} at {at}")
            });
        }
        state.deleted = event_type == STREAM_DELETED;
    }
    sound
}
