//! Read models in PostgreSQL: each event counts once, whatever happens.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use annals::{
    EventStore, RecordedEvent,
    cqrs::{OnFailure, PostgresProjection, Project, Projecting, ProjectionState},
    repository::postgres::{
        PostgresCheckpoints,
        sqlx::{self, AssertSqlSafe, PgConnection, PgPool},
    },
};

use super::{Event, give};
use crate::{
    kinds::{Kind, soon},
    servers,
};

/// A schema of its own.
async fn database() -> (PgPool, PostgresCheckpoints) {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let pool = connect(format!("model_{}_{number}", std::process::id())).await;
    (pool.clone(), checkpoints(pool).await)
}

/// A pool that looks into this schema first, which is made where it is missing.
async fn connect(schema: String) -> PgPool {
    let make = format!(
        "CREATE SCHEMA IF NOT EXISTS {schema}; SET search_path TO {schema}; SET application_name TO {schema}"
    );
    sqlx::postgres::PgPoolOptions::new()
        .max_connections(12)
        .after_connect(move |connection, _| {
            let sql = make.clone();
            Box::pin(async move {
                let set = sqlx::raw_sql(AssertSqlSafe(sql));
                set.execute(connection).await.map(drop)
            })
        })
        .connect(servers::postgres().url())
        .await
        .unwrap()
}

async fn checkpoints(pool: PgPool) -> PostgresCheckpoints {
    loop {
        if let Ok(opened) = PostgresCheckpoints::open(pool.clone(), "my projections").await {
            return opened;
        }
    }
}

type Verdict = dyn Fn(u64) -> bool + Send + Sync;

/// One row for each event, in the order in which they were handled.
#[derive(Clone)]
struct Rows {
    generation: u64,
    refuses: Arc<Verdict>,
}

async fn run(sql: String, connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(connection)
        .await?;
    Ok(())
}

impl PostgresProjection for Rows {
    type Event = Event;
    type Error = sqlx::Error;

    async fn prepare(&mut self, connection: &mut PgConnection) -> sqlx::Result<()> {
        let table = format!(
            "CREATE TABLE IF NOT EXISTS rows_{} (number bigserial, topic text, position bigint)",
            self.generation
        );
        run(table, connection).await
    }

    async fn handle(
        &mut self,
        event: Event,
        recorded: &RecordedEvent,
        connection: &mut PgConnection,
    ) -> sqlx::Result<()> {
        let Event::Given(number) = event;
        let insert = format!(
            "INSERT INTO rows_{} (topic, position) VALUES ($1, $2)",
            self.generation
        );
        sqlx::query(AssertSqlSafe(insert))
            .bind(recorded.topic.as_str())
            .bind(i64::try_from(recorded.position.get()).unwrap())
            .execute(&mut *connection)
            .await?;
        if (self.refuses)(number) {
            sqlx::query("SELECT 1 / 0").execute(connection).await?;
        }
        Ok(())
    }

    async fn switch(&mut self, connection: &mut PgConnection) -> sqlx::Result<()> {
        let view = format!(
            "CREATE OR REPLACE VIEW rows AS SELECT * FROM rows_{}",
            self.generation
        );
        run(view, connection).await?;
        // What is done in this transaction is not done twice.
        run(
            "CREATE TABLE IF NOT EXISTS switches (generation bigint)".to_owned(),
            connection,
        )
        .await?;
        run(
            format!("INSERT INTO switches VALUES ({})", self.generation),
            connection,
        )
        .await
    }
}

fn project(topics: &[&str]) -> Project<Event> {
    Project::named("rows")
        .topics(topics.iter().copied())
        .commit_every(50, Duration::from_millis(50))
        .backoff(Duration::from_millis(1), Duration::from_millis(20))
        .lease(Duration::from_millis(600))
}

