//! Appends that were acknowledged, or may have been recorded: what is there, whole, once, where the
//! receipt says, and rightly.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{
    bounds::{Marks, both},
    check::Topic,
    record::{AppendAnswer, AppendCall, Call, Entry, Expected, NEVER, Receipt, keyed_id},
    rule::{Findings, Rule, who},
    view::{View, index},
    writers::{Run, Span, Writers},
};

/// Where the events of an append are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Absent,
    /// Some of them are missing.
    Part,
    /// All are there, but not one after the other.
    Scattered,
    /// All are there in order from this place on, but not all as they were given.
    Other(u64),
    /// All are there in order from this place on.
    Whole(u64),
}

/// One call that appends. Calls with the same events are attempts at the same append.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    pub(super) entry: &'a Entry,
    pub(super) call: &'a AppendCall,
    pub(super) found: Found,
}

#[derive(Debug)]
pub(super) struct Appends<'a> {
    pub(super) attempts: Vec<Attempt<'a>>,
    writers: Writers,
}

impl Attempt<'_> {
    const fn receipt(&self) -> Option<Receipt> {
        match self.call.answer {
            AppendAnswer::Recorded(receipt) | AppendAnswer::Duplicate(receipt) => Some(receipt),
            AppendAnswer::Refused(_) | AppendAnswer::Unknown => None,
        }
    }

    const fn is_recorded(&self) -> bool {
        matches!(self.call.answer, AppendAnswer::Recorded(_))
    }

    fn len(&self) -> u64 {
        self.call.events.len() as u64
    }

    /// The first and last of its events, where they are all there as they were given.
    fn span(&self) -> Option<(u64, u64)> {
        match self.found {
            Found::Whole(first) => Some((first, first + self.len() - 1)),
            Found::Absent | Found::Part | Found::Scattered | Found::Other(_) => None,
        }
    }

    /// Whether one of its events advances the stream of which it expects something.
    fn advances(&self) -> bool {
        let mut events = self.call.events.iter();
        events.any(|event| event.stream == self.call.stream)
    }
}

impl<'a> Appends<'a> {
    pub(super) fn of(entries: &[&'a Entry], view: &View<'_>) -> Self {
        let attempt = |entry: &&'a Entry| match &entry.call {
            Call::Append(call) => Some(Attempt {
                entry,
                call,
                found: find(call, view),
            }),
            _ => None,
        };
        let attempts: Vec<_> = entries.iter().filter_map(attempt).collect();
        let (mut told, mut untold) = (Vec::new(), Vec::new());
        for (one, attempt) in attempts.iter().zip(0..) {
            let list = match one.call.answer {
                AppendAnswer::Recorded(_) => &mut told,
                AppendAnswer::Unknown => &mut untold,
                AppendAnswer::Duplicate(_) | AppendAnswer::Refused(_) => continue,
            };
            let begin = one.entry.begin;
            list.extend(one.span().map(|(first, last)| Span {
                first,
                last,
                begin,
                attempt,
            }));
        }
        let writers = Writers::of(view.events.len(), told, untold);
        Self { attempts, writers }
    }

    /// Those that were told that their events are recorded, and where they are.
    fn acknowledged(&self) -> impl Iterator<Item = (&Attempt<'a>, (u64, u64))> {
        let told = self.attempts.iter().filter(|one| one.receipt().is_some());
        told.filter_map(|one| Some((one, one.span()?)))
    }

    pub(super) fn mark(&self, marks: &mut Marks) {
        let Writers { begins, ends, .. } = &self.writers;
        for (born, begin) in marks.born.iter_mut().zip(begins) {
            *born = if *begin == NEVER { 0 } else { *begin };
        }
        for (end, last) in marks.ends.iter_mut().zip(ends) {
            *end = if *last == NEVER { *end } else { *last };
        }
        for (one, (_, last)) in self.acknowledged() {
            marks.acknowledge(last, one.entry.end);
        }
    }

