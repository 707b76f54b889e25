//! Aggregates and decisions: commands are carried out once, on what is there, whoever else writes; what
//! is kept in memory or in snapshots is never trusted.

#![cfg(test)]
#![cfg(all(feature = "file", feature = "testing", feature = "cqrs"))]

mod kinds;
#[cfg(feature = "postgres")]
mod servers;

use std::time::Duration;

use annals::{
    Append, Error, EventFilter, EventStore, ExpectedVersion, NewEvent, Position, Read,
    RecordedEvent, Version,
    cqrs::{
        Aggregate, Aggregates, CommandError, Decision, Decisions, Emit, Envelope, Metadata,
        Projection, ReadModel, Schema, Snapshots, Unknown,
        testing::{GivenAggregate, GivenEvents},
    },
};
use futures_util::future::join_all;
use kinds::Kind;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// What can be counted up to a limit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Counter {
    sum: i64,
    steps: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum CounterEvent {
    Added { number: i64 },
    Reset,
}

#[derive(Clone, Debug)]
enum CounterCommand {
    Add(i64),
    /// An event for each.
    AddAll(Vec<i64>),
    Reset,
}

#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
enum Refused {
    #[error("it would be over {LIMIT}")]
    OverLimit,
    #[error("it is 0 already")]
    Zero,
}

const LIMIT: i64 = 1_000_000;

impl Aggregate for Counter {
    type Event = CounterEvent;
    type Command = CounterCommand;
    type Error = Refused;

    fn decide(&self, command: &CounterCommand) -> Result<Vec<CounterEvent>, Refused> {
        let numbers = match command {
            CounterCommand::Add(number) => std::slice::from_ref(number),
            CounterCommand::AddAll(numbers) => numbers,
            CounterCommand::Reset if self.sum == 0 => return Err(Refused::Zero),
            CounterCommand::Reset => return Ok(vec![CounterEvent::Reset]),
        };
        if self.sum + numbers.iter().sum::<i64>() > LIMIT {
            return Err(Refused::OverLimit);
        }
        let added = numbers.iter().filter(|number| **number != 0);
        Ok(added
            .map(|&number| CounterEvent::Added { number })
            .collect())
    }

    fn apply(&mut self, event: &CounterEvent) {
        self.steps += 1;
        match event {
            CounterEvent::Added { number } => self.sum += number,
            CounterEvent::Reset => self.sum = 0,
        }
    }

    fn tags(event: &CounterEvent) -> Vec<String> {
        match event {
            CounterEvent::Added { number } => vec![format!("by:{number}")],
            CounterEvent::Reset => Vec::new(),
        }
    }
}

fn counters(store: &EventStore) -> Aggregates<Counter> {
    Aggregates::new(store, "t").category("counter")
}

/// The ways in which aggregates can be found: read, remembered, from snapshots, both.
fn ways(store: &EventStore) -> [Aggregates<Counter>; 4] {
    let plain = counters(store).attempts(1000);
    let snapshots = Snapshots::every(3);
    [
        plain.clone(),
        plain.clone().cache(2),
        plain.clone().snapshots(snapshots),
        plain.snapshots(snapshots).cache(2),
    ]
}

fn keyed(command: CounterCommand, key: &str) -> Envelope<CounterCommand> {
    Envelope::new(command).idempotency_key(key)
}

