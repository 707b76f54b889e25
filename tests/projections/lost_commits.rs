//! Read models in PostgreSQL when answers are lost, and when tables and readers are in the way.

use std::{sync::atomic::Ordering, time::Duration};

use annals::{
    EventStore, RecordedEvent,
    cqrs::{OnFailure, PostgresProjection, Project, Projecting},
    repository::postgres::{
        PostgresCheckpoints,
        sqlx::{self, AssertSqlSafe, PgConnection, PgPool},
    },
};

use super::{Event, give};
use crate::{
    kinds::{Kind, soon},
    servers::{self, proxy::Proxy},
};

/// A pool at this address that looks into this schema first.
async fn connect(url: &str, schema: &str) -> PgPool {
    let set = format!("SET search_path TO {schema}");
    let options = sqlx::postgres::PgPoolOptions::new().max_connections(8);
    let options = options.acquire_timeout(Duration::from_secs(2));
    let options = options.after_connect(move |connection, _| {
        let sql = set.clone();
        Box::pin(async move {
            let set = sqlx::raw_sql(AssertSqlSafe(sql));
            set.execute(connection).await.map(drop)
        })
    });
    options.connect(url).await.unwrap()
}

async fn run(pool: &PgPool, sql: &str) {
    let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
    sql.execute(pool).await.unwrap();
}

async fn database(name: &str) -> (PgPool, String) {
    let schema = format!("{name}_{}", std::process::id());
    let pool = connect(servers::postgres().url(), &schema).await;
    run(&pool, &format!("CREATE SCHEMA {schema}")).await;
    (pool, schema)
}

/// A row for each event.
struct Rows {
    table: String,
    /// Whether it goes on after an error.
    careless: bool,
}

impl PostgresProjection for Rows {
    type Event = Event;
    type Error = sqlx::Error;

    async fn prepare(&mut self, connection: &mut PgConnection) -> sqlx::Result<()> {
        let make = format!(
            "CREATE TABLE IF NOT EXISTS {} (position bigint)",
            self.table
        );
        let make = sqlx::raw_sql(AssertSqlSafe(make));
        make.execute(connection).await.map(drop)
    }

    async fn handle(
        &mut self,
        _: Event,
        recorded: &RecordedEvent,
        connection: &mut PgConnection,
    ) -> sqlx::Result<()> {
        let insert = format!("INSERT INTO {} VALUES ($1)", self.table);
        let insert = sqlx::query(AssertSqlSafe(insert));
        let position = i64::try_from(recorded.position.get()).unwrap();
        let inserted = insert.bind(position).execute(connection).await.map(drop);
        if self.careless { Ok(()) } else { inserted }
    }

    async fn switch(&mut self, connection: &mut PgConnection) -> sqlx::Result<()> {
        let view = format!(
            "CREATE OR REPLACE VIEW seen AS SELECT * FROM {}",
            self.table
        );
        let view = sqlx::raw_sql(AssertSqlSafe(view));
        view.execute(connection).await.map(drop)
    }
}

fn project() -> Project<Event> {
    Project::named("rows")
        .topics(["t"])
        .backoff(Duration::from_millis(1), Duration::from_millis(5))
        .lease(Duration::from_secs(2))
}

async fn start(store: &EventStore, project: Project<Event>, pool: &PgPool) -> Projecting {
    start_with(store, project, pool, false).await
}

async fn start_with(
    store: &EventStore,
    project: Project<Event>,
    pool: &PgPool,
    careless: bool,
) -> Projecting {
    let checkpoints = PostgresCheckpoints::open(pool.clone(), "checkpoints").await;
    let make = move |generation| Rows {
        table: format!("rows_{generation}"),
        careless,
    };
    let started = project.start_in_postgres(store, checkpoints.unwrap(), make);
    started.await.unwrap()
}

