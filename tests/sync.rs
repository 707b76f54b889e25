//! Clients that work offline: tokens that stay valid for as long as their topic is there, and pushes
//! that lose, double and hide nothing.

#![cfg(test)]
#![cfg(all(feature = "file", feature = "testing"))]

mod kinds;
#[cfg(feature = "postgres")]
mod servers;

use std::collections::BTreeMap;

use annals::{
    Error, EventFilter, EventStore, ExpectedVersion, NewEvent, Position, PushEvent, PushOutcome,
    SyncToken, Version, testing::Delivered,
};
use kinds::{Kind, append, log};
use uuid::Uuid;

/// Takes all changes after a token, this many at a time.
async fn pull(
    store: &EventStore,
    mut since: SyncToken,
    limit: usize,
    delivered: &mut Delivered,
    filter: &EventFilter,
) -> SyncToken {
    loop {
        // A client keeps it as text.
        since = since.to_string().parse().unwrap();
        let changes = store.changes_of("t", filter.clone(), since, limit);
        let changes = changes.await.unwrap();
        assert!(changes.events.len() <= limit);
        assert!(!changes.more || !changes.events.is_empty());
        changes
            .events
            .iter()
            .for_each(|event| delivered.take(event));
        since = changes.next;
        if !changes.more {
            return since;
        }
    }
}

