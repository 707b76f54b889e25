//! The check of a whole history: topic by topic, first what the log shows, then what each client
//! was told.

use std::collections::{BTreeMap, HashSet};

use annals::RecordedEvent;

use super::{
    appends::{self, Appends},
    bounds::{Bounds, Marks},
    moves::{self, Moves},
    observed, order, reads,
    record::Entry,
    refusals,
    rule::{Findings, Rule, Violation, who},
    streams, subscriptions,
    view::View,
};

/// The final log of each topic.
pub(crate) type Logs = BTreeMap<String, Vec<RecordedEvent>>;

/// What the rules look at: one topic.
#[derive(Debug)]
pub(super) struct Topic<'a> {
    pub(super) name: &'a str,
    pub(super) entries: Vec<&'a Entry>,
    pub(super) view: View<'a>,
    pub(super) bounds: Bounds,
    pub(super) moves: Moves,
}

/// What cannot have been, given these answers and these logs: nothing, where the store keeps its
/// promises.
pub(crate) fn check(history: &[Entry], logs: &Logs) -> Vec<Violation> {
    let mut findings = Findings::default();
    let mut topics: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    let mut calls = HashSet::with_capacity(history.len());
    for entry in history {
        let reason = if entry.begin > entry.end {
            "ends before it begins"
        } else if !calls.insert((entry.process, entry.client, entry.op)) {
            "is there twice"
        } else if !logs.contains_key(&entry.topic) {
            "is of a topic without a log"
        } else {
            topics.entry(&entry.topic).or_default().push(entry);
            continue;
        };
        findings.add(Rule::BadRecord, &entry.topic, || {
            format!("it {reason}: {}", who(entry))
        });
    }
    for (name, log) in logs {
        let entries = topics.remove(name.as_str()).unwrap_or_default();
        check_topic(name, entries, log, &mut findings);
    }
    findings.into_violations()
}

fn check_topic<'a>(
    name: &'a str,
    entries: Vec<&'a Entry>,
    log: &'a [RecordedEvent],
    findings: &mut Findings,
) {
    let view = View::new(log);
    let sound = order::check(name, &view, findings);
    let mut marks = Marks::new(log.len());
    let appends = Appends::of(&entries, &view);
    appends.mark(&mut marks);
    streams::mark(&entries, &view, &mut marks);
    appends::check_real_time(name, &marks, findings);
    observed::mark(&entries, &view, &mut marks);
    let topic = Topic {
        name,
        moves: Moves::of(&entries),
        entries,
        view,
        bounds: Bounds::new(marks),
    };
    appends.check_presence(&topic, findings);
    streams::check_presence(&topic, findings);
    if !sound {
        return;
    }
    appends.check(&topic, findings);
    refusals::check(&topic, &appends, findings);
    streams::check(&topic, findings);
    reads::check(&topic, findings);
    subscriptions::check(&topic, findings);
    moves::check(&topic, findings);
}