    /// Checks that what was acknowledged is there, and that what is there was appended.
    pub(super) fn check_presence(&self, topic: &Topic<'_>, findings: &mut Findings) {
        for one in self.attempts.iter().filter(|one| one.receipt().is_some()) {
            let (rule, what) = match one.found {
                Found::Whole(_) => continue,
                Found::Absent => (Rule::Lost, "nothing of it is there"),
                Found::Part => (Rule::Lost, "some of its events are not there"),
                Found::Scattered => (Rule::Torn, "its events are not one after the other"),
                Found::Other(_) => (Rule::Changed, "it is not what was appended"),
            };
            findings.add(rule, topic.name, || {
                format!("acknowledged, and {what}: {}", who(one.entry))
            });
        }
        self.check_unexplained(topic, findings);
    }

    /// Says why events are there that are not a whole append which may have been recorded.
    fn check_unexplained(&self, topic: &Topic<'_>, findings: &mut Findings) {
        let mut explained = vec![false; topic.view.events.len()];
        let runs = self.writers.runs.iter().map(|run| (run.first, run.last));
        for (first, last) in runs.chain(self.acknowledged().map(|(_, span)| span)) {
            explained[index(first - 1)..index(last)].fill(true);
        }
        let events = topic.view.events.iter().zip(explained);
        let unexplained: HashMap<_, _> = events
            .filter(|(event, explained)| !explained && !event.event_type.is_reserved())
            .map(|(event, _)| (event.id, event))
            .collect();
        if unexplained.is_empty() {
            return;
        }
        // What the best attempt at each of them makes of it; an acknowledged one was judged before.
        let mut reasons = HashMap::new();
        for attempt in &self.attempts {
            for event in &attempt.call.events {
                let Some(recorded) = unexplained.get(&event.id) else {
                    continue;
                };
                let reason = match &attempt.call.answer {
                    AppendAnswer::Recorded(_) | AppendAnswer::Duplicate(_) => (0, None),
                    AppendAnswer::Unknown if event.is_recorded_as(recorded) => {
                        (1, Some(Rule::Torn))
                    }
                    AppendAnswer::Unknown => (2, Some(Rule::Changed)),
                    AppendAnswer::Refused(_) => (3, Some(Rule::RefusedRecorded)),
                };
                let best = reasons.entry(event.id).or_insert(reason);
                *best = (*best).min(reason);
            }
        }
        for event in topic.view.events {
            if !unexplained.contains_key(&event.id) {
                continue;
            }
            let reason = reasons.get(&event.id).map_or(Some(Rule::Invented), |r| r.1);
            // One that is there twice was found before.
            let twice = topic.view.place_of(event.id) != Some(event.position.get());
            if let Some(rule) = reason.filter(|_| !twice || !reasons.contains_key(&event.id)) {
                findings.add(rule, topic.name, || {
                    format!("the event {} at {}", event.id, event.position)
                });
            }
        }
    }

    pub(super) fn check(&self, topic: &Topic<'a>, findings: &mut Findings) {
        for again in &self.writers.again {
            let entry = self.attempts[*again].entry;
            findings.add(Rule::RecordedAgain, topic.name, || who(entry));
        }
        for (one, (first, last)) in self.acknowledged() {
            check_receipt(topic, one, (first, last), findings);
            // It may be only part of what was recorded.
            let mut begins = self.writers.begins[index(first - 1)..index(last)].iter();
            if !one.is_recorded() && begins.any(|begin| *begin > one.entry.end) {
                findings.add(Rule::DuplicateOfNothing, topic.name, || who(one.entry));
            }
        }
        for run in &self.writers.runs {
            self.check_run(topic, run, findings);
        }
        self.check_winners(topic, findings);
    }

    /// Checks that what was recorded was recorded by one who rightly did so.
    fn check_run(&self, topic: &Topic<'a>, run: &Run, findings: &mut Findings) {
        let fault = |span: &Span| Some((span.attempt, fault(topic, &self.attempts[span.attempt])?));
        let faults: BTreeMap<_, _> = run.writers.iter().filter_map(fault).collect();
        if faults.is_empty() {
            return;
        }
        let fault_at = |place: u64| {
            let mut writers = run.writers.iter().filter(|span| span.has(place));
            let first = *faults.get(&writers.next()?.attempt)?;
            let all = writers.all(|span| faults.contains_key(&span.attempt));
            all.then_some((place, first))
        };
        if let Some((place, rule)) = (run.first..=run.last).find_map(fault_at) {
            findings.add(rule, topic.name, || {
                let entry = self.attempts[run.writers[0].attempt].entry;
                format!("recorded at {place} nevertheless: {}", who(entry))
            });
        }
    }

