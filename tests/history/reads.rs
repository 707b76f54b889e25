//! Reads: each is what the final log has, in order and without holes, up to a head that the topic
//! can have had during the call.

use super::{
    bounds::both,
    check::Topic,
    observed::examine,
    record::{Call, Entry, ReadAnswer, ReadCall},
    rule::{Findings, Rule, who},
};

pub(super) fn check<'a>(topic: &Topic<'a>, findings: &mut Findings) {
    for entry in &topic.entries {
        match &entry.call {
            Call::Head(Some(head)) => {
                if *head > topic.bounds.born_by(entry.end) {
                    findings.add(Rule::SeenEarly, topic.name, || {
                        format!("the head {head}: {}", who(entry))
                    });
                } else {
                    check_head(topic, entry, (*head, *head), findings);
                }
            }
            Call::Read(call) => check_read(topic, entry, call, findings),
            _ => {}
        }
    }
}

fn check_read<'a>(
    topic: &Topic<'a>,
    entry: &'a Entry,
    call: &'a ReadCall,
    findings: &mut Findings,
) {
    check_deleted(topic, entry, call, findings);
    if call.answer == ReadAnswer::StreamDeleted {
        return;
    }
    let mut all_there = true;
    for seen in &call.seen {
        all_there &= examine(topic, entry, seen, entry.end, findings);
    }
    // What follows compares with the log, and would only say the same again.
    if !all_there {
        return;
    }
    let (after, up_to) = topic.view.span(&call.ask);
    let matched = topic
        .view
        .matched(call.ask.stream.as_deref(), &call.ask.filter);
    let from = matched.partition_point(|place| *place <= after);
    let to = matched.partition_point(|place| *place <= up_to);
    let due = matched.get(from..to).unwrap_or_default();
    if let Err((rule, position)) = compare(call, due) {
        findings.add(rule, topic.name, || {
            format!("at {position}: {}", who(entry))
        });
        return;
    }
    let full = call
        .ask
        .limit
        .is_some_and(|limit| call.seen.len() as u64 >= limit);
    let greatest = call.seen.iter().map(|seen| seen.position).max();
    let next = greatest.map_or(0, |last| due.partition_point(|place| *place <= last));
    let next = due.get(next).copied();
    let ended = call.answer == ReadAnswer::Ended;
    // A backward read begins at the head, so its first event tells of it, limit or not.
    let tells = ended && (!full || call.ask.backward && greatest.is_some());
    if let Some(next) = next.filter(|_| tells) {
        let heads = (greatest.unwrap_or(0), next - 1);
        check_head(topic, entry, heads, findings);
    }
    check_looked_to(topic, entry, call, (next, ended && !full), findings);
}

/// Compares what was given with what was due; the heads aside.
fn compare(call: &ReadCall, due: &[u64]) -> Result<(), (Rule, u64)> {
    let given: Vec<u64> = call.seen.iter().map(|seen| seen.position).collect();
    if let Some(limit) = call.ask.limit
        && given.len() as u64 > limit
    {
        return Err((Rule::ReadUnasked, given[given.len() - 1]));
    }
    if let Some(other) = given.iter().find(|place| due.binary_search(place).is_err()) {
        return Err((Rule::ReadUnasked, *other));
    }
    let backward = call.ask.backward;
    let in_order = |pair: &&[u64]| (pair[0] < pair[1]) != backward && pair[0] != pair[1];
    if let Some(pair) = given.windows(2).find(|pair| !in_order(pair)) {
        return Err((Rule::ReadOrder, pair[1]));
    }
    let mut expected: Box<dyn Iterator<Item = u64>> = if backward {
        let begin = given
            .first()
            .map_or(0, |first| due.partition_point(|place| place <= first));
        Box::new(due[..begin].iter().rev().copied())
    } else {
        Box::new(due.iter().copied())
    };
    for place in &given {
        match expected.next() {
            Some(one) if one == *place => {}
            other => return Err((Rule::ReadHole, other.unwrap_or(0))),
        }
    }
    let full = call
        .ask
        .limit
        .is_some_and(|limit| given.len() as u64 >= limit);
    match expected.next() {
        // A backward read that has ended has come to where it was to end.
        Some(left)
            if backward && !full && call.answer == ReadAnswer::Ended && !given.is_empty() =>
        {
            Err((Rule::ReadHole, left))
        }
        _ => Ok(()),
    }
}

/// Checks that one of these heads can have been found by a call.
fn check_head(topic: &Topic<'_>, entry: &Entry, heads: (u64, u64), findings: &mut Findings) {
    let (_, last) = heads;
    let acked = topic.bounds.acked_before(entry.begin);
    let known = topic.bounds.known_before(entry.begin);
    let found = both(heads, topic.bounds.heads(entry.begin, entry.end));
    let (rule, why) = if last < acked {
        (Rule::ReadStale, format!("{acked} was acknowledged before"))
    } else if last < known {
        (Rule::HeadWentBack, format!("{known} was seen before"))
    } else if found.0 <= found.1 && !topic.bounds.can_be_head(found) {
        let end = topic.bounds.end_of(found.0);
        (Rule::ReadPart, format!("an append goes on to {end}"))
    } else {
        return;
    };
    findings.add(rule, topic.name, || {
        format!("it ends at {last} at most, and {why}: {}", who(entry))
    });
}

/// Checks the position up to which a forward read says that it has looked. `next` is the first
/// event that it did not give.
fn check_looked_to(
    topic: &Topic<'_>,
    entry: &Entry,
    call: &ReadCall,
    (next, to_the_head): (Option<u64>, bool),
    findings: &mut Findings,
) {
    let ask = &call.ask;
    let Some(looked_to) = call.looked_to.filter(|_| !ask.backward) else {
        return;
    };
    if looked_to <= ask.after && call.seen.is_empty() {
        return;
    }
    let last = call.seen.last().map_or(0, |seen| seen.position);
    let wrong = looked_to < last
        || looked_to > ask.up_to
        || next.is_some_and(|next| next <= looked_to)
        || looked_to > topic.bounds.born_by(entry.end);
    if wrong {
        findings.add(Rule::WrongLookedTo, topic.name, || {
            format!(
                "{looked_to} with {last} given and {next:?} next: {}",
                who(entry)
            )
        });
    } else if to_the_head && looked_to < ask.up_to && ask.up_to_version == u64::MAX {
        check_head(topic, entry, (looked_to, looked_to), findings);
    }
}

/// Checks that a stream was read, or not, as it was deleted, or not.
fn check_deleted(topic: &Topic<'_>, entry: &Entry, call: &ReadCall, findings: &mut Findings) {
    let deleted = match call.answer {
        ReadAnswer::StreamDeleted => true,
        ReadAnswer::Ended => false,
        ReadAnswer::Broken(_) => return,
    };
    let heads = topic.bounds.heads(entry.begin, entry.end);
    let right = match &call.ask.stream {
        Some(stream) if !call.ask.include_deleted => topic.view.was(stream, deleted, heads),
        _ => !deleted,
    };
    if !right {
        findings.add(Rule::ReadOfDeleted, topic.name, || {
            format!("{:?}: {}", call.answer, who(entry))
        });
    }
}
