//! What was seen: each event by itself, and what it tells of the topic's head at the time.

use super::{
    bounds::Marks,
    check::Topic,
    record::{Call, ChangeAnswer, Entry, ReadAnswer, Seen},
    rule::{Findings, Rule, who},
    view::View,
};

/// Marks what clients have seen, as far as it is in the final log.
pub(super) fn mark(entries: &[&Entry], view: &View<'_>, marks: &mut Marks) {
    let mut see = |seen: &Seen, at| {
        if view.event(seen.position).is_some_and(|e| e.id == seen.id) {
            marks.see(seen.position, at);
        }
    };
    for entry in entries {
        match &entry.call {
            Call::Read(read) => {
                let ends = [read.seen.first(), read.seen.last()];
                ends.into_iter()
                    .flatten()
                    .for_each(|seen| see(seen, entry.end));
            }
            Call::Subscription(live) => {
                live.delivered.iter().for_each(|one| see(&one.seen, one.at));
            }
            _ => {}
        }
    }
    for entry in entries {
        match &entry.call {
            Call::Head(Some(head)) => marks.see(*head, entry.end),
            Call::State(call) => {
                let version = call.answer.map_or(0, |state| state.version);
                if let Some(place) = view.place_of_version(&call.stream, version) {
                    marks.see(place, entry.end);
                }
            }
            Call::Change(call) => {
                if let ChangeAnswer::Done { version } = call.answer
                    && let Some(place) = view.place_of_version(&call.stream, version)
                {
                    marks.see(place, entry.end);
                }
            }
            Call::Read(read) if !read.ask.backward && read.answer == ReadAnswer::Ended => {
                // A bound that was asked for may be told where the read cannot have looked so far.
                if let Some(to) = read.looked_to.filter(|to| *to > read.ask.after) {
                    marks.see(to, entry.end);
                }
            }
            _ => {}
        }
    }
}

/// Checks one event that was seen; tells whether it is there at all.
pub(super) fn examine(
    topic: &Topic<'_>,
    entry: &Entry,
    seen: &Seen,
    at: u64,
    findings: &mut Findings,
) -> bool {
    let Seen { position, id, .. } = *seen;
    let moved = if topic.moves.moved_after(at) {
        ", and the topic was moved since"
    } else {
        ""
    };
    if topic
        .view
        .event(position)
        .is_none_or(|event| event.id != id)
    {
        findings.add(Rule::SeenForeign, topic.name, || {
            format!(
                "{id} at {position} is not in the final log{moved}; {}",
                who(entry)
            )
        });
        return false;
    }
    if topic.view.digest(position) != Some(seen.digest) {
        let rule = if moved.is_empty() {
            Rule::SeenChanged
        } else {
            Rule::ChangedByMove
        };
        findings.add(rule, topic.name, || {
            format!(
                "{id} at {position} has other content in the final log{moved}; {}",
                who(entry)
            )
        });
    }
    let born = topic.bounds.born_at(position);
    if born > at {
        findings.add(Rule::SeenEarly, topic.name, || {
            format!(
                "{id} at {position} was seen at {at}, and cannot be there before {born}; {}",
                who(entry)
            )
        });
    }
    true
}