fn expired<T: std::fmt::Debug>(outcome: annals::Result<T>) {
    assert!(
        matches!(outcome, Err(Error::TokenExpired { .. })),
        "{outcome:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_an_exact_run_over_restarts() {
    for kind in Kind::all() {
        let mut store = kind.open_with_topic().await;
        let filters = [
            EventFilter::all(),
            EventFilter::all().streams(["s-0"]),
            EventFilter::all().types(["NeverThere"]),
        ];
        let mut clients: Vec<_> = filters
            .iter()
            .flat_map(|filter| [1, 7, 1000].map(|limit| (filter, limit)))
            .map(|(filter, limit)| {
                let delivered = Delivered::after(Position::START).of(filter.clone());
                (filter, limit, delivered, SyncToken::START)
            })
            .collect();
        let mut head = 0;
        for round in 0..6_u64 {
            append(&store, "t", &format!("s-{}", round % 2), round * 3 + 1).await;
            head += round * 3 + 1;
            for (filter, limit, delivered, since) in &mut clients {
                *since = pull(&store, *since, *limit, delivered, filter).await;
                let nothing = store.changes_of("t", filter.clone(), *since, 5);
                let nothing = nothing.await.unwrap();
                assert!(nothing.events.is_empty() && !nothing.more);
                assert_eq!(nothing.next, *since, "a token stays where it is");
            }
            if let Some(again) = kind.open_another().await {
                store.close().await.unwrap();
                store = again;
            }
        }
        let log = log(&store, "t").await;
        for (_, _, delivered, _) in &clients {
            delivered.check(&log, Position::new(head));
        }
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_ends_with_its_topic() {
    for kind in Kind::all() {
        let store = kind.open_with_topic().await;
        append(&store, "t", "s", 5).await;
        let token = store.changes("t", SyncToken::START, 3).await.unwrap().next;
        // The topic is hidden, and comes back as it was.
        store.delete_topic("t").await.unwrap();
        let hidden = store.changes("t", token, 3).await;
        assert!(matches!(hidden, Err(Error::TopicNotFound { .. })));
        store.restore_topic("t").await.unwrap();
        let rest = store.changes("t", token, 3).await.unwrap();
        assert_eq!(rest.events[0].position.get(), 4);
        store.delete_topic("t").await.unwrap();
        store.create_topic(kind.topic("t")).await.unwrap();
        append(&store, "t", "s", 9).await;
        expired(store.changes("t", token, 3).await);
        let anew = store.changes("t", SyncToken::START, 100).await.unwrap();
        assert_eq!(anew.events.len(), 9);
        store.create_topic(kind.topic("other")).await.unwrap();
        append(&store, "other", "s", 9).await;
        expired(store.changes("other", anew.next, 3).await);
        let other = Kind::memory().open_with_topic().await;
        append(&other, "t", "s", 9).await;
        expired(other.changes("t", anew.next, 3).await);
        // One that is ahead knows of events that are lost.
        let text = anew.next.to_string();
        let ahead = text.rsplit_once('.').unwrap().0.to_owned() + ".10";
        expired(store.changes("t", ahead.parse().unwrap(), 3).await);
        expired("rubbish".parse::<SyncToken>());
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_changes_come_in_portions() {
    let kind = Kind::file();
    let store = kind.open_with_topic().await;
    for _ in 0..40 {
        let large = NewEvent::binary("Large", "text/plain", vec![b'x'; 1 << 20]);
        store.append_events("t", large).await.unwrap();
    }
    let mut delivered = Delivered::after(Position::START);
    let first = store.changes("t", SyncToken::START, 1000).await.unwrap();
    assert!(first.more && first.events.len() < 20, "all at once");
    pull(
        &store,
        SyncToken::START,
        1000,
        &mut delivered,
        &EventFilter::all(),
    )
    .await;
    delivered.check(&log(&store, "t").await, Position::new(40));
    store.close().await.unwrap();
}

fn note(text: &str) -> NewEvent {
    NewEvent::json("Noted", &text).unwrap()
}

/// Events that a client has made offline, of which some cannot be recorded.
fn offline_work() -> Vec<PushEvent> {
    let exact = ExpectedVersion::exact;
    vec![
        PushEvent::new(note("a"), "known", exact(2)),
        PushEvent::new(note("b"), "known", exact(3)),
        PushEvent::new(note("c"), "ahead", exact(3)),
        PushEvent::new(note("d"), "new", ExpectedVersion::NoStream),
        // What is recorded now would let these pass, and they were made on something else.
        PushEvent::new(note("e"), "ahead", exact(5)),
        PushEvent::new(note("f"), "ahead", ExpectedVersion::Any),
        PushEvent::new(note("g"), "gone", ExpectedVersion::Any),
        PushEvent::new(note("h"), "x".repeat(600), ExpectedVersion::Any),
        PushEvent::new(NewEvent::json("$reserved", &1).unwrap(), "bad", exact(0)),
        PushEvent::new(note("i"), "new", exact(1)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_tells_of_each_event_what_came_of_it() {
    for kind in Kind::all() {
        let store = kind.open_with_topic().await;
        append(&store, "t", "known", 2).await;
        append(&store, "t", "ahead", 5).await;
        append(&store, "t", "gone", 1).await;
        store.delete_stream("t", "gone").await.unwrap();
        let events = offline_work();
        for again in [false, true] {
            let outcomes = store.push("t", events.clone()).await.unwrap();
            assert_eq!(outcomes.len(), events.len());
            let told = |index: usize| match &outcomes[index] {
                PushOutcome::Accepted { version, .. } => (false, version.get()),
                PushOutcome::Duplicate { version, .. } => (true, version.get()),
                other => panic!("{index}: {other:?}"),
            };
            let versions = [(0, 3), (1, 4), (3, 1), (9, 2)];
            for (index, version) in versions {
                assert_eq!(told(index), (again, version), "{}", kind.adapter);
            }
            let PushOutcome::Conflict {
                version,
                events: theirs,
            } = &outcomes[2]
            else {
                panic!("{:?}", outcomes[2]);
            };
            assert_eq!(*version, Version::new(5));
            let theirs: Vec<_> = theirs.iter().map(|event| event.version.get()).collect();
            assert_eq!(theirs, [4, 5]);
            for index in [4, 5] {
                let follows = matches!(&outcomes[index], PushOutcome::Follows { refused }
                    if *refused == events[2].id());
                assert!(follows, "{:?}", outcomes[index]);
            }
            assert!(matches!(
                &outcomes[6],
                PushOutcome::Refused(Error::StreamDeleted { .. })
            ));
            assert!(
                matches!(&outcomes[7], PushOutcome::Refused(_)),
                "{:?}",
                outcomes[7]
            );
            assert!(matches!(
                &outcomes[8],
                PushOutcome::Refused(Error::InvalidEvent { .. })
            ));
            assert_eq!(log(&store, "t").await.len(), 9 + 4);
        }
        // The same id with something else in it is refused, and nothing is hidden.
        let other = PushEvent::new(
            note("other").id(events[0].id()),
            "known",
            ExpectedVersion::exact(4),
        );
        let outcomes = store.push("t", vec![other]).await.unwrap();
        assert!(matches!(
            outcomes[0],
            PushOutcome::Refused(Error::IdempotencyConflict { .. })
        ));
        store.delete_topic("t").await.unwrap();
        let refused = store.push("t", events).await;
        assert!(matches!(refused, Err(Error::TopicNotFound { .. })));
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_refused_by_what_its_condition_rules_out() {
    for kind in Kind::all() {
        let store = kind.open_with_topic().await;
        append(&store, "t", "other", 2).await;
        let looked_to = Position::new(2);
        let others = EventFilter::all().streams(["other"]);
        let guarded = |text: &str| {
            PushEvent::new(note(text), "mine", ExpectedVersion::NoStream)
                .unless(others.clone(), looked_to)
        };
        let mine = guarded("a");
        append(&store, "t", "other", 1).await;
        let refused = store.push("t", vec![mine]).await.unwrap();
        assert!(matches!(
            refused[0],
            PushOutcome::Refused(Error::ConditionFailed { position }) if position.get() == 3
        ));
        assert_eq!(log(&store, "t").await.len(), 3, "{}", kind.adapter);
        // Looked at again, and pushed twice: what came between does not matter to a duplicate.
        let again = PushEvent::new(note("b"), "mine", ExpectedVersion::NoStream)
            .unless(others.clone(), Position::new(3));
        let first = store.push("t", vec![again.clone()]).await.unwrap();
        assert!(matches!(first[0], PushOutcome::Accepted { .. }));
        append(&store, "t", "other", 1).await;
        let second = store.push("t", vec![again]).await.unwrap();
        assert!(matches!(second[0], PushOutcome::Duplicate { .. }));
        store.close().await.unwrap();
    }
}

/// A client that is offline most of the time: it makes events on what it knows, pushes, and pulls.
struct Client {
    name: usize,
    versions: BTreeMap<String, u64>,
    outbox: Vec<PushEvent>,
    since: SyncToken,
    delivered: Delivered,
    recorded: Vec<Uuid>,
    refused: Vec<Uuid>,
}

impl Client {
    fn new(name: usize) -> Self {
        Self {
            name,
            versions: BTreeMap::new(),
            outbox: Vec::new(),
            since: SyncToken::START,
            delivered: Delivered::after(Position::START),
            recorded: Vec::new(),
            refused: Vec::new(),
        }
    }

    fn work(&mut self, round: usize) {
        for step in 0..4 {
            let stream = format!("s-{}", (self.name * 3 + round * 7 + step * 5) % 6);
            let known = self.versions.entry(stream.clone()).or_default();
            let event = note(&format!("{} {round} {step}", self.name));
            self.outbox.push(PushEvent::new(
                event,
                stream,
                ExpectedVersion::exact(*known),
            ));
            *known += 1;
        }
    }

    async fn sync(&mut self, store: &EventStore, lost_answer: bool) {
        if lost_answer {
            store.push("t", self.outbox.clone()).await.unwrap();
        }
        let outcomes = store.push("t", self.outbox.clone()).await.unwrap();
        for (event, outcome) in self.outbox.drain(..).zip(outcomes) {
            if outcome.is_recorded() {
                self.recorded.push(event.id());
            } else {
                self.refused.push(event.id());
            }
        }
        self.versions.clear();
        self.since = pull(
            store,
            self.since,
            10,
            &mut self.delivered,
            &EventFilter::all(),
        )
        .await;
        for event in log(store, "t").await {
            self.versions
                .insert(event.stream.to_string(), event.version.get());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_sync_at_once_lose_and_double_nothing() {
    for kind in Kind::all() {
        let store = kind.open_with_topic().await;
        let tasks = (0..5).map(|name| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut client = Client::new(name);
                for round in 0..8 {
                    client.work(round);
                    if (name + round) % 3 != 0 {
                        client.sync(&store, (name + round) % 2 == 0).await;
                    }
                }
                client.sync(&store, false).await;
                client
            })
        });
        let clients: Vec<_> = futures_util::future::join_all(tasks).await;
        let log = log(&store, "t").await;
        let mut recorded = 0;
        let mut refused = 0;
        for client in clients {
            let mut client = client.unwrap();
            client.sync(&store, false).await;
            client
                .delivered
                .check(&log, Position::new(log.len() as u64));
            recorded += client.recorded.len();
            refused += client.refused.len();
            for id in client.recorded {
                assert_eq!(log.iter().filter(|event| event.id == id).count(), 1);
            }
            for id in client.refused {
                assert!(log.iter().all(|event| event.id != id), "it was refused");
            }
        }
        assert_eq!((recorded, recorded + refused), (log.len(), 5 * 8 * 4));
        assert!(refused > 0, "they never met");
        store.close().await.unwrap();
    }
}