#[test]
fn a_counter_is_told_by_its_events() {
    GivenAggregate::<Counter>::new()
        .when(CounterCommand::AddAll(vec![1, 0, 2]))
        .then(&[
            CounterEvent::Added { number: 1 },
            CounterEvent::Added { number: 2 },
        ])
        .then_state(|counter| counter.sum == 3);
    GivenAggregate::<Counter>::events([CounterEvent::Added { number: LIMIT }])
        .when(CounterCommand::Add(1))
        .then_rejected(&Refused::OverLimit);
    let given = GivenAggregate::<Counter>::events([CounterEvent::Added { number: 1 }]);
    let given = given.and([CounterEvent::Reset]);
    assert_eq!(given.state().steps, 2);
    given
        .when(CounterCommand::Reset)
        .then_rejected(&Refused::Zero);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_commands_that_contend_each_is_decided_on_what_the_others_did() {
    for kind in Kind::all() {
        let store = kind.open_with_topic().await;
        for (nth, counters) in ways(&store).into_iter().enumerate() {
            let id = format!("contended-{nth}");
            let tasks = (0..8).map(|_| {
                let (counters, id) = (counters.clone(), id.clone());
                tokio::spawn(async move {
                    for _ in 0..10 {
                        let done = counters.execute(&id, CounterCommand::Add(1)).await.unwrap();
                        assert_eq!(done.state.steps, done.version.get());
                        assert_eq!(done.receipt.unwrap().version, done.version);
                    }
                })
            });
            for done in join_all(tasks).await {
                done.unwrap();
            }
            for counters in ways(&store) {
                let found = counters.load(&id).await.unwrap();
                assert_eq!(found.state, Counter { sum: 80, steps: 80 });
                assert_eq!(found.version, Version::new(80), "{}", kind.adapter);
            }
        }
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_comes_again_gives_what_it_gave_and_records_nothing() {
    for kind in Kind::all() {
        let store = kind.open_with_topic().await;
        for (nth, counters) in ways(&store).into_iter().enumerate() {
            let id = format!("again-{nth}");
            let key = |name: &str| format!("{name}-{nth}");
            let all = || keyed(CounterCommand::AddAll(vec![LIMIT - 1, 1]), &key("all"));
            let first = counters.execute(&id, all()).await.unwrap();
            let receipt = first.receipt.unwrap();
            assert!(!receipt.duplicate);
            let head = store.get_latest_version("t").await.unwrap();
            // Now it would be rejected, and is not, by whomever it is sent.
            for again in ways(&store).iter().chain([&counters]) {
                let second = again.execute(&id, all()).await.unwrap();
                assert_eq!(second.events, first.events);
                assert_eq!(second.receipt, Some(receipt.duplicate()));
                assert_eq!(second.state, first.state);
            }
            // Others follow, so that it would be decided otherwise.
            let reset = || keyed(CounterCommand::Reset, &key("reset"));
            counters.execute(&id, reset()).await.unwrap();
            for _ in 0..4 {
                counters.execute(&id, CounterCommand::Add(2)).await.unwrap();
            }
            for again in ways(&store).iter().chain([&counters]) {
                let second = again.execute(&id, all()).await.unwrap();
                assert_eq!(second.events, first.events);
                assert_eq!(second.receipt, Some(receipt.duplicate()));
                assert_eq!(second.version, Version::new(7));
                let reset = again.execute(&id, reset()).await.unwrap();
                assert_eq!(reset.events, [CounterEvent::Reset]);
                assert_eq!(reset.receipt.unwrap().version, Version::new(3));
            }
            let now = store.get_latest_version("t").await.unwrap();
            assert_eq!(now, head.forward(5), "{}", kind.adapter);
            // The key belongs to the topic.
            let elsewhere = counters.execute("elsewhere", all()).await;
            assert!(
                matches!(
                    elsewhere,
                    Err(CommandError::Store(Error::IdempotencyConflict { .. }))
                ),
                "{elsewhere:?}"
            );
        }
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_one_command_that_is_sent_by_many_at_once_one_is_carried_out() {
    for kind in Kind::all() {
        let store = kind.open_with_topic().await;
        let tasks = (0..32).map(|nth: usize| {
            let counters = ways(&store)[nth % 4].clone();
            tokio::spawn(async move {
                let add = keyed(CounterCommand::Add(LIMIT), "once");
                counters.execute("c", add).await.unwrap()
            })
        });
        let done: Vec<_> = join_all(tasks)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        let fresh = done.iter().filter(|done| !done.receipt.unwrap().duplicate);
        assert_eq!(fresh.count(), 1, "{}", kind.adapter);
        for done in done {
            assert_eq!(done.events, [CounterEvent::Added { number: LIMIT }]);
            assert_eq!(done.receipt.unwrap().version, Version::new(1));
            assert_eq!(done.state.sum, LIMIT);
        }
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_rejected_or_needs_nothing_leaves_nothing() {
    let store = Kind::memory().open_with_topic().await;
    for counters in ways(&store) {
        let zero = counters.execute("c", CounterCommand::Reset).await;
        assert_eq!(zero.unwrap_err().rejection(), Some(&Refused::Zero));
        let keyed = keyed(CounterCommand::Reset, "k");
        assert!(counters.execute("c", keyed).await.is_err());
        let nothing = counters.execute("c", CounterCommand::Add(0)).await.unwrap();
        assert!(nothing.receipt.is_none() && nothing.events.is_empty());
        assert_eq!(nothing.version, Version::NONE);
    }
    assert_eq!(
        store.get_latest_version("t").await.unwrap(),
        Position::START
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_remembered_is_not_trusted() {
    let store = Kind::memory().open_with_topic().await;
    let [others, remembering, ..] = ways(&store);
    let full = CounterCommand::Add(LIMIT);
    remembering.execute("c", full.clone()).await.unwrap();
    others.execute("c", CounterCommand::Reset).await.unwrap();
    // By what it remembers it would be rejected.
    let done = remembering.execute("c", full.clone()).await.unwrap();
    assert_eq!(done.version, Version::new(3));
    others.execute("c", CounterCommand::Reset).await.unwrap();
    others.execute("c", full.clone()).await.unwrap();
    // By what it remembers it would have been reset already.
    let reset = remembering
        .execute("c", CounterCommand::Reset)
        .await
        .unwrap();
    assert_eq!(reset.version, Version::new(6));
    let found = remembering.load("c").await.unwrap();
    assert_eq!(found.state, Counter { sum: 0, steps: 6 });

    // One decision is one attempt.
    let once = counters(&store).attempts(1).cache(2);
    once.execute("d", CounterCommand::Add(1)).await.unwrap();
    others.execute("d", CounterCommand::Add(1)).await.unwrap();
    let gave_up = once.execute("d", CounterCommand::Add(1)).await;
    assert!(
        matches!(&gave_up, Err(error @ CommandError::Contended { attempts: 1, .. }) if error.is_retryable()),
        "{gave_up:?}"
    );
    let done = once.execute("d", CounterCommand::Add(1)).await.unwrap();
    assert_eq!(done.state.sum, 3);

    // A topic that was made anew has nothing of the one before.
    store.delete_topic("t").await.unwrap();
    store.purge_topic("t").await.unwrap();
    store.create_topic(Kind::memory().topic("t")).await.unwrap();
    let done = remembering
        .execute("c", CounterCommand::Add(1))
        .await
        .unwrap();
    assert_eq!(done.state, Counter { sum: 1, steps: 1 });
}

async fn snapshots_of(store: &EventStore, stream: &str) -> Vec<u64> {
    let read = Read::stream(stream);
    let found = store
        .get_events("t.snapshots", read)
        .await
        .unwrap_or_default();
    let version = |event: &RecordedEvent| {
        let label: serde_json::Value = event.metadata_json().unwrap();
        label["version"].as_u64().unwrap()
    };
    found.iter().map(version).collect()
}

async fn has_snapshots(store: &EventStore, stream: &str, expected: &[u64]) {
    for _ in 0..1000 {
        if snapshots_of(store, stream).await == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(snapshots_of(store, stream).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_are_made_by_count_and_fit_or_are_made_anew() {
    for kind in Kind::all() {
        let store = kind.open_with_topic().await;
        let snapshots = Snapshots::every(3);
        let with = counters(&store).snapshots(snapshots);
        for number in 1..=8 {
            let add = CounterCommand::Add(number);
            with.execute("c", add).await.unwrap();
            let made: Vec<_> = (1..=number as u64).filter(|n| n % 3 == 0).collect();
            has_snapshots(&store, "counter-c", &made).await;
        }
        let plain = counters(&store).load("c").await.unwrap();
        assert_eq!(with.load("c").await.unwrap(), plain);
        // Each is of an event that is there, also where a key has given it its id.
        let all = keyed(CounterCommand::AddAll(vec![1; 3]), "k");
        with.execute("d", all).await.unwrap();
        has_snapshots(&store, "counter-d", &[3]).await;
        for stream in ["counter-c", "counter-d"] {
            let events = store.get_events("t", Read::stream(stream)).await.unwrap();
            let made = store.get_events("t.snapshots", Read::stream(stream));
            for snapshot in made.await.unwrap() {
                let label: serde_json::Value = snapshot.metadata_json().unwrap();
                let version = label["version"].as_u64().unwrap() as usize;
                assert_eq!(label["event"], json!(events[version - 1].id), "{stream}");
            }
        }
        // A state that says something else shows that it is used.
        let label = json!({
            "version": 8,
            "event": store.get_events("t", Read::all()).await.unwrap()[7].id,
            "schema_version": 1,
        });
        let save = async |payload: &serde_json::Value, label: &serde_json::Value| {
            let event = NewEvent::json("SnapshotStored", payload).unwrap();
            let event = event.metadata(label).unwrap();
            let append = Append::new([event]).stream("counter-c");
            store.append_events("t.snapshots", append).await.unwrap();
        };
        save(&json!({ "sum": -1, "steps": 8 }), &label).await;
        assert_eq!(with.load("c").await.unwrap().state.sum, -1);
        // Another version of the schema, one that cannot be read, one without a label, and one after an
        // event that is not there.
        let newer = counters(&store).snapshots(snapshots.schema_version(2));
        assert_eq!(newer.load("c").await.unwrap(), plain);
        let mut elsewhere = label.clone();
        elsewhere["event"] = json!(uuid::Uuid::nil());
        for (payload, label) in [
            (json!({ "sum": "x" }), &label),
            (json!({ "sum": -1, "steps": 8 }), &json!({})),
            (json!({ "sum": -1, "steps": 8 }), &elsewhere),
        ] {
            save(&payload, label).await;
            assert_eq!(with.load("c").await.unwrap(), plain, "{label}");
        }
        // It is made anew, and goes on from there.
        let done = newer.execute("c", CounterCommand::Add(9)).await.unwrap();
        assert_eq!(done.state, Counter { sum: 45, steps: 9 });
        has_snapshots_at_the_end(&store, 9).await;
        assert_eq!(newer.load("c").await.unwrap().state, done.state);
        store.close().await.unwrap();
    }
}

async fn has_snapshots_at_the_end(store: &EventStore, version: u64) {
    for _ in 0..1000 {
        let newest = Read::stream("counter-c").backward().limit(1);
        let newest = store.get_events("t.snapshots", newest).await;
        if let Some(newest) = newest.unwrap_or_default().first() {
            let label: serde_json::Value = newest.metadata_json().unwrap();
            if label["version"] == version {
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("no snapshot of version {version}");
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_never_go_back() {
    for kind in [Kind::memory(), Kind::file()] {
        let store = kind.open_with_topic().await;
        let every = counters(&store)
            .attempts(1000)
            .snapshots(Snapshots::every(1));
        let tasks = (0..8).map(|nth| {
            let every = if nth % 2 == 0 {
                every.clone()
            } else {
                every.clone().cache(1)
            };
            tokio::spawn(async move {
                for _ in 0..20 {
                    every.execute("c", CounterCommand::Add(1)).await.unwrap();
                }
            })
        });
        join_all(tasks).await;
        for _ in 0..1000 {
            if snapshots_of(&store, "counter-c").await.last() == Some(&160) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let made = snapshots_of(&store, "counter-c").await;
        assert!(made.is_sorted_by(|a, b| a < b), "{made:?}");
        assert_eq!(made.last(), Some(&160));
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_are_made_by_age() {
    let store = Kind::memory().open_with_topic().await;
    let policy = Snapshots::every(100).or_after(Duration::from_millis(300));
    let counters = counters(&store).snapshots(policy);
    let all = CounterCommand::AddAll(vec![1; 100]);
    counters.execute("c", all).await.unwrap();
    has_snapshots(&store, "counter-c", &[100]).await;
    counters.execute("c", CounterCommand::Add(1)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(snapshots_of(&store, "counter-c").await, [100]);
    counters.execute("c", CounterCommand::Add(1)).await.unwrap();
    has_snapshots(&store, "counter-c", &[100, 102]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_events_are_brought_up_to_date_and_the_stores_own_are_left_out() {
    for kind in Kind::all() {
        let store = kind.open_with_topic().await;
        let old = [
            NewEvent::json("Added", &json!({ "n": "5" })).unwrap(),
            NewEvent::json("Increased", &json!({ "number": 6 })).unwrap(),
            NewEvent::json("Noted", &json!({ "text": "x" })).unwrap(),
        ];
        let append = Append::new(old)
            .stream("counter-c")
            .expected(ExpectedVersion::NoStream);
        store.append_events("t", append).await.unwrap();
        store.delete_stream("t", "counter-c").await.unwrap();
        let deleted = counters(&store).execute("c", CounterCommand::Add(1)).await;
        assert!(matches!(
            deleted,
            Err(CommandError::Store(Error::StreamDeleted { .. }))
        ));
        store.restore_stream("t", "counter-c").await.unwrap();

        let schema = Schema::new()
            .upcast("Added", 1, |mut old| {
                let number: i64 = old["n"].as_str().ok_or("no n")?.parse()?;
                old["number"] = number.into();
                Ok(old)
            })
            .rename("Increased", 1, "Added", 2);
        let unknown = counters(&store).schema(schema.clone());
        let refused = unknown.load("c").await;
        assert!(
            matches!(&refused, Err(Error::UnknownEventType { event_type, .. }) if event_type == "Noted"),
            "{refused:?}"
        );
        let counters = counters(&store).schema(schema.unknown(Unknown::Skip));
        let user = Metadata::new().with("user", &"eve").unwrap();
        let add = Envelope::new(CounterCommand::Add(7)).metadata(user.correlation_id("r"));
        let done = counters.execute("c", add).await.unwrap();
        assert_eq!(done.state, Counter { sum: 18, steps: 3 });
        assert_eq!(done.version, Version::new(6));
        let last = store.get_events("t", Read::all().backward().limit(1)).await;
        let last = &last.unwrap()[0];
        assert_eq!(last.tags.iter().collect::<Vec<_>>(), ["by:7"]);
        let said = Metadata::of(last);
        assert_eq!(said.get("$schemaVersion"), Some(&json!(2)));
        assert_eq!(said.get("user"), Some(&json!("eve")));
        let next = Metadata::following(last);
        assert_eq!(next.get_correlation_id(), Some("r"));
        assert_eq!(next.get_causation_id(), Some(&*last.id.to_string()));
        assert_eq!(counters.load("c").await.unwrap().state, done.state);
        store.close().await.unwrap();
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum SeatEvent {
    SeatTaken { seat: u32, by: u32 },
    SeatFreed { seat: u32 },
}

/// Nobody has more than two seats, and no seat has two.
#[derive(Clone, Copy, Debug)]
struct TakeSeat {
    seat: u32,
    by: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
enum Unseated {
    #[error("the seat is taken by {0}")]
    Taken(u32),
    #[error("that would be a third one")]
    Third,
}

#[derive(Debug, Default)]
struct Seats {
    taken_by: Option<u32>,
    own: Vec<u32>,
}

fn taken(seat: u32, by: u32) -> Emit<SeatEvent> {
    Emit::new(SeatEvent::SeatTaken { seat, by })
        .stream(format!("guest-{by}"))
        .tag(format!("seat:{seat}"))
        .tag(format!("guest:{by}"))
}

impl Decision for TakeSeat {
    type Event = SeatEvent;
    type State = Seats;
    type Error = Unseated;

    fn filter(&self) -> EventFilter {
        let seat = EventFilter::all().tags([format!("seat:{}", self.seat)]);
        seat.or(EventFilter::all().tags([format!("guest:{}", self.by)]))
    }

    fn apply(&self, seats: &mut Seats, event: &SeatEvent) {
        match *event {
            SeatEvent::SeatTaken { seat, by } => {
                if seat == self.seat {
                    seats.taken_by = Some(by);
                }
                if by == self.by {
                    seats.own.push(seat);
                }
            }
            SeatEvent::SeatFreed { seat } => {
                seats.own.retain(|own| *own != seat);
                if seat == self.seat {
                    seats.taken_by = None;
                }
            }
        }
    }

    fn decide(&self, seats: &Seats) -> Result<Vec<Emit<SeatEvent>>, Unseated> {
        match seats.taken_by {
            Some(by) if by == self.by => Ok(Vec::new()),
            Some(by) => Err(Unseated::Taken(by)),
            None if seats.own.len() >= 2 => Err(Unseated::Third),
            None => Ok(vec![taken(self.seat, self.by)]),
        }
    }
}

#[test]
fn a_decision_is_made_on_what_its_filter_finds() {
    let given = GivenEvents::new([taken(1, 1), taken(2, 1), taken(3, 2)]);
    given
        .when(&TakeSeat { seat: 4, by: 2 })
        .then(&[taken(4, 2)]);
    given.when(&TakeSeat { seat: 1, by: 1 }).then(&[]);
    given
        .when(&TakeSeat { seat: 1, by: 2 })
        .then_rejected(&Unseated::Taken(1));
    given
        .when(&TakeSeat { seat: 4, by: 1 })
        .then_rejected(&Unseated::Third);
}

/// How many seats are taken.
#[derive(Debug, Default, PartialEq)]
struct Taken(usize);

impl ReadModel for Taken {
    type Event = SeatEvent;

    fn apply(&mut self, event: SeatEvent, _: &RecordedEvent) {
        match event {
            SeatEvent::SeatTaken { .. } => self.0 += 1,
            SeatEvent::SeatFreed { .. } => self.0 -= 1,
        }
    }
}

impl Projection for Taken {
    type Event = SeatEvent;
    type Error = std::io::Error;

    async fn handle(&mut self, event: SeatEvent, recorded: &RecordedEvent) -> std::io::Result<()> {
        if recorded.tags.contains("seat:13") {
            return Err(std::io::Error::other("nobody sits there"));
        }
        self.apply(event, recorded);
        Ok(())
    }
}

#[tokio::test]
async fn a_read_model_is_made_of_what_is_given() {
    let freed = Emit::new(SeatEvent::SeatFreed { seat: 1 });
    let given = GivenEvents::new([taken(1, 1), taken(2, 1), freed]);
    assert_eq!(given.read_model::<Taken>(), Taken(1));
    let mut projection = Taken(0);
    given.project(&mut projection).await.unwrap();
    assert_eq!(projection, Taken(1));
    let refused = GivenEvents::new([taken(1, 1), taken(13, 1), taken(2, 2)]);
    assert!(refused.project(&mut projection).await.is_err());
    assert_eq!(projection, Taken(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_decisions_that_rule_each_other_out_one_is_made() {
    for kind in Kind::all() {
        let store = kind.open_with_topic().await;
        let decisions = Decisions::<SeatEvent>::new(&store, "t").attempts(1000);
        // Eight guests want all of twelve seats, in different orders.
        let guests = (0..8).map(|by| {
            let decisions = decisions.clone();
            tokio::spawn(async move {
                for nth in 0..12 {
                    let seat = (nth * 5 + by) % 12;
                    match decisions.execute(TakeSeat { seat, by }).await {
                        Ok(_) | Err(CommandError::Rejected(_)) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            })
        });
        for guest in join_all(guests).await {
            guest.unwrap();
        }
        let all = store.get_events("t", Read::all()).await.unwrap();
        let mut seats: Vec<(u32, u32)> = Vec::new();
        for event in all {
            match Schema::new().decode(&event).unwrap() {
                Some(SeatEvent::SeatTaken { seat, by }) => seats.push((seat, by)),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(seats.len(), 12, "{}: {seats:?}", kind.adapter);
        for nth in 0..12 {
            assert_eq!(seats.iter().filter(|(seat, _)| *seat == nth).count(), 1);
            assert!(seats.iter().filter(|(_, by)| *by == nth).count() <= 2);
        }
        // Sent again with its key, it is answered as before, though it needs nothing now.
        let free = SeatEvent::SeatFreed { seat: seats[0].0 };
        let free = Schema::new().encode(&free, &Metadata::new()).unwrap();
        let free = free
            .tag(format!("seat:{}", seats[0].0))
            .tag(format!("guest:{}", seats[0].1));
        store.append_events("t", free).await.unwrap();
        let take = || {
            let (seat, by) = seats[0];
            Envelope::new(TakeSeat { seat, by }).idempotency_key("k")
        };
        let first = decisions.execute(take()).await.unwrap();
        let second = decisions.execute(take()).await.unwrap();
        assert_eq!(first.events, second.events);
        assert_eq!(first.events.len(), 1);
        let receipt = first.receipt.unwrap();
        assert_eq!(second.receipt.unwrap().last, receipt.last);
        assert!(second.receipt.unwrap().duplicate && !receipt.duplicate);
        let state = decisions
            .state(&TakeSeat {
                seat: seats[0].0,
                by: 99,
            })
            .await;
        assert_eq!(state.unwrap().taken_by, Some(seats[0].1));
        store.close().await.unwrap();
    }
}

async fn make_anew(store: &EventStore) {
    store.delete_topic("t").await.unwrap();
    store.purge_topic("t").await.unwrap();
    store.create_topic(Kind::memory().topic("t")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_topic_that_was_made_anew_snapshots_are_made_anew() {
    let store = Kind::memory().open_with_topic().await;
    let plain = counters(&store).snapshots(Snapshots::every(3));
    for counters in [plain.clone(), plain.cache(2)] {
        let nine = CounterCommand::AddAll(vec![1; 9]);
        counters.execute("c", nine).await.unwrap();
        has_snapshots_at_the_end(&store, 9).await;
        make_anew(&store).await;
        let add = CounterCommand::AddAll(vec![2; 3]);
        counters.execute("c", add).await.unwrap();
        has_snapshots_at_the_end(&store, 3).await;
        counters.execute("c", CounterCommand::Add(2)).await.unwrap();
        assert_eq!(counters.load("c").await.unwrap().state.sum, 8);
        make_anew(&store).await;
    }
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_remembered_of_a_topic_that_was_made_anew_is_forgotten() {
    let store = Kind::memory().open_with_topic().await;
    let [others, remembering, ..] = ways(&store);
    for theirs in [1, 2] {
        let add = CounterCommand::Add(100);
        remembering.execute("c", add).await.unwrap();
        make_anew(&store).await;
        for _ in 0..theirs {
            others.execute("c", CounterCommand::Add(1)).await.unwrap();
        }
        let done = remembering.execute("c", CounterCommand::Add(1)).await;
        assert_eq!(done.unwrap().state, others.load("c").await.unwrap().state);
        make_anew(&store).await;
    }
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_by_a_schema_that_does_not_fit_together() {
    let store = Kind::memory().open_with_topic().await;
    let gap = Schema::new().upcast("Added", 2, Ok);
    let executed = counters(&store).schema(gap);
    let executed = executed.execute("c", CounterCommand::Add(1)).await;
    assert!(
        matches!(
            executed,
            Err(CommandError::Store(Error::InvalidConfig { .. }))
        ),
        "{executed:?}"
    );
    assert!(store.get_events("t", Read::all()).await.unwrap().is_empty());
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_one_event_can_be_said_of_another() {
    let store = Kind::memory().open_with_topic().await;
    let schema = Schema::new().upcast("Added", 1, Ok);
    let counters = counters(&store).schema(schema).cache(0);
    counters.execute("c", CounterCommand::Add(1)).await.unwrap();
    let added = store.get_events("t", Read::all()).await.unwrap();
    let reset = Envelope::new(CounterCommand::Reset).metadata(Metadata::of(&added[0]));
    counters.execute("c", reset).await.unwrap();
    assert_eq!(counters.load("c").await.unwrap().state.sum, 0);
    store.close().await.unwrap();
}
