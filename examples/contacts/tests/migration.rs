//! A table of events, into which is written while it is moved.

use std::time::Duration;

use annals::{
    Read,
    repository::postgres::sqlx::{self, AssertSqlSafe, Connection, PgConnection},
};
use tokio::sync::oneshot;

use super::database;
use crate::{
    ledger,
    migrate::{Migrate, run, run_in},
};

const TABLE: &str = "CREATE TABLE events (id bigserial PRIMARY KEY, stream_id text NOT NULL, \
    version bigint NOT NULL, type text NOT NULL, payload jsonb NOT NULL, metadata jsonb, \
    created_at timestamptz NOT NULL DEFAULT now(), event_id uuid, UNIQUE (stream_id, version))";
/// Every other row has an id and metadata of its own.
const INSERT: &str = "INSERT INTO events (stream_id, version, type, payload, metadata, event_id) \
    SELECT $1, $2, 'Done', jsonb_build_object('text', 'é \"' || $1, 'number', $2), \
    CASE WHEN $2 % 2 = 0 THEN '{\"by\": 7}'::jsonb END, \
    CASE WHEN $2 % 2 = 0 THEN gen_random_uuid() END";

/// Id, stream, version, payload, metadata, time and event id.
type Row = (
    i64,
    String,
    i64,
    String,
    Option<String>,
    i64,
    Option<uuid::Uuid>,
);

async fn table(url: &str) -> PgConnection {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query(TABLE).execute(&mut connection).await.unwrap();
    connection
}

async fn insert(connection: &mut PgConnection, stream: &str, version: i64) {
    let insert = sqlx::query(AssertSqlSafe(INSERT))
        .bind(stream)
        .bind(version);
    insert.execute(connection).await.unwrap();
}

fn migrate(url: &str, follow: bool) -> Migrate {
    Migrate {
        from: url.to_owned(),
        table: "events".to_owned(),
        columns: Vec::new(),
        topic: "moved".to_owned(),
        adapter: "memory".to_owned(),
        connection: String::new(),
        follow,
        cut_over: false,
        batch: 7,
    }
}

async fn store() -> annals::EventStore {
    let store = ledger::open("memory", "").await.unwrap();
    let config = annals::TopicConfig::memory("moved");
    store.create_topic(config).await.unwrap();
    store
}

