//! PostgreSQL behind a pooler: one that keeps sessions is as the server itself; one that does not is
//! refused, before anything is done through it that would not be what it seems.

#![cfg(feature = "postgres")]
#![cfg(test)]

mod servers;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use annals::{
    ConfigurationStream, Error, EventStore, EventStoreConfig, NewEvent, Read, Result, TopicConfig,
};
use servers::{Pooler, Postgres};
use sqlx::{Connection, PgConnection};
use tokio::task::JoinHandle;

async fn open_in(url: &str) -> Result<EventStore> {
    EventStore::open(EventStoreConfig::new(ConfigurationStream::postgres(url))).await
}

fn event() -> NewEvent {
    NewEvent::json("Written", &1).unwrap()
}

fn assert_refused(opened: Result<EventStore>, what: &str) {
    let error = opened.map(drop).expect_err(what);
    let Error::InvalidConfig { reason, .. } = &error else {
        panic!("{what}: {error:?}");
    };
    for word in ["transaction pooling", "sessions", "pool_mode = session"] {
        assert!(reason.contains(word), "{what}: {reason}");
    }
    assert!(!error.is_retryable());
}

/// Others who use the pooler all the time.
struct Others {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<u64>>,
}

impl Others {
    async fn begin(url: &str, count: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let plain = url.split("&annals.").next().unwrap().to_owned();
        let mut tasks = Vec::new();
        for _ in 0..count {
            let mut connection = PgConnection::connect_with(
                &plain
                    .parse::<sqlx::postgres::PgConnectOptions>()
                    .unwrap()
                    .extra_float_digits(None),
            )
            .await
            .unwrap();
            let stop = Arc::clone(&stop);
            tasks.push(tokio::spawn(async move {
                let mut asked = 0;
                while !stop.load(Ordering::Relaxed) {
                    sqlx::raw_sql("SELECT count(*) FROM pg_class")
                        .execute(&mut connection)
                        .await
                        .unwrap();
                    asked += 1;
                }
                asked
            }));
        }
        Self { stop, tasks }
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            assert!(task.await.unwrap() > 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn poolers_that_keep_no_sessions_are_refused() {
    let server = Postgres::start(&[]);
    for (settings, others) in [
        (&[("pool_mode", "transaction")][..], 0),
        (&[("pool_mode", "statement")], 0),
        (
            &[("pool_mode", "transaction"), ("server_round_robin", "1")],
            0,
        ),
        (
            &[("pool_mode", "transaction"), ("default_pool_size", "1")],
            2,
        ),
        (
            &[("pool_mode", "transaction"), ("default_pool_size", "2")],
            3,
        ),
        (
            &[("pool_mode", "transaction"), ("default_pool_size", "2")],
            8,
        ),
        (
            &[("pool_mode", "transaction"), ("default_pool_size", "20")],
            40,
        ),
        (
            &[("pool_mode", "transaction"), ("server_round_robin", "1")],
            8,
        ),
    ] {
        let pooler = Pooler::before(&server, settings);
        let url = pooler.with("schema", "refused");
        let others = Others::begin(&url, others).await;
        for _ in 0..15 {
            assert_refused(open_in(&url).await, &format!("{settings:?}"));
        }
        others.end().await;
        // Nothing of ours is left in what others get from the pool.
        let plain = url.split("&annals.").next().unwrap();
        let options: sqlx::postgres::PgConnectOptions = plain.parse().unwrap();
        let mut other = PgConnection::connect_with(&options.extra_float_digits(None))
            .await
            .unwrap();
        let rows = sqlx::raw_sql(
            "SELECT name FROM pg_settings WHERE source = 'session' AND name NOT IN \
             ('application_name', 'client_encoding', 'DateStyle', 'TimeZone', 'standard_conforming_strings')",
        )
        .fetch_all(&mut other)
        .await
        .unwrap();
        assert_eq!(rows.len(), 0, "{settings:?}: settings are left behind");
        let made = sqlx::raw_sql("SELECT 1 FROM pg_namespace WHERE nspname = 'refused'")
            .fetch_all(&mut other)
            .await
            .unwrap();
        assert_eq!(made.len(), 0, "{settings:?}: a schema was made");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_keeps_sessions_is_as_good_as_the_server() {
    let server = Postgres::start(&[]);
    let pooler = Pooler::before(
        &server,
        &[("pool_mode", "session"), ("default_pool_size", "100")],
    );
    let url = pooler.with("schema", "kept");
    // Later sessions get processes that served others before.
    for _ in 0..3 {
        open_in(&url).await.unwrap().close().await.unwrap();
    }
    let (one, other) = (open_in(&url).await.unwrap(), open_in(&url).await.unwrap());
    one.create_topic(TopicConfig::postgres("t", &url))
        .await
        .unwrap();
    let mut writers = Vec::new();
    for store in [&one, &other] {
        for _ in 0..4 {
            let store = store.clone();
            writers.push(tokio::spawn(async move {
                for _ in 0..25 {
                    store.append_events("t", event()).await.unwrap();
                }
            }));
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let log = other
        .get_events("t", Read::all().limit(u64::MAX))
        .await
        .unwrap();
    assert_eq!(log.len(), 200);
    one.verify_topic("t").await.unwrap();

    // Sessions are broken off and made anew, also the one that listens.
    let mut connection = PgConnection::connect(server.url()).await.unwrap();
    let ended = "SELECT count(pg_terminate_backend(a.pid)) FROM pg_stat_activity a \
                 WHERE a.application_name = 'annals'";
    let ended: i64 = sqlx::query_scalar(ended)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert!(ended > 2, "{ended} sessions were ended");
    let started = Instant::now();
    one.append_events("t", event()).await.unwrap();
    assert_eq!(
        other.get_latest_version("t").await.unwrap().get(),
        201,
        "after {:?}",
        started.elapsed()
    );
    assert!(started.elapsed() < Duration::from_secs(5));
    one.close().await.unwrap();
    other.close().await.unwrap();
}
