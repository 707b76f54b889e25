//! Appends that wait together go to PostgreSQL as one group. What comes of each is what comes of it where
//! they are made one after the other: memory is the model.

#![cfg(feature = "postgres")]
#![cfg(test)]

#[path = "history/random.rs"]
mod random;
mod servers;

use std::time::Duration;

use annals::{
    Append, AppendReceipt, ConfigurationStream, Error, EventFilter, EventStore, EventStoreConfig,
    ExpectedVersion, NewEvent, Position, Read, Result, TopicConfig,
};
use futures_util::future::join_all;
use random::Random;
use serde_json::json;
use servers::postgres;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

/// The lock of a topic, held by somebody else.
async fn hold(url: &str) -> PgConnection {
    let (plain, schema) = url.split_once("&annals.schema=").unwrap();
    let mut connection = PgConnection::connect(plain).await.unwrap();
    let find = "SELECT substring(p.prosrc FROM 'pg_advisory_xact_lock\\((-?[0-9]+)\\)')::bigint FROM pg_proc p \
                JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = $1 AND p.proname LIKE '%_append'";
    let lock: i64 = sqlx::query_scalar(find)
        .bind(schema)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    let hold = AssertSqlSafe(format!("BEGIN; SELECT pg_advisory_xact_lock({lock})"));
    sqlx::raw_sql(hold).execute(&mut connection).await.unwrap();
    connection
}

/// Lets go when somebody waits.
async fn let_go(mut connection: PgConnection) {
    let waits = "SELECT EXISTS (SELECT FROM pg_locks w JOIN pg_locks h USING (locktype, database, classid, objid, objsubid) \
                 WHERE w.locktype = 'advisory' AND NOT w.granted AND h.pid = pg_backend_pid())";
    while !sqlx::query_scalar::<_, bool>(waits)
        .fetch_one(&mut connection)
        .await
        .unwrap()
    {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    connection.close().await.unwrap();
}

/// What is in a group.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nothing that is refused.
    Gentle,
    /// The same with one append that is, or is a duplicate.
    Nearly,
    /// Versions that are expected wrongly, ids and keys that come again.
    Mixed,
    /// Conditions, too, and appends to several streams at once.
    Special,
}

impl Kind {
    const fn is_gentle(self) -> bool {
        matches!(self, Self::Gentle | Self::Nearly)
    }
}

/// One that does not come to a new record, for one reason alone.
fn some_spoiler(random: &mut Random, before: &[Append]) -> Append {
    let event = || NewEvent::json("Spoilt", &json!({})).unwrap();
    match random.below(6) {
        0 => Append::new([event()]).stream("stream-4"),
        1 => Append::new([event()])
            .stream("stream-0")
            .expected(ExpectedVersion::exact(1_000)),
        2 => Append::new([event()])
            .stream("no-such-stream")
            .expected(ExpectedVersion::StreamExists),
        3 => Append::new([event().id(first_id("other"))]).stream("stream-1"),
        4 => Append::new([event()])
            .idempotency_key("other")
            .stream("stream-2"),
        _ => before.first().unwrap().clone(),
    }
}

/// The id of the event with which a stream begins: as if a key of its name had been used for two events.
fn first_id(stream: &str) -> Uuid {
    Append::keyed_id(stream, 1)
}

fn some_append(random: &mut Random, kind: Kind, ids: &[Uuid]) -> Append {
    let streams = if kind.is_gentle() { 4 } else { 5 };
    let stream = |random: &mut Random| format!("stream-{}", random.below(streams));
    let own = stream(random);
    let count = if random.one_in(9) {
        8 + random.below(12)
    } else {
        1 + random.below(3)
    };
    let keyed = random.one_in(6);
    let events = (0..count).map(|number| {
        let tags: Vec<_> = (0..random.below(3))
            .map(|_| format!("tag-{}", random.below(4)))
            .collect();
        let mut event = NewEvent::json("Counted", &json!({ "number": number }))
            .unwrap()
            .tags(tags);
        if random.one_in(9) {
            event = event.metadata(&json!({ "by": "somebody" })).unwrap();
        }
        if !kind.is_gentle() && !keyed && number == 0 && random.one_in(3) {
            event = event.id(*random.pick(ids).unwrap());
        }
        if kind == Kind::Special && random.one_in(8) {
            event = event.stream(stream(random));
        }
        event
    });
    let events: Vec<_> = events.collect();
    let mut append = Append::new(events).stream(own);
    if keyed {
        let keys = if kind.is_gentle() { u64::MAX } else { 6 };
        append = append.idempotency_key(format!("key-{}", random.below(keys)));
    }
    if kind.is_gentle() {
        return append;
    }
    append = match random.below(8) {
        0 => append.expected(ExpectedVersion::NoStream),
        1 => append.expected(ExpectedVersion::StreamExists),
        2 => append.expected(ExpectedVersion::exact(random.below(12))),
        _ => append,
    };
    if kind == Kind::Special && random.one_in(8) {
        let tag = EventFilter::all().tags([format!("tag-{}", random.below(4))]);
        append = append.unless(tag, Position::new(random.below(60)));
    }
    append
}

