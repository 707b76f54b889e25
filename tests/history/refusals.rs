//! Appends that were refused: each for a reason that was true at a moment of the call.

use super::{
    appends::{Appends, Attempt, Found},
    bounds::both,
    check::Topic,
    record::{AppendAnswer, Expected, Refusal, keyed_id},
    rule::{Findings, Rule, who},
};

pub(super) fn check<'a>(topic: &Topic<'a>, appends: &Appends<'a>, findings: &mut Findings) {
    for one in &appends.attempts {
        let AppendAnswer::Refused(refusal) = &one.call.answer else {
            continue;
        };
        let (justified, rule) = match refusal {
            Refusal::WrongVersion { .. } => {
                (wrong_version(topic, one, refusal), Rule::UnjustifiedVersion)
            }
            Refusal::ConditionFailed { position } => (
                condition_failed(topic, one, *position),
                Rule::UnjustifiedCondition,
            ),
            Refusal::StreamDeleted { stream } => {
                (stream_deleted(topic, one, stream), Rule::UnjustifiedDeleted)
            }
            Refusal::IdConflict { position } => (
                id_conflict(topic, one, *position),
                Rule::UnjustifiedConflict,
            ),
            Refusal::Sealed | Refusal::Other(_) => continue,
        };
        if justified {
            continue;
        }
        let conflict = rule == Rule::UnjustifiedConflict;
        let rule = if !conflict && is_known(topic, one) {
            Rule::RetryRefused
        } else {
            rule
        };
        findings.add(rule, topic.name, || {
            format!("{refusal:?}: {}", who(one.entry))
        });
    }
}

/// Whether the same append was known to be recorded before the call.
fn is_known(topic: &Topic<'_>, one: &Attempt<'_>) -> bool {
    let before = topic.bounds.known_before(one.entry.begin);
    matches!(one.found, Found::Whole(first) if first <= before)
}

/// The heads at which a refusal that comes after the look for ids can have been decided: those at
/// which none of the ids was recorded.
fn heads(topic: &Topic<'_>, one: &Attempt<'_>) -> (u64, u64) {
    let (from, to) = topic.bounds.heads(one.entry.begin, one.entry.end);
    let ids = one.call.events.iter().map(|event| event.id);
    let own = ids.filter_map(|id| topic.view.place_of(id)).min();
    (from, own.map_or(to, |own| to.min(own - 1)))
}

/// Whether expectations of an append can have been looked at when the head was one of these: the
/// streams that it writes to were not deleted then.
fn can_decide(topic: &Topic<'_>, one: &Attempt<'_>, heads: (u64, u64)) -> bool {
    let mut events = one.call.events.iter();
    topic.bounds.can_be_head(heads)
        && events.all(|event| topic.view.was(&event.stream, false, heads))
}

fn wrong_version(topic: &Topic<'_>, one: &Attempt<'_>, refusal: &Refusal) -> bool {
    let Refusal::WrongVersion {
        stream,
        expected,
        actual,
    } = refusal
    else {
        return false;
    };
    let admitted = match one.call.expected {
        Expected::Any => true,
        Expected::NoStream => *actual == 0,
        Expected::StreamExists => *actual > 0,
        Expected::Exact(version) => version == *actual,
    };
    let was = topic
        .view
        .heads_of_version(stream, *actual)
        .map(|was| both(was, heads(topic, one)));
    *stream == one.call.stream
        && *expected == one.call.expected
        && !admitted
        && was.is_some_and(|was| can_decide(topic, one, was))
}

fn condition_failed<'a>(topic: &Topic<'a>, one: &Attempt<'a>, position: u64) -> bool {
    let Some(unless) = &one.call.unless else {
        return false;
    };
    let stream = &one.call.stream;
    let (from, to) = heads(topic, one);
    let expected = topic.view.heads_of(stream, one.call.expected);
    let was = expected.map(|heads| both(heads, (from.max(position), to)));
    topic.view.first_match(&unless.filter, unless.after) == Some(position)
        && was.is_some_and(|was| can_decide(topic, one, was))
}

fn stream_deleted(topic: &Topic<'_>, one: &Attempt<'_>, stream: &str) -> bool {
    let mut events = one.call.events.iter();
    events.any(|event| event.stream == stream) && topic.view.was(stream, true, heads(topic, one))
}

fn id_conflict(topic: &Topic<'_>, one: &Attempt<'_>, position: u64) -> bool {
    let (from, to) = topic.bounds.heads(one.entry.begin, one.entry.end);
    let events = &one.call.events;
    let place = |id| topic.view.place_of(id);
    let key = one.call.key.as_deref();
    let beyond = key.and_then(|key| place(keyed_id(key, events.len() as u64)));
    let ids = events.iter().map(|event| place(event.id));
    let named = ids.chain([beyond]).flatten().any(|place| place == position);
    let conflict_at = |head: u64| {
        let recorded = |event: &&_| {
            let event: &super::record::Event = event;
            place(event.id).is_some_and(|place| place <= head)
        };
        let there = events.iter().filter(recorded).count();
        let more = beyond.is_some_and(|place| place <= head);
        let whole = matches!(one.found, Found::Whole(_)) && there == events.len();
        more || there > 0 && !whole
    };
    // The ids that are recorded only become more: if there was a conflict at any head of the call,
    // there is one at the first at which the event named was there, or at the last.
    let first = topic.bounds.end_of(from.max(position));
    named && position <= to && (first <= to && conflict_at(first) || conflict_at(to))
}
