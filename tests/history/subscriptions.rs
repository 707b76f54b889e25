//! Subscriptions: each delivered exactly what is in the final log from its start to its position.

use std::collections::HashSet;

use super::{
    bounds::both,
    check::Topic,
    observed::examine,
    record::{Call, Entry, Start, SubscriptionCall},
    rule::{Findings, Rule, who},
    view::Matched,
};

pub(super) fn check<'a>(topic: &Topic<'a>, findings: &mut Findings) {
    for entry in &topic.entries {
        let Call::Subscription(call) = &entry.call else {
            continue;
        };
        let due = topic.view.matched(call.stream.as_deref(), &call.filter);
        let begun = begin(topic, entry, call, &due, findings);
        let next = check_run(topic, entry, call, (&due, begun), findings);
        check_position(topic, entry, call, due.get(next).copied(), findings);
    }
}

/// Which of the events that match is due first.
fn begin(
    topic: &Topic<'_>,
    entry: &Entry,
    call: &SubscriptionCall,
    due: &Matched,
    findings: &mut Findings,
) -> usize {
    let after = |position: u64| due.partition_point(|place| *place <= position);
    if let Start::After(position) = call.start {
        return after(position);
    }
    let heads = topic.bounds.heads(entry.begin, call.started);
    let first = call.delivered.iter().map(|one| one.seen.position).min();
    let Some(first) = first else {
        // Its position tells where it was when it ended, and it may have begun there.
        return after(heads.1.min(call.position));
    };
    let before = after(first - 1);
    let last_before = before.checked_sub(1).map_or(0, |last| due[last]);
    if !topic
        .bounds
        .can_be_head(both((last_before, first - 1), heads))
    {
        let (from, to) = heads;
        findings.add(Rule::WrongStart, topic.name, || {
            format!(
                "the first is {first}, and now was {from} to {to}: {}",
                who(entry)
            )
        });
    }
    before
}

/// Follows the deliveries, and tells which event is due next.
fn check_run(
    topic: &Topic<'_>,
    entry: &Entry,
    call: &SubscriptionCall,
    (due, begun): (&Matched, usize),
    findings: &mut Findings,
) -> usize {
    let all: HashSet<u64> = call.delivered.iter().map(|one| one.seen.position).collect();
    let mut given = HashSet::with_capacity(all.len());
    let mut next = begun;
    for one in &call.delivered {
        if !examine(topic, entry, &one.seen, one.at, findings) {
            continue;
        }
        let position = one.seen.position;
        let rule = match due.binary_search(&position) {
            Ok(found) if found >= begun => {
                if !given.insert(position) {
                    Some(Rule::DeliveryTwice)
                } else if found < next {
                    Some(Rule::DeliveryOrder)
                } else {
                    let missed = due[next..found].iter().any(|place| !all.contains(place));
                    next = found + 1;
                    missed.then_some(Rule::DeliveryMissed)
                }
            }
            _ => Some(Rule::DeliveryUnasked),
        };
        if let Some(rule) = rule {
            findings.add(rule, topic.name, || {
                format!("at {position}: {}", who(entry))
            });
        }
    }
    next
}

/// Checks what the subscription's position says. `next` is the first event that was not delivered.
fn check_position(
    topic: &Topic<'_>,
    entry: &Entry,
    call: &SubscriptionCall,
    next: Option<u64>,
    findings: &mut Findings,
) {
    let last = call.delivered.iter().map(|one| one.seen.position).max();
    let start = match call.start {
        Start::After(position) => position,
        Start::Now => 0,
    };
    let to = call.position;
    let rule = if to < last.unwrap_or(start) || to > topic.bounds.born_by(entry.end).max(start) {
        Rule::WrongCheckpoint
    } else if next.is_some_and(|next| next <= to) {
        Rule::DeliveryMissed
    } else if call.to_the_end && to < topic.view.head() {
        Rule::NotReached
    } else {
        return;
    };
    findings.add(rule, topic.name, || {
        format!(
            "position {to}, delivered to {last:?}, {next:?} next: {}",
            who(entry)
        )
    });
}