/// Appends on few streams; some come again as they were.
fn some_appends(random: &mut Random, kind: Kind) -> Vec<Append> {
    let ids: Vec<Uuid> = (0..60).map(|_| random.id()).collect();
    let mut appends: Vec<Append> = Vec::new();
    for _ in 0..60 {
        let again = random.pick(&appends).cloned();
        let append = match again {
            Some(again) if !kind.is_gentle() && random.one_in(6) => again,
            _ => some_append(random, kind, &ids),
        };
        appends.push(append);
    }
    if kind == Kind::Nearly {
        let at = 1 + usize::try_from(random.below(59)).unwrap();
        appends[at] = some_spoiler(random, &appends);
    }
    appends
}

/// What may be compared of an outcome.
fn outcome(result: Result<AppendReceipt>) -> std::result::Result<AppendReceipt, String> {
    result.map_err(|error| match error {
        Error::RepositoryUnavailable { .. } => panic!("{error}"),
        error => format!("{error:?}"),
    })
}

async fn log(store: &EventStore) -> Vec<String> {
    let read = Read::all().include_deleted().limit(u64::MAX);
    let events = store.get_events("t", read).await.unwrap();
    let line = |event: &annals::RecordedEvent| {
        format!(
            "{} {} {} {} {:?} {:?}",
            event.position,
            event.stream,
            event.version,
            event.event_type,
            event.tags,
            event.payload
        )
    };
    events.iter().map(line).collect()
}

#[tokio::test]
async fn appends_of_a_group_come_to_what_they_come_to_one_after_the_other() {
    let (mut recorded, mut duplicate, mut refused) = (0, 0, 0);
    for seed in 0..30 {
        let mut random = Random(seed);
        let kinds = [
            Kind::Gentle,
            Kind::Nearly,
            Kind::Nearly,
            Kind::Mixed,
            Kind::Special,
        ];
        let kind = kinds[usize::try_from(seed % 5).unwrap()];
        let url = postgres().fresh();
        let open = |stream| EventStore::open(EventStoreConfig::new(stream));
        let model = open(ConfigurationStream::memory()).await.unwrap();
        let store = open(ConfigurationStream::memory()).await.unwrap();
        model.create_topic(TopicConfig::memory("t")).await.unwrap();
        store
            .create_topic(TopicConfig::postgres("t", &url))
            .await
            .unwrap();
        // Also where a stream was deleted, and one of them still is.
        for store in [&model, &store] {
            let first = |stream: &str| {
                let event = NewEvent::json("Begun", &json!(0)).unwrap();
                Append::new([event.id(first_id(stream))]).stream(stream)
            };
            store.append_events("t", first("other")).await.unwrap();
            if seed % 2 == 1 {
                store.append_events("t", first("stream-4")).await.unwrap();
                store.delete_stream("t", "stream-4").await.unwrap();
            }
        }
        for _ in 0..2 {
            let appends = some_appends(&mut random, kind);
            let holding = hold(&url).await;
            let all = join_all(
                appends
                    .iter()
                    .map(|one| store.append_events("t", one.clone())),
            );
            let (found, ()) = tokio::join!(all, let_go(holding));
            for (append, found) in appends.into_iter().zip(found) {
                let expected = outcome(model.append_events("t", append.clone()).await);
                assert_eq!(outcome(found), expected, "seed {seed}: {append:?}");
                assert!(kind != Kind::Gentle || expected.is_ok(), "{expected:?}");
                match expected {
                    Ok(receipt) if receipt.duplicate => duplicate += 1,
                    Ok(_) => recorded += 1,
                    Err(_) => refused += 1,
                }
            }
            assert_eq!(log(&store).await, log(&model).await, "seed {seed}");
            for number in 0..4 {
                let tagged = Read::all().filter(EventFilter::all().tags([format!("tag-{number}")]));
                let found = store.get_events("t", tagged.clone()).await.unwrap();
                let expected = model.get_events("t", tagged).await.unwrap();
                let at = |events: &[annals::RecordedEvent]| {
                    events
                        .iter()
                        .map(|event| event.position)
                        .collect::<Vec<_>>()
                };
                assert_eq!(at(&found), at(&expected), "seed {seed}");
            }
        }
        store.verify_topic("t").await.unwrap();
        store.close().await.unwrap();
        model.close().await.unwrap();
    }
    println!("{recorded} recorded, {duplicate} duplicate, {refused} refused");
    assert!(recorded > 300 && duplicate > 30 && refused > 100);
}