/// Writes in transactions that take their numbers early and are seen late; some never.
async fn write(url: String, writer: i64) {
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let mut version = 0;
    for round in 0..25 {
        let mut transaction = connection.begin().await.unwrap();
        insert(&mut transaction, &format!("s-{writer}"), version + 1).await;
        tokio::time::sleep(Duration::from_millis(
            ((round * 7 + writer * 13) % 30).cast_unsigned(),
        ))
        .await;
        insert(&mut transaction, &format!("s-{writer}"), version + 2).await;
        if round % 5 == 4 {
            transaction.rollback().await.unwrap();
        } else {
            transaction.commit().await.unwrap();
            version += 2;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_written_to_is_moved_in_order_and_as_it_is() {
    let url = database().await;
    let mut connection = table(&url).await;
    let store = store().await;
    let (cut_over, end) = oneshot::channel::<()>();
    let moving = tokio::spawn({
        let (store, url) = (store.clone(), url.clone());
        async move {
            let end = async {
                end.await.ok();
            };
            run_in(&store, &migrate(&url, true), end).await
        }
    });
    let writers = (0..4).map(|writer| tokio::spawn(write(url.clone(), writer)));
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    cut_over.send(()).unwrap();
    let report = moving.await.unwrap().unwrap();
    assert_eq!((report.rows, report.streams), (4 * 40, 4));
    let rows = "SELECT id, stream_id, version, payload::text, metadata::text, \
                (extract(epoch FROM created_at) * 1000000)::bigint, event_id FROM events ORDER BY id";
    let rows: Vec<Row> = sqlx::query_as(rows)
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let events = store.get_events("moved", Read::all()).await.unwrap();
    assert_eq!(rows.len(), events.len());
    let mut latest = i64::MIN;
    for (row, event) in rows.iter().zip(&events) {
        let (id, stream, version, payload, metadata, created, event_id) = row;
        assert!(event.tags.contains(&format!("row:{id}")));
        assert_eq!(
            (event.stream.as_str(), event.version.get().cast_signed()),
            (stream.as_str(), *version)
        );
        assert_eq!(event.payload, payload.as_bytes());
        assert_eq!(
            event.metadata,
            metadata.clone().unwrap_or_default().as_bytes()
        );
        latest = latest.max(*created);
        assert_eq!(event.recorded_at.as_micros(), latest);
        if let Some(event_id) = event_id {
            assert_eq!(event.id, *event_id);
        }
    }
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_whose_number_is_given_and_that_cannot_be_seen_yet_is_waited_for() {
    let url = database().await;
    let mut early = table(&url).await;
    let mut late = PgConnection::connect(&url).await.unwrap();
    let store = store().await;
    // Number 1 is given first, and is seen last.
    let mut transaction = early.begin().await.unwrap();
    insert(&mut transaction, "early", 1).await;
    insert(&mut late, "late", 1).await;
    let moving = tokio::spawn({
        let (store, url) = (store.clone(), url.clone());
        async move { run_in(&store, &migrate(&url, false), std::future::pending()).await }
    });
    // It has looked for writers twice when it waits for them.
    let looking = "SELECT query_start::text FROM pg_stat_activity WHERE datname = current_database() \
                   AND query LIKE '%virtualtransaction = ANY%' AND pid <> pg_backend_pid()";
    let mut looks = std::collections::BTreeSet::new();
    while looks.len() < 2 {
        assert!(!moving.is_finished(), "it went on without number 1");
        let rows: Vec<(String,)> = sqlx::query_as(looking).fetch_all(&mut late).await.unwrap();
        looks.extend(rows);
    }
    transaction.commit().await.unwrap();
    let report = moving.await.unwrap().unwrap();
    assert_eq!(report.rows, 2);
    let events = store.get_events("moved", Read::all()).await.unwrap();
    let streams: Vec<_> = events.iter().map(|event| event.stream.as_str()).collect();
    assert_eq!(streams, ["early", "late"]);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_was_broken_off_goes_on_where_it_was() {
    let url = database().await;
    let mut connection = table(&url).await;
    for number in 0..200 {
        insert(&mut connection, &format!("s-{}", number % 9), number / 9).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut migrate = migrate(&url, false);
    migrate.adapter = "file".to_owned();
    migrate.connection = directory.path().display().to_string();
    let store = ledger::open("file", &migrate.connection).await.unwrap();
    let config = annals::TopicConfig::file("moved", &migrate.connection);
    store.create_topic(config).await.unwrap();
    let mut copied = 0;
    for after in [5, 20, 50] {
        // Dropped in the middle, wherever that is.
        let run = run_in(&store, &migrate, std::future::pending());
        if let Ok(report) = tokio::time::timeout(Duration::from_millis(after), run).await {
            copied += report.unwrap().copied;
        }
    }
    store.close().await.unwrap();
    let first = run(&migrate, std::future::pending()).await.unwrap();
    assert!(first.copied + copied <= 200);
    insert(&mut connection, "s-new", 0).await;
    let second = run(&migrate, std::future::pending()).await.unwrap();
    assert_eq!((first.rows, second.rows, second.copied), (200, 201, 1));
    let third = run(&migrate, std::future::pending()).await.unwrap();
    assert_eq!((third.copied, &third.digest), (0, &second.digest));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_the_same_is_found() {
    let url = database().await;
    let mut connection = table(&url).await;
    for version in 1..=20 {
        insert(&mut connection, "s", version).await;
    }
    let store = store().await;
    let migrate = migrate(&url, false);
    run_in(&store, &migrate, std::future::pending())
        .await
        .unwrap();
    let keep = "CREATE TABLE kept AS SELECT * FROM events";
    sqlx::query(keep).execute(&mut connection).await.unwrap();
    let changes = [
        "UPDATE events SET payload = '{}' WHERE id = 11",
        "UPDATE events SET created_at = created_at + interval '1 microsecond' WHERE id = 11",
        "UPDATE events SET metadata = '[]' WHERE id = 11",
        "UPDATE events SET event_id = gen_random_uuid() WHERE id = 11",
        "UPDATE events SET type = 'Undone' WHERE id = 11",
        "DELETE FROM events WHERE id = 11",
    ];
    for change in changes {
        let as_it_was = "DELETE FROM events; INSERT INTO events SELECT * FROM kept";
        sqlx::raw_sql(as_it_was)
            .execute(&mut connection)
            .await
            .unwrap();
        sqlx::query(change).execute(&mut connection).await.unwrap();
        let found = run_in(&store, &migrate, std::future::pending()).await;
        let found = found.unwrap_err().to_string();
        assert!(found.contains("position 11"), "{change}: {found}");
    }
    store.close().await.unwrap();
}
