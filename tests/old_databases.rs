//! Databases that were written by earlier versions are brought to this one, and go on.
//!
//! `tests/fixtures/postgres-SCHEMA` has a database as `pg_dump` tells it, and beside it what its store
//! contains. They are never written again; a new version of the schema, or of a topic, gets one of its own,
//! which `ANNALS_WRITE_FIXTURES=postgres-3 cargo test --test old_databases write` makes.

#![cfg(all(feature = "postgres", feature = "file"))]
#![cfg(test)]

mod kept;
mod servers;

use std::{fs, path::Path, process::Command, time::Duration};

use annals::{
    AppendReceipt, ConfigurationStream, Error, EventStore, EventStoreConfig, NewEvent, Read,
    Result, TopicConfig,
};
use futures_util::future::join_all;
use kept::{
    TOPICS, check_appends, check_indexes, contents, expected, fill, fixtures, fixtures_with,
};
use serde_json::json;
use servers::{binaries, postgres};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::task::JoinHandle;

/// What stands in a fixture for the schema in which the tables are.
const SCHEMA: &str = "kept_schema";

fn config(url: &str) -> EventStoreConfig {
    let database = url.to_owned();
    EventStoreConfig::new(ConfigurationStream::postgres(url))
        .resolver(move |name| (name == "DATABASE").then(|| database.clone()))
}

async fn open(url: &str) -> Result<EventStore> {
    EventStore::open(config(url)).await
}

/// The schema in a URL of [`servers::Postgres::fresh`].
fn schema(url: &str) -> &str {
    url.rsplit_once("annals.schema=").unwrap().1
}

async fn connection(url: &str) -> PgConnection {
    let plain = url.split("&annals.").next().unwrap();
    PgConnection::connect(plain).await.unwrap()
}

async fn run(url: &str, statements: &str) {
    let statements = statements.replace(SCHEMA, schema(url));
    sqlx::raw_sql(AssertSqlSafe(statements))
        .execute(&mut connection(url).await)
        .await
        .unwrap();
}

async fn number(url: &str, sql: &str) -> i64 {
    let sql = sql.replace(SCHEMA, schema(url));
    sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_one(&mut connection(url).await)
        .await
        .unwrap()
}

/// A database as it was kept.
async fn restored(fixture: &Path) -> String {
    let url = postgres().fresh();
    let dump = fs::read_to_string(fixture.join("store.sql")).unwrap();
    run(&url, &dump).await;
    url
}

/// How many topics are of an earlier version.
const EARLIER: &str = "SELECT count(*) FROM kept_schema.topics WHERE version < 2";
/// How many functions there are, for each topic.
const FUNCTIONS: &str = "SELECT count(*) / (SELECT count(*) FROM kept_schema.topics) FROM pg_proc p \
     JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'kept_schema'";

fn is_unavailable(error: &Error, with: &str) -> bool {
    matches!(error, Error::RepositoryUnavailable { reason, .. } if reason.contains(with))
}