    /// Checks by the answers alone that of those who expect the same version one wins.
    fn check_winners(&self, topic: &Topic<'_>, findings: &mut Findings) {
        let mut winners = HashSet::new();
        for one in self.attempts.iter().filter(|one| one.is_recorded()) {
            let version = match one.call.expected {
                Expected::NoStream => 0,
                Expected::Exact(version) => version,
                Expected::Any | Expected::StreamExists => continue,
            };
            let stream = one.call.stream.as_str();
            if one.advances() && !winners.insert((stream, version)) {
                findings.add(Rule::TwoWinners, topic.name, || {
                    format!("of version {version} of {stream:?}: {}", who(one.entry))
                });
            }
        }
    }
}

fn find(call: &AppendCall, view: &View<'_>) -> Found {
    let places = || call.events.iter().map(|event| view.place_of(event.id));
    let there = places().flatten().count();
    let Some(first) = places().flatten().next() else {
        return Found::Absent;
    };
    if there < call.events.len() {
        return Found::Part;
    }
    if !places().flatten().eq((first..).take(there)) {
        return Found::Scattered;
    }
    let same = call.events.iter().zip(first..).all(|(event, place)| {
        let recorded = view.event(place);
        recorded.is_some_and(|recorded| event.is_recorded_as(recorded))
    });
    if same {
        Found::Whole(first)
    } else {
        Found::Other(first)
    }
}

/// The rule that an append breaks which was recorded where it is.
fn fault<'a>(topic: &Topic<'a>, one: &Attempt<'a>) -> Option<Rule> {
    let (first, _) = one.span()?;
    let (view, head) = (&topic.view, first - 1);
    let stream = one.call.stream.as_str();
    let heads = view.heads_of(stream, one.call.expected);
    if heads.is_none_or(|(from, to)| head < from || to < head) {
        return Some(Rule::ExpectedBroken);
    }
    let unless = one.call.unless.as_ref()?;
    let ruled_out = view.first_match(&unless.filter, unless.after);
    let broken = ruled_out.is_some_and(|place| place <= head);
    broken.then_some(Rule::ConditionBroken)
}

fn check_receipt(
    topic: &Topic<'_>,
    one: &Attempt<'_>,
    (first, last): (u64, u64),
    findings: &mut Findings,
) {
    let Some(receipt) = one.receipt() else {
        return;
    };
    let stream = one.call.stream.as_str();
    let right = if one.advances() || one.is_recorded() {
        let mut own = (first..=last)
            .rev()
            .filter_map(|place| topic.view.event(place));
        let own = own.find(|event| event.stream.as_str() == stream);
        let before = || topic.view.version_at(stream, last);
        receipt.version == own.map_or_else(before, |event| event.version.get())
    } else {
        let (from, to) = topic.bounds.heads(one.entry.begin, one.entry.end);
        let heads = topic.view.heads_of_version(stream, receipt.version);
        heads.is_some_and(|heads| {
            let heads = both(heads, (from.max(last), to));
            topic.bounds.can_be_head(heads)
        })
    };
    // The same key with fewer events than before is another append.
    let key = one.call.key.as_deref();
    let beyond = key.and_then(|key| topic.view.place_of(keyed_id(key, one.len())));
    let other = beyond.is_some_and(|place| place <= topic.bounds.known_before(one.entry.begin));
    if right && !other && (receipt.first, receipt.last) == (first, last) {
        return;
    }
    let rule = if one.is_recorded() {
        Rule::WrongReceipt
    } else {
        Rule::WrongDuplicate
    };
    findings.add(rule, topic.name, || {
        format!(
            "it is at {first} to {last}, not {receipt:?}: {}",
            who(one.entry)
        )
    });
}

/// Checks that no append is behind one that began after it had ended.
pub(super) fn check_real_time(topic: &str, marks: &Marks, findings: &mut Findings) {
    let mut latest = (0, 0);
    for ((&born, &acked), place) in marks.born.iter().zip(&marks.acked).zip(1_u64..) {
        latest = latest.max((born, place));
        let (begin, ahead) = latest;
        if begin > acked {
            findings.add(Rule::RealTime, topic, || {
                format!("{place} was acknowledged at {acked}, and {ahead} was begun at {begin}")
            });
        }
    }
}
