//! What a read or an append looks at in a large table: what it needs, and not the table.
//!
//! Not the plans are looked at but what the server counts: how many rows it took out of each table
//! and index. The counts are written when a session ends, so a repository is opened for each question.

#![cfg(feature = "postgres")]
#![cfg(test)]

mod servers;

use annals::{
    Append, ConfigurationStream, Error, EventFilter, EventStore, EventStoreConfig, ExpectedVersion,
    NewEvent, Position, Read, Timestamp, TopicConfig,
};
use servers::postgres;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

/// How many events there are. `ANNALS_SIZE_EVENTS` sets another number.
fn events() -> u64 {
    let set = std::env::var("ANNALS_SIZE_EVENTS").ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(200_000)
}

async fn open_in(url: &str) -> EventStore {
    let configuration = ConfigurationStream::postgres(url);
    EventStore::open(EventStoreConfig::new(configuration))
        .await
        .unwrap()
}

/// Rows that were taken out of the tables of the topic, and of their indexes.
async fn taken(connection: &mut PgConnection, schema: &str) -> i64 {
    sqlx::raw_sql("SELECT pg_stat_clear_snapshot()")
        .execute(&mut *connection)
        .await
        .unwrap();
    let row = sqlx::query(
        "SELECT coalesce(sum(t.seq_tup_read), 0)::bigint + coalesce(sum(t.idx_tup_fetch), 0)::bigint + \
         (SELECT coalesce(sum(i.idx_tup_read), 0)::bigint FROM pg_stat_user_indexes i WHERE i.schemaname = $1) \
         FROM pg_stat_user_tables t WHERE t.schemaname = $1",
    )
    .bind(schema)
    .fetch_one(connection)
    .await
    .unwrap();
    row.get(0)
}

/// Fills the topic `t` as if by appends, but faster, with events of 100 to a stream. Every tenth has
/// the type `Tenth`; one stream, `long`, has a tenth of all events.
fn filling(schema: &str, events: u64) -> String {
    format!(
        "INSERT INTO {schema}.t SELECT n, CASE WHEN n % 10 = 0 THEN n / 10 ELSE (n / 10 % 90) + 1 END, \
         'epoch'::timestamptz + n * interval '1 second', gen_random_uuid(), \
         CASE WHEN n % 10 = 0 THEN 'long' ELSE 's-' || n / 900 || '-' || n % 10 END, \
         CASE WHEN n % 10 = 0 THEN 'Tenth' ELSE 'Other' END, '{{}}', NULL, NULL, NULL, NULL, \
         ARRAY['all', 'n:' || n], 100, 0 FROM generate_series(1, {events}) n; \
         INSERT INTO {schema}.t_tags SELECT 'all', n FROM generate_series(1, {events}) n; \
         INSERT INTO {schema}.t_tags SELECT 'n:' || n, n FROM generate_series(1, {events}) n"
    )
}

/// A read that finds an event looks at it, and stops there: its checksum is made up.
async fn found(store: &EventStore, read: Read) {
    found_of(store, read.limit(1)).await;
}

async fn found_of(store: &EventStore, read: Read) {
    let outcome = store.get_events("t", read).await;
    assert!(
        matches!(&outcome, Err(Error::Corruption { reason, .. }) if reason.contains("checksum")),
        "{outcome:?}"
    );
}

async fn nothing(store: &EventStore, read: Read) {
    assert!(store.get_events("t", read).await.unwrap().is_empty());
}

async fn ask_to_append(store: &EventStore, question: &str, events: u64) {
    let all = EventFilter::all;
    let near_end = Position::new(events - 50);
    let guarded = |filter: EventFilter, after: Position| async move {
        let append = Append::new([NewEvent::json("New", &1).unwrap()]).unless(filter, after);
        store.append_events("t", append).await.map(drop)
    };
    match question {
        "append" => {
            let append = Append::new([NewEvent::json("New", &1).unwrap().tag("new")]);
            store
                .append_events("t", append.stream("new"))
                .await
                .unwrap();
        }
        "append to a long stream" => {
            let append = Append::new([NewEvent::json("New", &1).unwrap()]).stream("long");
            let error = store
                .append_events("t", append.expected(ExpectedVersion::exact(3)))
                .await;
            assert!(
                matches!(error, Err(Error::WrongExpectedVersion { .. })),
                "{error:?}"
            );
        }
        "unless a tag" => guarded(all().tags(["nobody"]), Position::START)
            .await
            .unwrap(),
        "unless a rare and a common tag" => {
            guarded(all().tags(["all", "n:77", "nobody"]), Position::START)
                .await
                .unwrap();
        }
        "unless a tag and a type" => {
            guarded(all().tags(["n:77"]).types(["Tenth"]), Position::START)
                .await
                .unwrap();
        }
        "unless a common tag near the end" => {
            guarded(all().tags(["all"]).types(["Never"]), near_end)
                .await
                .unwrap();
        }
        "unless a type" => guarded(all().types(["Never"]), Position::START)
            .await
            .unwrap(),
        "unless a long stream near the end" => {
            guarded(all().streams(["long"]).types(["Never"]), near_end)
                .await
                .unwrap();
        }
        "unless anything of a time" => {
            let filter = all()
                .stream_prefix("never")
                .recorded_since(second(events - 50));
            guarded(filter, Position::START).await.unwrap();
        }
        "unless anything near the end" => {
            guarded(all().stream_prefix("never"), near_end)
                .await
                .unwrap();
        }
        other => panic!("{other}"),
    }
}