async fn start(
    store: &EventStore,
    project: impl Fn() -> Project<Event>,
    checkpoints: &PostgresCheckpoints,
    refuses: impl Fn(u64) -> bool + Send + Sync + 'static,
) -> Projecting {
    let refuses: Arc<Verdict> = Arc::new(refuses);
    loop {
        let refuses = Arc::clone(&refuses);
        let make = move |generation| Rows {
            generation,
            refuses: Arc::clone(&refuses),
        };
        let started = project().start_in_postgres(store, checkpoints.clone(), make);
        match started.await {
            Ok(started) => return started,
            // Whoever harms the server may do so now, too.
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
    }
}

async fn rows(pool: &PgPool, table: &str, topic: &str) -> Vec<u64> {
    let sql = format!("SELECT position FROM {table} WHERE topic = $1 ORDER BY number");
    let rows: Vec<(i64,)> = sqlx::query_as(AssertSqlSafe(sql))
        .bind(topic)
        .fetch_all(pool)
        .await
        .unwrap();
    rows.iter().map(|row| row.0.unsigned_abs()).collect()
}

fn all(up_to: u64) -> Vec<u64> {
    (1..=up_to).collect()
}

fn project_ab() -> Project<Event> {
    project(&["a", "b"])
}

/// Ends connections of all that work in a schema, now and then.
async fn harm(pool: PgPool, schema: String) {
    loop {
        tokio::time::sleep(Duration::from_millis(40)).await;
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE application_name = $1 AND pid <> pg_backend_pid() ORDER BY random() LIMIT 2";
        drop(sqlx::query(sql).bind(&schema).execute(&pool).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_counts_once_through_lost_connections_and_instances_that_die() {
    let kind = Kind::file();
    let store = kind.open().await;
    for topic in ["a", "b"] {
        store.create_topic(kind.topic(topic)).await.unwrap();
    }
    let schema = format!("killed_{}", std::process::id());
    let pool = connect(schema.clone()).await;
    let kept = checkpoints(pool.clone()).await;
    let harm = tokio::spawn(harm(pool.clone(), schema.clone()));
    give(&store, "a", 1..2001).await;
    for round in 0..8_u64 {
        let (own, schema) = (store.clone(), schema.clone());
        // It is killed in the middle, with its transactions and its lease.
        let killed = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread();
            let runtime = { runtime }.worker_threads(1).enable_all().build().unwrap();
            let running = runtime.block_on(async move {
                let kept = checkpoints(connect(schema).await).await;
                start(&own, project_ab, &kept, |_| false).await
            });
            std::thread::sleep(Duration::from_millis(700 + round * 7));
            runtime.shutdown_background();
            drop(running);
        });
        give(&store, "b", round * 100 + 1..round * 100 + 101).await;
        tokio::task::spawn_blocking(|| killed.join().unwrap())
            .await
            .unwrap();
    }
    let running = start(&store, project_ab, &kept, |_| false).await;
    let other = start(&store, project_ab, &kept, |_| false).await;
    let last = give(&store, "a", 2001..2501).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    harm.abort();
    let either = async {
        tokio::select! {
            done = running.wait_for("a", last) => done.unwrap(),
            done = other.wait_for("a", last) => done.unwrap(),
        }
    };
    soon("to catch up", either).await;
    let b = async {
        while rows(&pool, "rows_1", "b").await.len() < 800 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon("to catch up", b).await;
    running.stop().await;
    other.stop().await;
    assert_eq!(rows(&pool, "rows_1", "a").await, all(2500));
    assert_eq!(rows(&pool, "rows_1", "b").await, all(800));
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_event_takes_nothing_with_it_and_leaves_nothing() {
    let kind = Kind::memory();
    let store = kind.open_with_topic().await;
    let (pool, checkpoints) = database().await;
    give(&store, "t", 1..101).await;
    let park = || project(&["t"]).on_failure(OnFailure::Park { tries: 2 });
    let running = start(&store, park, &checkpoints, |number| number % 40 == 7).await;
    soon("to catch up", running.caught_up()).await.unwrap();
    let parked = running.parked(10).await.unwrap();
    let positions: Vec<_> = parked.iter().map(|one| one.position.get()).collect();
    assert_eq!(positions, [7, 47, 87]);
    let expected: Vec<u64> = (1..=100).filter(|one| one % 40 != 7).collect();
    assert_eq!(rows(&pool, "rows_1", "t").await, expected);
    running.stop().await;
    let running = start(&store, park, &checkpoints, |_| false).await;
    assert_eq!(soon("it", running.replay_parked()).await.unwrap(), 3);
    assert_eq!(soon("it", running.replay_parked()).await.unwrap(), 0);
    let mut now = rows(&pool, "rows_1", "t").await;
    assert_eq!(now.split_off(97), [7, 47, 87]);
    assert_eq!(running.status().await.parked, 0);
    running.stop().await;
    // One that stops has all before the event.
    let stop = || project(&["t"]).on_failure(OnFailure::Stop { tries: 2 });
    let running = start(&store, stop, &checkpoints, |number| number == 130).await;
    give(&store, "t", 101..201).await;
    soon("to stop", running.stopped()).await;
    let status = running.status().await;
    assert!(
        matches!(status.state, ProjectionState::Stopped(Some(_))),
        "{status:?}"
    );
    assert_eq!(rows(&pool, "rows_1", "t").await.last(), Some(&129));
    running.stop().await;
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_takes_the_place_of_the_one_before_in_one_transaction() {
    for kind in Kind::all() {
        let store = kind.open_with_topic().await;
        let (pool, checkpoints) = database().await;
        give(&store, "t", 1..501).await;
        let running = start(&store, || project(&["t"]), &checkpoints, |_| false).await;
        soon("to catch up", running.caught_up()).await.unwrap();
        let view = "CREATE VIEW rows AS SELECT * FROM rows_1";
        sqlx::raw_sql(view).execute(&pool).await.unwrap();
        // What a reader of the view has seen is never gone again.
        let reader = tokio::spawn({
            let pool = pool.clone();
            async move {
                let mut before = 0;
                while before < 700 {
                    let (now,): (i64,) = sqlx::query_as("SELECT count(*) FROM rows")
                        .fetch_one(&pool)
                        .await
                        .unwrap();
                    assert!(now >= before, "{now} after {before}");
                    before = now;
                }
            }
        });
        let writer = tokio::spawn({
            let store = store.clone();
            async move {
                for number in (501..701).step_by(10) {
                    give(&store, "t", number..number + 10).await;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        });
        let rebuild = running.rebuild().await.unwrap();
        soon("to rebuild", rebuild.finished()).await.unwrap();
        soon("the writer", writer).await.unwrap();
        soon("to catch up", running.caught_up()).await.unwrap();
        soon("the reader", reader).await.unwrap();
        assert_eq!(rows(&pool, "rows", "t").await, all(700));
        assert_eq!(rows(&pool, "rows_2", "t").await, all(700));
        running.stop().await;
        let switches: Vec<(i64,)> = sqlx::query_as("SELECT generation FROM switches")
            .fetch_all(&pool)
            .await
            .unwrap();
        assert_eq!(switches, [(2,)]);
        store.close().await.unwrap();
    }
}