async fn positions(pool: &PgPool, table: &str) -> Vec<i64> {
    let sql = format!("SELECT position FROM {table} ORDER BY position");
    let rows: Vec<(i64,)> = sqlx::query_as(AssertSqlSafe(sql))
        .fetch_all(pool)
        .await
        .unwrap();
    rows.into_iter().map(|row| row.0).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_counts_once_where_the_answers_to_commits_are_lost() {
    let store = Kind::memory().open_with_topic().await;
    let server = servers::postgres();
    let (direct, schema) = database("lost").await;
    let proxy = Proxy::before(server.port()).await;
    let through = proxy.instead_of(server.port(), server.url());
    let pool = connect(&through, &schema).await;
    let small = project().commit_every(1, Duration::from_millis(20));
    let running = start(&store, small, &pool).await;
    proxy.lose_commits.store(3, Ordering::SeqCst);
    let last = give(&store, "t", 1..301).await;
    soon("to catch up", running.wait_for("t", last))
        .await
        .unwrap();
    assert!(proxy.lost.load(Ordering::SeqCst) > 20);
    proxy.lose_commits.store(0, Ordering::SeqCst);
    running.stop().await;
    assert_eq!(
        positions(&direct, "rows_1").await,
        (1..=300).collect::<Vec<_>>()
    );
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_the_database_refuses_is_parked_whenever_it_does() {
    // At the commit, and behind the back of the handler.
    let late = "REFERENCES few DEFERRABLE INITIALLY DEFERRED";
    for (name, rule, careless) in [
        ("deferred", late, false),
        ("careless", "CHECK (position <> 7)", true),
    ] {
        let store = Kind::memory().open_with_topic().await;
        let (pool, _) = database(name).await;
        let tables = format!(
            "CREATE TABLE few (position bigint PRIMARY KEY);
             INSERT INTO few SELECT * FROM generate_series(1, 20) n WHERE n <> 7;
             CREATE TABLE rows_1 (position bigint {rule})"
        );
        run(&pool, &tables).await;
        let park = project().on_failure(OnFailure::Park { tries: 2 });
        let running = start_with(&store, park, &pool, careless).await;
        let last = give(&store, "t", 1..21).await;
        let caught_up = soon("to catch up", running.wait_for("t", last));
        caught_up.await.unwrap();
        let parked = running.parked(10).await.unwrap();
        assert_eq!(parked.len(), 1);
        assert_eq!((parked[0].position.get(), parked[0].tries), (7, 2));
        running.stop().await;
        let expected: Vec<_> = (1..=20).filter(|n| *n != 7).collect();
        assert_eq!(positions(&pool, "rows_1").await, expected);
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_waits_for_readers_of_the_one_before() {
    let store = Kind::memory().open_with_topic().await;
    let (pool, _) = database("readers").await;
    let running = start(&store, project(), &pool).await;
    let last = give(&store, "t", 1..21).await;
    soon("to catch up", running.wait_for("t", last))
        .await
        .unwrap();
    run(&pool, "CREATE VIEW seen AS SELECT * FROM rows_1").await;
    let mut reader = pool.begin().await.unwrap();
    let read = sqlx::raw_sql("SELECT * FROM seen");
    read.execute(&mut *reader).await.unwrap();
    let rebuild = running.rebuild().await.unwrap();
    let finished = tokio::spawn(rebuild.finished());
    tokio::time::sleep(Duration::from_millis(2500)).await;
    reader.commit().await.unwrap();
    soon("to rebuild", finished).await.unwrap().unwrap();
    assert_eq!(running.status().await.generation, 2);
    running.stop().await;
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_of_which_the_answer_is_lost_is_made_once() {
    let store = Kind::memory().open_with_topic().await;
    let server = servers::postgres();
    let (direct, schema) = database("switched").await;
    let proxy = Proxy::before(server.port()).await;
    let through = proxy.instead_of(server.port(), server.url());
    let pool = connect(&through, &schema).await;
    let running = start(&store, project(), &pool).await;
    let mut last = give(&store, "t", 1..101).await;
    soon("to catch up", running.wait_for("t", last))
        .await
        .unwrap();
    for (generation, lose) in [(2_u64, 1), (3, 2), (4, 3)] {
        proxy.lose_commits.store(lose, Ordering::SeqCst);
        let rebuild = running.rebuild().await;
        let losing = async {
            tokio::time::sleep(Duration::from_millis(1500)).await;
            proxy.lose_commits.store(0, Ordering::SeqCst);
        };
        let rebuilt = async { rebuild.unwrap().finished().await };
        let (rebuilt, ()) = soon("to rebuild", async { tokio::join!(rebuilt, losing) }).await;
        rebuilt.unwrap();
        last = give(&store, "t", 1..11).await;
        soon("to catch up", running.wait_for("t", last))
            .await
            .unwrap();
        assert_eq!(running.status().await.generation, generation);
        let expected: Vec<_> = (1..=i64::try_from(last.get()).unwrap()).collect();
        assert_eq!(positions(&direct, "seen").await, expected);
        let table = format!("rows_{generation}");
        assert_eq!(positions(&direct, &table).await, expected);
    }
    assert!(proxy.lost.load(Ordering::SeqCst) > 3);
    running.stop().await;
    assert!(last.get() > 100);
    store.close().await.unwrap();
}