async fn ask_to_read(store: &EventStore, question: &str, events: u64) {
    let all = EventFilter::all;
    let near_end = Position::new(events - 50);
    match question {
        "read one" => found(store, Read::all().after(Position::new(events / 2))).await,
        "read a page" => {
            let page = Read::all().after(Position::new(events / 2)).limit(500);
            found_of(store, page).await;
        }
        "read a time" => {
            let filter = all()
                .recorded_since(second(events / 2))
                .recorded_until(second(events / 2 + 9));
            found(store, Read::all().filter(filter)).await;
        }
        "read the last of a time" => {
            let filter = all().recorded_until(second(events / 2));
            found(store, Read::all().filter(filter).backward()).await;
        }
        "read before all time" => {
            nothing(store, Read::all().filter(all().recorded_until(second(0)))).await;
        }
        "read the last" => found(store, Read::all().backward()).await,
        "read a stream" => found(store, Read::stream("s-3-3")).await,
        "read the end of a long stream" => found(store, Read::stream("long").backward()).await,
        "read a long stream near the end" => {
            found(store, Read::stream("long").after(near_end)).await;
        }
        "read a type" => {
            found(
                store,
                Read::all().filter(all().types(["Tenth"])).after(near_end),
            )
            .await
        }
        "read a tag" => found(store, Read::all().filter(all().tags(["n:77"]))).await,
        "read nobody's tag" => nothing(store, Read::all().filter(all().tags(["nobody"]))).await,
        "read streams near the end" => {
            let filter = all().streams(["long", "s-3-3"]);
            found(store, Read::all().filter(filter).after(near_end)).await;
        }
        other => panic!("{other}"),
    }
}

async fn ask(store: &EventStore, question: &str, events: u64) {
    if question.starts_with("read") {
        ask_to_read(store, question, events).await;
    } else {
        ask_to_append(store, question, events).await;
    }
}

/// The moment at which an event was recorded in the table that is filled.
fn second(number: u64) -> Timestamp {
    Timestamp::from_micros(i64::try_from(number).unwrap() * 1_000_000)
}

const QUESTIONS: [&str; 23] = [
    "unless anything of a time",
    "read a time",
    "read the last of a time",
    "read before all time",
    "append",
    "append to a long stream",
    "unless a tag",
    "unless a rare and a common tag",
    "unless a tag and a type",
    "unless a common tag near the end",
    "unless a type",
    "unless a long stream near the end",
    "unless anything near the end",
    "read one",
    "read a page",
    "read the last",
    "read a stream",
    "read the end of a long stream",
    "read a long stream near the end",
    "read a type",
    "read a tag",
    "read nobody's tag",
    "read streams near the end",
];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_looks_at_more_than_it_needs() {
    look(Some("ANALYZE t; ANALYZE t_tags")).await;
}

/// A topic that has grown fast is long before the server has counted anything in it.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_looks_at_more_than_it_needs_in_a_table_without_statistics() {
    look(None).await;
}

/// Asks all questions of a topic that was filled, and then prepared.
async fn look(prepare: Option<&'static str>) {
    let events = events();
    let url = postgres().fresh();
    let schema = url.rsplit_once("annals.schema=").unwrap().1.to_owned();
    let store = open_in(&url).await;
    store
        .create_topic(TopicConfig::postgres("t", &url))
        .await
        .unwrap();
    store.close().await.unwrap();
    let plain = url.split("&annals.").next().unwrap();
    let mut connection = PgConnection::connect(plain).await.unwrap();
    let mut statements = filling(&schema, events);
    if let Some(prepare) = prepare {
        statements += &format!("; SET search_path = {schema}; {prepare}");
    }
    sqlx::raw_sql(AssertSqlSafe(statements))
        .execute(&mut connection)
        .await
        .unwrap();
    let mut wasteful = Vec::new();
    for question in QUESTIONS {
        connection.close().await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        connection = PgConnection::connect(plain).await.unwrap();
        let before = taken(&mut connection, &schema).await;
        let store = open_in(&url).await;
        ask(&store, question, events).await;
        store.close().await.unwrap();
        // The sessions write their counts as they end.
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        let rows = taken(&mut connection, &schema).await - before;
        println!("{question}: {rows} rows");
        if rows > 3_500 {
            wasteful.push(format!("{question}: {rows} rows"));
        }
    }
    connection.close().await.unwrap();
    assert!(wasteful.is_empty(), "of {events} events: {wasteful:?}");
}

/// Plans are made when a topic is empty, and kept: they have to serve when it is not.
#[tokio::test(flavor = "multi_thread")]
async fn an_append_costs_the_same_while_a_topic_grows() {
    const APPENDS: u64 = 3000;
    let url = postgres().fresh();
    let schema = url.rsplit_once("annals.schema=").unwrap().1.to_owned();
    let store = open_in(&url).await;
    store
        .create_topic(TopicConfig::postgres("t", &url))
        .await
        .unwrap();
    for number in 0..APPENDS {
        let event = NewEvent::json("Counted", &number)
            .unwrap()
            .tag("all")
            .tag(format!("n:{number}"));
        let rule = EventFilter::all().tags([format!("n:{number}")]);
        let rule = if number % 2 == 0 {
            rule
        } else {
            rule.types(["Counted", "Other"])
        };
        let append = Append::new([event]).stream(format!("s-{}", number % 7));
        let append = append
            .expected(ExpectedVersion::exact(number / 7))
            .unless(rule, Position::START);
        store.append_events("t", append).await.unwrap();
    }
    store.close().await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let mut connection = PgConnection::connect(url.split("&annals.").next().unwrap())
        .await
        .unwrap();
    let rows = taken(&mut connection, &schema).await;
    assert!(
        rows > 0 && rows.unsigned_abs() < 40 * APPENDS,
        "{rows} rows for {APPENDS} appends"
    );
}
