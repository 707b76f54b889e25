//! Streams that are deleted and restored, and what is told of their state.

use std::collections::HashMap;

use super::{
    bounds::{Marks, both},
    check::Topic,
    record::{Call, Change, ChangeAnswer, ChangeCall, Entry, State},
    rule::{Findings, Rule, who},
    view::{View, index},
};

/// Who may have recorded changes of streams.
#[derive(Debug, Default)]
struct Changes<'a> {
    /// When those who were told that a change made this version began, and when the first of them
    /// was told. Some may only have found it.
    done: HashMap<(&'a str, Change, u64), (u64, u64)>,
    /// When the first of those who were told nothing began, and how many they are.
    unknown: HashMap<(&'a str, Change), (u64, usize)>,
}

impl<'a> Changes<'a> {
    fn of(entries: &[&'a Entry]) -> Self {
        let mut changes = Self::default();
        for (entry, call) in calls(entries) {
            let key = (call.stream.as_str(), call.change);
            match call.answer {
                ChangeAnswer::Done { version } => {
                    let times = changes.done.entry((key.0, key.1, version));
                    let times = times.or_insert((entry.begin, entry.end));
                    *times = (times.0.min(entry.begin), times.1.min(entry.end));
                }
                ChangeAnswer::Unknown => {
                    let unknown = changes.unknown.entry(key).or_insert((entry.begin, 0));
                    *unknown = (unknown.0.min(entry.begin), unknown.1 + 1);
                }
                ChangeAnswer::NotFound | ChangeAnswer::Refused(_) => {}
            }
        }
        changes
    }
}

fn calls<'a>(entries: &[&'a Entry]) -> impl Iterator<Item = (&'a Entry, &'a ChangeCall)> {
    entries.iter().filter_map(|entry| match &entry.call {
        Call::Change(call) => Some((*entry, call)),
        _ => None,
    })
}

const fn kind(deleted: bool) -> Change {
    if deleted {
        Change::Delete
    } else {
        Change::Restore
    }
}

pub(super) fn mark(entries: &[&Entry], view: &View<'_>, marks: &mut Marks) {
    let changes = Changes::of(entries);
    for (stream, place, deleted) in view.changes() {
        let version = view.version_at(stream, place);
        let change = kind(deleted);
        let done = changes.done.get(&(stream, change, version));
        let unknown = changes.unknown.get(&(stream, change));
        if let Some((_, end)) = done {
            marks.acknowledge(place, *end);
        }
        // One who was told may have found what one who was not told has made.
        let begins = [done.map(|times| times.0), unknown.map(|unknown| unknown.0)];
        marks.born[index(place - 1)] = begins.into_iter().flatten().min().unwrap_or(0);
    }
}

/// Checks that every change that is there was asked for, and every one that was told is there.
pub(super) fn check_presence(topic: &Topic<'_>, findings: &mut Findings) {
    let mut changes = Changes::of(&topic.entries);
    for (stream, place, deleted) in topic.view.changes() {
        let version = topic.view.version_at(stream, place);
        if changes.done.contains_key(&(stream, kind(deleted), version)) {
            continue;
        }
        let unknown = changes.unknown.get_mut(&(stream, kind(deleted)));
        match unknown {
            Some((_, left)) if *left > 0 => *left -= 1,
            _ => findings.add(Rule::Invented, topic.name, || {
                format!(
                    "nobody asked for the {:?} of {stream:?} at {place}",
                    kind(deleted)
                )
            }),
        }
    }
    for (entry, call) in calls(&topic.entries) {
        if let ChangeAnswer::Done { version } = call.answer
            && version > topic.view.version_at(&call.stream, u64::MAX)
        {
            findings.add(Rule::Lost, topic.name, || {
                format!("the {:?} of {:?}: {}", call.change, call.stream, who(entry))
            });
        }
    }
}

pub(super) fn check(topic: &Topic<'_>, findings: &mut Findings) {
    for entry in &topic.entries {
        match &entry.call {
            Call::Change(call) => check_change(topic, entry, call, findings),
            Call::State(call) => {
                let right = call
                    .answer
                    .is_none_or(|state| was(topic, entry, &call.stream, state));
                if !right {
                    findings.add(Rule::WrongState, topic.name, || {
                        format!("{call:?}: {}", who(entry))
                    });
                }
            }
            _ => {}
        }
    }
}

fn check_change(topic: &Topic<'_>, entry: &Entry, call: &ChangeCall, findings: &mut Findings) {
    let (rule, state) = match call.answer {
        ChangeAnswer::Done { version } => {
            let deleted = call.change == Change::Delete;
            (Rule::WrongState, State { version, deleted })
        }
        ChangeAnswer::NotFound => (Rule::UnjustifiedNotFound, State::default()),
        ChangeAnswer::Refused(_) | ChangeAnswer::Unknown => return,
    };
    if !was(topic, entry, &call.stream, state) {
        findings.add(rule, topic.name, || format!("{call:?}: {}", who(entry)));
    }
}

/// Whether a stream was in this state at a moment of the call.
fn was(topic: &Topic<'_>, entry: &Entry, stream: &str, state: State) -> bool {
    let heads = topic.bounds.heads(entry.begin, entry.end);
    let was = topic.view.heads_of_version(stream, state.version);
    was.map(|was| both(was, heads)).is_some_and(|was| {
        topic.bounds.can_be_head(was) && topic.view.was(stream, state.deleted, was)
    })
}