#[tokio::test]
async fn a_group_of_which_none_is_refused_is_recorded_in_its_order() {
    let url = postgres().fresh();
    let config = EventStoreConfig::new(ConfigurationStream::memory());
    let store = EventStore::open(config).await.unwrap();
    store
        .create_topic(TopicConfig::postgres("t", &url))
        .await
        .unwrap();
    let append = |number: u64| {
        let events = (0..1 + number % 3).map(|nth| {
            NewEvent::json("Counted", &json!({ "number": number, "nth": nth }))
                .unwrap()
                .tags([format!("of-{}", number % 2)])
        });
        // Each expects what the one before it in its stream leaves.
        let events: Vec<_> = events.collect();
        let before: u64 = (0..number)
            .filter(|one| one % 4 == number % 4)
            .map(|one| 1 + one % 3)
            .sum();
        Append::new(events)
            .stream(format!("stream-{}", number % 4))
            .expected(ExpectedVersion::exact(before))
    };
    // So that all that follow are sent in their order.
    let first = Append::new([NewEvent::json("Begun", &json!(0)).unwrap()]).stream("other");
    store.append_events("t", first).await.unwrap();
    let holding = hold(&url).await;
    let all = join_all((0..100).map(|number| store.append_events("t", append(number))));
    let (receipts, ()) = tokio::join!(all, let_go(holding));
    let mut next = Position::new(2);
    for receipt in receipts {
        let receipt = receipt.unwrap();
        assert_eq!(receipt.first, next);
        next = receipt.last.next();
    }
    let events = store
        .get_events("t", Read::all().after(Position::new(1)).limit(1000))
        .await
        .unwrap();
    let numbers = events
        .iter()
        .map(|event| event.json::<serde_json::Value>().unwrap());
    let numbers: Vec<_> = numbers
        .map(|one| {
            (
                one["number"].as_u64().unwrap(),
                one["nth"].as_u64().unwrap(),
            )
        })
        .collect();
    let expected: Vec<_> = (0..100)
        .flat_map(|number| (0..1 + number % 3).map(move |nth| (number, nth)))
        .collect();
    assert_eq!(numbers, expected);
    assert!(
        events
            .windows(2)
            .all(|two| two[0].recorded_at <= two[1].recorded_at)
    );
    store.verify_topic("t").await.unwrap();
    store.close().await.unwrap();
}

/// A store deletes a stream in a group with what others append to it meanwhile.
#[tokio::test]
async fn what_follows_a_deletion_in_its_group_is_refused() {
    let url = postgres().fresh();
    let config = EventStoreConfig::new(ConfigurationStream::memory());
    let store = EventStore::open(config).await.unwrap();
    store
        .create_topic(TopicConfig::postgres("t", &url))
        .await
        .unwrap();
    let begun = Append::new([NewEvent::json("Begun", &json!(0)).unwrap()]).stream("s");
    store.append_events("t", begun).await.unwrap();
    let (plain, schema) = url.split_once("&annals.schema=").unwrap();
    let mut connection = PgConnection::connect(plain).await.unwrap();
    // Four appends of an event each: a deletion, two to that stream, one of which restores it, and another.
    let call = format!(
        "SELECT written FROM {schema}.t_append(ARRAY['s', 's', 's', 'other'], array_fill(-2::bigint, ARRAY[4]), \
         array_fill(1, ARRAY[4]), array_fill(now(), ARRAY[4]), array_fill(NULL::uuid, ARRAY[4]), \
         array_fill(NULL::text, ARRAY[4]), array_fill(NULL::text, ARRAY[4]), array_fill(NULL::bigint, ARRAY[4]), \
         ARRAY(SELECT gen_random_uuid() FROM generate_series(1, 4)), array_fill(NULL::text, ARRAY[4]), \
         ARRAY['$stream-deleted', 'Late', '$stream-restored', 'Given'], array_fill('{{}}'::json, ARRAY[4]), \
         array_fill(NULL::bytea, ARRAY[4]), array_fill(NULL::text, ARRAY[4]), array_fill(NULL::json, ARRAY[4]), \
         array_fill(NULL::bytea, ARRAY[4]), array_fill(NULL::text, ARRAY[4]), array_fill(1, ARRAY[4]), \
         array_fill(1, ARRAY[4]))"
    );
    let written: Vec<bool> = sqlx::query_scalar(AssertSqlSafe(call))
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert_eq!(written, [true, false, true, true]);
    connection.close().await.unwrap();
    store.close().await.unwrap();
}