fn event() -> NewEvent {
    NewEvent::json("Counted", &json!({})).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_of_every_version_are_read_and_go_on() {
    let versions = fixtures_with("store.sql");
    assert!(versions.contains(&fixtures().join("postgres-2")));
    for fixture in versions {
        let expected = expected(&fixture.join("store.json"));
        let url = restored(&fixture).await;
        // Several find it as it was, at once.
        let stores = join_all((0..4).map(|_| open(&url))).await;
        let stores: Vec<_> = stores.into_iter().map(Result::unwrap).collect();
        for answer in join_all(stores.iter().map(contents)).await {
            assert_eq!(answer, expected, "{}", fixture.display());
        }
        for store in &stores {
            check_indexes(store, "orders").await;
        }
        check_appends(&stores[0]).await;
        for store in stores {
            check_indexes(&store, "orders").await;
            store.close().await.unwrap();
        }
        assert_eq!(number(&url, EARLIER).await, 0);
        // None of an earlier build is left beside those of this one.
        assert_eq!(number(&url, FUNCTIONS).await, 9);
        let store = open(&url).await.unwrap();
        store.delete_topic("orders").await.unwrap();
        store.purge_topic("orders").await.unwrap();
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_topic_of_an_earlier_version_is_upgraded_by_its_first_use_but_not_by_a_reader() {
    let url = restored(&fixtures().join("postgres-2")).await;
    let reader = EventStore::open(config(&url).read_only()).await;
    assert!(
        reader
            .as_ref()
            .is_err_and(|error| is_unavailable(error, "of an older version")),
        "{reader:?}"
    );
    // The topic of the configuration is used, and no other.
    open(&url).await.unwrap().close().await.unwrap();
    assert_eq!(number(&url, EARLIER).await, 3);
    let reader = EventStore::open(config(&url).read_only()).await.unwrap();
    let error = reader.get_latest_version("orders").await.unwrap_err();
    assert!(is_unavailable(&error, "is of version 1"), "{error:?}");
    assert_eq!(number(&url, EARLIER).await, 3);
    let writer = open(&url).await.unwrap();
    let head = writer.get_latest_version("orders").await.unwrap();
    assert_eq!(number(&url, EARLIER).await, 2);
    assert_eq!(reader.get_latest_version("orders").await.unwrap(), head);
    writer.close().await.unwrap();
    reader.close().await.unwrap();
}

#[tokio::test]
async fn an_upgrade_that_fails_leaves_the_topic_as_it_was() {
    let url = restored(&fixtures().join("postgres-2")).await;
    open(&url).await.unwrap().close().await.unwrap();
    // A function on which something rests cannot be dropped.
    let rest = "CREATE VIEW kept_schema.mine AS SELECT * FROM kept_schema.orders_state('order-1')";
    run(&url, rest).await;
    let store = open(&url).await.unwrap();
    for _ in 0..2 {
        let error = store.append_events("orders", event()).await.unwrap_err();
        assert!(is_unavailable(&error, "2BP01"), "{error:?}");
    }
    assert_eq!(number(&url, EARLIER).await, 3);
    assert_eq!(number(&url, FUNCTIONS).await, 9);
    run(&url, "DROP VIEW kept_schema.mine").await;
    store.append_events("orders", event()).await.unwrap();
    assert_eq!(number(&url, EARLIER).await, 2);
    store.close().await.unwrap();
}

/// A store with a topic, which it has used.
async fn with_topic(url: &str) -> EventStore {
    let store = open(url).await.unwrap();
    store
        .create_topic(TopicConfig::postgres("t", "${DATABASE}"))
        .await
        .unwrap();
    store.append_events("t", event()).await.unwrap();
    store
}

const BY_ANOTHER: &str = "ALTER FUNCTION kept_schema.t_append RENAME TO t_append_of_another; \
    ALTER FUNCTION kept_schema.t_state RENAME TO t_state_of_another;";
const BACK: &str = "ALTER FUNCTION kept_schema.t_append_of_another RENAME TO t_append; \
    ALTER FUNCTION kept_schema.t_state_of_another RENAME TO t_state;";

#[tokio::test]
async fn a_topic_that_another_build_has_upgraded_is_not_called_gone() {
    let url = postgres().fresh();
    let first = with_topic(&url).await;
    let mut stores = vec![first];
    for _ in 0..2 {
        let store = open(&url).await.unwrap();
        store.append_events("t", event()).await.unwrap();
        stores.push(store);
    }
    run(&url, BY_ANOTHER).await;
    run(
        &url,
        "UPDATE kept_schema.topics SET version = 99 WHERE name = 't'",
    )
    .await;
    // Once it is looked at again, it is known to be too new.
    for known in [false, true] {
        for (number, store) in stores.iter().enumerate() {
            let outcome = match number {
                0 => store.append_events("t", event()).await.map(drop),
                1 => store.get_events("t", Read::all()).await.map(drop),
                _ => store.get_latest_version("t").await.map(drop),
            };
            let error = outcome.unwrap_err();
            if known {
                assert!(
                    matches!(&error, Error::InvalidConfig { reason, .. } if reason.contains("has version 99")),
                    "{error:?}"
                );
            } else {
                assert!(is_unavailable(&error, "its version is 99 now"), "{error:?}");
                assert!(error.is_retryable());
            }
        }
    }
    run(&url, BACK).await;
    run(&url, "UPDATE kept_schema.topics SET version = 2").await;
    for (store, position) in stores.into_iter().zip(4..) {
        let receipt = store.append_events("t", event()).await.unwrap();
        assert_eq!(receipt.first.get(), position);
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_topic_of_which_a_part_is_missing_is_damaged() {
    let rename = "ALTER TABLE kept_schema.t RENAME TO";
    for (harm, mended) in [
        (BY_ANOTHER.to_owned(), BACK.to_owned()),
        (
            format!("{rename} t_away"),
            "ALTER TABLE kept_schema.t_away RENAME TO t".to_owned(),
        ),
    ] {
        let url = postgres().fresh();
        let store = with_topic(&url).await;
        run(&url, &harm).await;
        for _ in 0..2 {
            let error = store.append_events("t", event()).await.unwrap_err();
            assert!(matches!(error, Error::Corruption { .. }), "{error:?}");
            let error = store.get_events("t", Read::all()).await.unwrap_err();
            assert!(matches!(error, Error::Corruption { .. }), "{error:?}");
        }
        run(&url, &mended).await;
        let receipt = store.append_events("t", event()).await.unwrap();
        assert_eq!(receipt.first.get(), 2);
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn an_append_that_waits_while_another_build_upgrades_the_topic_is_not_written() {
    let url = postgres().fresh();
    let store = with_topic(&url).await;
    let key = "SELECT (regexp_match(prosrc, 'pg_advisory_xact_lock\\((-?\\d+)\\)'))[1]::bigint FROM pg_proc p \
        JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'kept_schema' AND p.proname = 't_append'";
    let key = number(&url, key).await;
    let mut before = connection(&url).await;
    sqlx::raw_sql(AssertSqlSafe(format!(
        "BEGIN; SELECT pg_advisory_xact_lock({key})"
    )))
    .execute(&mut before)
    .await
    .unwrap();
    let append = append_that_stands(&store, &url).await;
    run(
        &url,
        "UPDATE kept_schema.topics SET version = 99 WHERE name = 't'",
    )
    .await;
    before.close().await.unwrap();
    let error = append.await.unwrap().unwrap_err();
    assert!(is_unavailable(&error, "its version is 99 now"), "{error:?}");
    assert_eq!(number(&url, "SELECT count(*) FROM kept_schema.t").await, 1);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_topic_of_a_newer_version_is_not_purged() {
    let url = postgres().fresh();
    let store = with_topic(&url).await;
    store.delete_topic("t").await.unwrap();
    run(
        &url,
        "UPDATE kept_schema.topics SET version = 99 WHERE name = 't'",
    )
    .await;
    let error = store.purge_topic("t").await.unwrap_err();
    assert!(format!("{error:?}").contains("has version 99"), "{error:?}");
    assert_eq!(number(&url, "SELECT count(*) FROM kept_schema.t").await, 1);
    run(&url, "UPDATE kept_schema.topics SET version = 2").await;
    store.sweep_older_than(Duration::ZERO).await.unwrap();
    let left = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
        WHERE n.nspname = 'kept_schema' AND c.relname = 't'";
    assert_eq!(number(&url, left).await, 0);
    store.close().await.unwrap();
}

const STANDS: &str =
    "FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%kept_schema%t_append%'";

/// An append that stands still on the server.
async fn append_that_stands(store: &EventStore, url: &str) -> JoinHandle<Result<AppendReceipt>> {
    let store = store.clone();
    let append = tokio::spawn(async move { store.append_events("t", event()).await });
    while number(url, &format!("SELECT count(*) {STANDS}")).await == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    append
}

#[tokio::test]
async fn an_append_that_lost_its_connection_before_another_build_came_has_an_unknown_outcome() {
    let url = postgres().fresh();
    let store = with_topic(&url).await;
    // It stands still on the server, which is ended then.
    let mut before = connection(&url).await;
    let lock = "BEGIN; LOCK TABLE kept_schema.t".replace(SCHEMA, schema(&url));
    sqlx::raw_sql(AssertSqlSafe(lock))
        .execute(&mut before)
        .await
        .unwrap();
    let append = append_that_stands(&store, &url).await;
    run(
        &url,
        "ALTER FUNCTION kept_schema.t_append RENAME TO t_append_of_another",
    )
    .await;
    run(&url, &format!("SELECT pg_terminate_backend(pid) {STANDS}")).await;
    let error = append.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown { .. }), "{error:?}");
    before.close().await.unwrap();
    store.close().await.unwrap();
}

/// Writes the fixture of a version; does nothing when it is run as one test among the others.
#[tokio::test]
async fn write_fixture() {
    let Ok(version) = std::env::var("ANNALS_WRITE_FIXTURES") else {
        return;
    };
    let fixture = fixtures().join(&version);
    // What is there already is never written again.
    if !version.starts_with("postgres-") || fixture.exists() {
        return;
    }
    let url = postgres().with("schema", SCHEMA);
    let store = open(&url).await.unwrap();
    for name in TOPICS {
        let topic = TopicConfig::postgres(name, "${DATABASE}");
        store.create_topic(topic).await.unwrap();
    }
    fill(&store).await;
    let expected = contents(&store).await;
    store.close().await.unwrap();
    let dumped = Command::new(binaries().join("pg_dump"))
        .args(["--no-owner", "--no-privileges", "--inserts", "--schema"])
        .args([SCHEMA, url.split("&annals.").next().unwrap()])
        .output()
        .unwrap();
    assert!(dumped.status.success(), "{dumped:?}");
    let dump = String::from_utf8(dumped.stdout).unwrap();
    // Lines that begin so are for psql alone.
    let lines = dump.lines().filter(|line| !line.starts_with('\\'));
    let dump: String = lines.flat_map(|line| [line, "\n"]).collect();
    fs::create_dir_all(&fixture).unwrap();
    fs::write(fixture.join("store.sql"), dump).unwrap();
    fs::write(fixture.join("store.json"), expected.to_string()).unwrap();
}
