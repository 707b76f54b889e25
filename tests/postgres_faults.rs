//! PostgreSQL when things go wrong: processes that race, connections that are cut before, during and
//! after a commit, server processes that are ended, a server that crashes, writers that stand still.

#![cfg(feature = "postgres")]
#![cfg(test)]

mod servers;

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use annals::{
    Append, ConfigurationStream, Error, EventStore, EventStoreConfig, ExpectedVersion,
    HealthStatus, NewEvent, Placement, Position, Read, RecordedEvent, StorageId, StoreId,
    SystemClock, TopicConfig, TopicName,
    repository::{
        EventRepository, OpenRequest, ReadPlan, RepositoryFactory, postgres::PostgresFactory,
    },
};
use futures_util::StreamExt;
use servers::{OnSmallDisk, Postgres, postgres, proxy::Proxy};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

const ROLE: &str = "ANNALS_TEST_DATABASE";

fn schema(url: &str) -> String {
    let behind = url.rsplit_once("annals.schema=").unwrap().1;
    behind.split('&').next().unwrap().to_owned()
}

async fn sql_connection(url: &str) -> PgConnection {
    let plain = url.split("&annals.").next().unwrap();
    PgConnection::connect(plain).await.unwrap()
}

async fn open_in(url: &str) -> EventStore {
    let configuration = ConfigurationStream::postgres(url);
    EventStore::open(EventStoreConfig::new(configuration))
        .await
        .unwrap()
}

/// A store with the topic `t` in the database.
async fn store_with_topic(url: &str) -> EventStore {
    let store = open_in(url).await;
    store
        .create_topic(TopicConfig::postgres("t", url))
        .await
        .unwrap();
    store
}

fn event(id: Uuid) -> NewEvent {
    NewEvent::json("Written", &id).unwrap().id(id)
}

async fn all(store: &EventStore) -> Vec<RecordedEvent> {
    let log = store
        .get_events("t", Read::all().limit(u64::MAX))
        .await
        .unwrap();
    let mut versions = BTreeMap::new();
    for (event, position) in log.iter().zip(1..) {
        assert_eq!(event.position.get(), position, "positions have no gap");
        let version = versions.entry(event.stream.clone()).or_insert(0);
        *version += 1;
        assert_eq!(event.version.get(), *version, "versions have no gap");
    }
    store.verify_topic("t").await.unwrap();
    log
}

/// What writers know of their appends: the ids of one append, and where it was acknowledged.
#[derive(Debug, Default)]
struct Told {
    acknowledged: BTreeMap<Uuid, u64>,
    refused: Vec<Uuid>,
    unknown: u64,
    unavailable: u64,
    /// How many of them because the disk was full.
    full: u64,
}

impl Told {
    fn add(&mut self, other: Self) {
        self.acknowledged.extend(other.acknowledged);
        self.refused.extend(other.refused);
        self.unknown += other.unknown;
        self.unavailable += other.unavailable;
        self.full += other.full;
    }

    /// What was acknowledged is there, once, where it was said to be; what was refused is not.
    fn check(&self, log: &[RecordedEvent]) {
        let places: BTreeMap<Uuid, u64> = log
            .iter()
            .map(|event| (event.id, event.position.get()))
            .collect();
        assert_eq!(places.len(), log.len(), "an event is there twice");
        for (id, position) in &self.acknowledged {
            assert_eq!(places.get(id), Some(position), "{id} was acknowledged");
        }
        for id in &self.refused {
            assert!(!places.contains_key(id), "{id} was refused");
        }
        assert_eq!(
            places.len(),
            self.acknowledged.len(),
            "an event is there that nobody was told of"
        );
    }
}

/// Appends to a stream of its own until told to stop, each time expecting the version that it knows,
/// and each append again until its outcome is known.
async fn write_until(
    store: EventStore,
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    stream: String,
) -> Told {
    let mut told = Told::default();
    let mut version = 0;
    while !stop.load(Ordering::Relaxed) {
        let id = Uuid::new_v4();
        let append = Append::new([event(id)])
            .stream(&stream)
            .expected(ExpectedVersion::exact(version));
        loop {
            match store.append_events("t", append.clone()).await {
                Ok(receipt) => {
                    told.acknowledged.insert(id, receipt.first.get());
                    written.fetch_add(1, Ordering::Relaxed);
                    version = receipt.version.get();
                    break;
                }
                Err(Error::OutcomeUnknown { .. }) => told.unknown += 1,
                Err(Error::RepositoryUnavailable { reason, .. }) => {
                    told.unavailable += 1;
                    told.full += u64::from(reason.contains("disk is full"));
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                // Nobody else writes to the stream, so this would be a lie.
                Err(error) => panic!("{error:?}"),
            }
        }
        // One that has to be refused, every now and then.
        if version.is_multiple_of(5) {
            let id = Uuid::new_v4();
            let wrong = Append::new([event(id)])
                .stream(&stream)
                .expected(ExpectedVersion::NoStream);
            if let Err(Error::WrongExpectedVersion { .. }) = store.append_events("t", wrong).await {
                told.refused.push(id);
            }
        }
    }
    told
}

/// Lets writers write while `harm` is done, again and again where the machine is so slow that they
/// come to little beside it, and checks what they were told.
async fn write_beside(store: &EventStore, observer: &str, mut harm: impl AsyncFnMut()) -> Told {
    let stop = Arc::new(AtomicBool::new(false));
    let written = Arc::new(AtomicU64::new(0));
    let mut writers = Vec::new();
    for number in 0..8 {
        writers.push(tokio::spawn(write_until(
            store.clone(),
            Arc::clone(&stop),
            Arc::clone(&written),
            format!("s-{number}"),
        )));
    }
    for _ in 0..20 {
        harm().await;
        if written.load(Ordering::Relaxed) > 50 {
            break;
        }
    }
    stop.store(true, Ordering::Relaxed);
    let mut told = Told::default();
    for writer in writers {
        let of_one = tokio::time::timeout(Duration::from_secs(30), writer).await;
        told.add(of_one.expect("a writer comes to an end").unwrap());
    }
    let observer = open_in(observer).await;
    told.check(&all(&observer).await);
    observer.close().await.unwrap();
    assert!(told.acknowledged.len() > 50, "little was written: {told:?}");
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn server_processes_that_are_ended_lose_and_double_nothing() {
    let url = postgres().fresh();
    let store = store_with_topic(&url).await;
    let mut connection = sql_connection(&url).await;
    let name = schema(&url);
    let ours = url.clone() + "&annals.application_name=" + &name;
    let own = open_in(&ours).await;
    drop(store);
    let ended = AtomicU64::new(0);
    let harm = async || {
        for _ in 0..60 {
            tokio::time::sleep(Duration::from_millis(25)).await;
            let sql = "SELECT count(pg_terminate_backend(a.pid)) FROM pg_stat_activity a \
                       WHERE a.pid <> pg_backend_pid() AND a.query LIKE '%' || $1 || '%_append%'";
            let count: i64 = sqlx::query_scalar(sql)
                .bind(&name)
                .fetch_one(&mut connection)
                .await
                .unwrap();
            ended.fetch_add(count.unsigned_abs(), Ordering::Relaxed);
        }
    };
    let told = write_beside(&own, &url, harm).await;
    assert!(ended.into_inner() > 10, "hardly any process was ended");
    assert_eq!(
        told.unknown, 0,
        "the server was there to be asked: {told:?}"
    );
    own.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_cut_before_and_after_the_commit_lose_and_double_nothing() {
    let server = postgres();
    let direct = server.fresh();
    let proxy = Proxy::before(server.port()).await;
    let through = proxy.instead_of(server.port(), &direct);
    let store = store_with_topic(&through).await;
    // Odd numbers hit requests and answers in turn.
    let harm = async || {
        for every in [37, 23, 51, 31] {
            proxy.every.store(every, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        proxy.every.store(0, Ordering::Relaxed);
    };
    let told = write_beside(&store, &direct, harm).await;
    assert_eq!(
        told.unknown, 0,
        "the server was there to be asked: {told:?}"
    );
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_crashes_and_comes_back_loses_nothing_acknowledged() {
    let server = Postgres::start(&[]);
    let url = server.fresh();
    let store = store_with_topic(&url).await;
    let harm = async || {
        for round in 0..3 {
            tokio::time::sleep(Duration::from_millis(400)).await;
            if round == 1 {
                server.stop();
            } else {
                server.kill();
            }
            server.start_again();
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    write_beside(&store, &url, harm).await;
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_appends_until_there_is_room() {
    let server = Postgres::start_on_small_disk(OnSmallDisk::Data);
    let url = server.fresh();
    let store = store_with_topic(&url).await;
    let head = || async { store.get_latest_version("t").await.unwrap().get() };
    let harm = async || {
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_millis(300)).await;
            server.fill_disk();
            // What is left of pages that are there already is used up first.
            let mut before = 0;
            while before != head().await {
                before = head().await;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            let error = store
                .append_events("t", event(Uuid::new_v4()))
                .await
                .unwrap_err();
            let Error::RepositoryUnavailable { reason, .. } = &error else {
                panic!("{error:?}");
            };
            assert!(reason.contains("the server's disk is full"), "{reason}");
            assert!(error.is_retryable());
            store.verify_topic("t").await.unwrap();
            server.free_disk();
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert!(head().await > before, "it does not go on");
        }
    };
    let told = write_beside(&store, &url, harm).await;
    assert!(told.full > 0, "{told:?}");
    assert_eq!(told.unknown, 0, "no connection was lost: {told:?}");
    assert_eq!(store.health().await.status, HealthStatus::Up);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_crashes_because_its_log_has_no_room_loses_nothing_acknowledged() {
    let server = Postgres::start_on_small_disk(OnSmallDisk::Log);
    let url = server.fresh();
    let store = store_with_topic(&url).await;
    let harm = async || {
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_millis(300)).await;
            server.fill_disk();
            // Sooner or later it needs a further segment, and then the server crashes.
            let started = Instant::now();
            while store.get_latest_version("t").await.is_ok() {
                assert!(started.elapsed() < Duration::from_secs(60), "it goes on");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
            server.free_disk();
            server.stop();
            server.start_again();
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        store.get_latest_version("t").await.unwrap();
    };
    let told = write_beside(&store, &url, harm).await;
    assert!(told.unavailable + told.unknown > 0, "{told:?}");
    assert_eq!(store.health().await.status, HealthStatus::Up);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_fails_calls_quickly_and_is_used_again_when_it_is_back() {
    let server = Postgres::start(&[]);
    let url = server.fresh();
    let store = store_with_topic(&url).await;
    store
        .create_topic(TopicConfig::memory("elsewhere"))
        .await
        .unwrap();
    store
        .append_events("t", event(Uuid::new_v4()))
        .await
        .unwrap();
    server.stop();
    // One that was on its way may be looked for; those after it fail at once.
    let _ = store.append_events("t", event(Uuid::new_v4())).await;
    for _ in 0..3 {
        let started = Instant::now();
        let error = store
            .append_events("t", event(Uuid::new_v4()))
            .await
            .unwrap_err();
        assert!(
            matches!(error, Error::RepositoryUnavailable { .. }),
            "{error:?}"
        );
        assert!(error.is_retryable() && started.elapsed() < Duration::from_secs(2));
        let error = store.get_events("t", Read::all()).await.unwrap_err();
        assert!(
            matches!(error, Error::RepositoryUnavailable { .. }),
            "{error:?}"
        );
    }
    store
        .append_events("elsewhere", event(Uuid::new_v4()))
        .await
        .unwrap();
    let health = store.health().await;
    // The configuration is there, too.
    assert_eq!(health.status, HealthStatus::Down, "{health:?}");
    server.start_again();
    store
        .append_events("t", event(Uuid::new_v4()))
        .await
        .unwrap();
    assert_eq!(store.health().await.status, HealthStatus::Up);
    assert!(all(&store).await.len() >= 2);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_stands_still_holds_others_no_longer_than_the_bound() {
    let url = postgres().fresh() + "&annals.lock_timeout_ms=300";
    let store = store_with_topic(&url).await;
    store
        .append_events("t", event(Uuid::new_v4()))
        .await
        .unwrap();
    let mut still = sql_connection(&url).await;
    let enter = format!("BEGIN; SELECT {}.t_enter()", schema(&url));
    sqlx::raw_sql(AssertSqlSafe(enter))
        .execute(&mut still)
        .await
        .unwrap();
    let started = Instant::now();
    let error = store
        .append_events("t", event(Uuid::new_v4()))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::RepositoryUnavailable { reason, .. } if reason.contains("lock_timeout_ms")),
        "{error:?}"
    );
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(
        store.get_events("t", Read::all()).await.unwrap().len(),
        1,
        "reads go on"
    );
    sqlx::raw_sql("ROLLBACK").execute(&mut still).await.unwrap();
    store
        .append_events("t", event(Uuid::new_v4()))
        .await
        .unwrap();
    assert_eq!(all(&store).await.len(), 2);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_futures_leave_no_transaction_open() {
    let url = postgres().fresh();
    let name = schema(&url);
    let ours = url.clone() + "&annals.application_name=" + &name;
    let store = store_with_topic(&ours).await;
    for round in 0..200_u64 {
        let patience = Duration::from_micros(round * 20);
        let append = Append::new([event(Uuid::new_v4()), event(Uuid::new_v4())]);
        let _ = tokio::time::timeout(patience, store.append_events("t", append)).await;
        let _ = tokio::time::timeout(patience, store.get_events("t", Read::all())).await;
        let topic = TopicConfig::postgres(format!("made-{round}"), &ours);
        if round % 20 == 0 {
            let _ = tokio::time::timeout(patience, store.create_topic(topic)).await;
        }
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut connection = sql_connection(&url).await;
    let open: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND state <> 'idle'",
    )
    .bind(&name)
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert_eq!(open, 0, "sessions are in the middle of something");
    assert_eq!(all(&store).await.len() % 2, 0, "half an append is recorded");
    store.close().await.unwrap();
    let mut left = i64::MAX;
    for _ in 0..50 {
        left =
            sqlx::query_scalar("SELECT count(*) FROM pg_stat_activity WHERE application_name = $1")
                .bind(&name)
                .fetch_one(&mut connection)
                .await
                .unwrap();
        if left == 0 {
            break;
        }
        // The server takes a moment to see that a connection was closed.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(left, 0, "sessions are left after the close");
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_processes_racing_on_one_stream_each_win_their_turns() {
    const PROCESSES: u64 = 8;
    const EACH: u64 = 25;
    let url = postgres().fresh();
    let store = store_with_topic(&url).await;
    let mut others = Vec::new();
    for _ in 0..PROCESSES {
        let other = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_other_process", "--nocapture"])
            .env(ROLE, format!("{EACH} {url}"))
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        others.push(other);
    }
    for other in others {
        let output = other.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
    let log = all(&store).await;
    assert_eq!(log.len() as u64, PROCESSES * EACH);
    // Each event names the version that its writer expected: it is the one before.
    for event in &log {
        let expected: u64 = event.json().unwrap();
        assert_eq!(event.version.get(), expected + 1);
    }
    store.close().await.unwrap();
}

/// Plays its part in the race when it is started as another process.
#[tokio::test]
async fn the_other_process() {
    let Ok(role) = std::env::var(ROLE) else {
        // Started as a test: there is nobody to race with, and nothing to check.
        return;
    };
    let (each, url) = role.split_once(' ').unwrap();
    let store = open_in(url).await;
    let mut won = 0;
    while won < each.parse().unwrap() {
        let version = match store.get_stream("t", "contended").await {
            Ok(state) => state.version.get(),
            Err(Error::StreamNotFound { .. }) => 0,
            Err(error) => panic!("{error:?}"),
        };
        let event = NewEvent::json("Won", &version).unwrap();
        let append = Append::new([event])
            .stream("contended")
            .expected(ExpectedVersion::exact(version));
        match store.append_events("t", append).await {
            Ok(receipt) => {
                assert_eq!(receipt.version.get(), version + 1);
                assert!(!receipt.duplicate);
                won += 1;
            }
            Err(Error::WrongExpectedVersion { actual, .. }) => assert!(actual.get() > version),
            Err(error) => panic!("{error:?}"),
        }
    }
    store.close().await.unwrap();
}

/// A repository without a store before it, to wait on.
async fn repository(url: &str, topic: &str) -> (Arc<dyn EventRepository>, Placement) {
    let request = OpenRequest {
        connection: url.to_owned(),
        name: "postgres".to_owned(),
        options: BTreeMap::new(),
        read_only: false,
        clock: Arc::new(SystemClock),
    };
    let repository = PostgresFactory.open(request).await.unwrap();
    let placement = Placement {
        topic: TopicName::new(topic).unwrap(),
        adapter: "postgres".to_owned(),
        connection: url.to_owned(),
        options: BTreeMap::new(),
        storage: StorageId::generate(),
        store: StoreId::NONE,
    };
    repository.prepare(&placement).await.unwrap();
    (repository, placement)
}

/// What is asked for ahead may fail while nobody wants it.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_failed_ahead_is_asked_for_again_when_it_is_wanted() {
    const EVENTS: usize = 10_000;
    let server = Postgres::start(&[]);
    let (repository, placement) = repository(&server.fresh(), "t").await;
    repository
        .append(&placement, batch_of(EVENTS))
        .await
        .unwrap();
    let mut pages = repository.read(&placement, ReadPlan::all_after(Position::START));
    let mut read = 0;
    for _ in 0..2 {
        read += pages.next().await.unwrap().unwrap().events.len();
    }
    // The third page comes, and is kept.
    tokio::time::sleep(Duration::from_millis(700)).await;
    server.kill();
    read += pages.next().await.unwrap().unwrap().events.len();
    // The fourth cannot be had.
    tokio::time::sleep(Duration::from_millis(700)).await;
    server.start_again();
    while let Some(page) = pages.next().await {
        read += page.unwrap().events.len();
    }
    assert_eq!(read, EVENTS);
    repository.close().await.unwrap();
}

fn batch() -> Arc<annals::repository::AppendBatch> {
    batch_of(1)
}

fn batch_of(events: usize) -> Arc<annals::repository::AppendBatch> {
    let event = || annals::repository::BatchEvent {
        id: Uuid::new_v4(),
        stream: annals::StreamId::default(),
        event_type: annals::EventType::new("T").unwrap(),
        payload: "{}".into(),
        content_type: annals::ContentType::JSON,
        metadata: Default::default(),
        tags: annals::Tags::default(),
    };
    let events = (0..events).map(|_| event()).collect();
    Arc::new(annals::repository::AppendBatch {
        stream: annals::StreamId::default(),
        expected: ExpectedVersion::Any,
        condition: None,
        events,
        beyond: None,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_is_woken_by_other_processes_also_after_the_listener_was_cut_off() {
    let url = postgres().fresh();
    let (writer, placement) = repository(&url, "t").await;
    let name = schema(&url);
    let ours = url.clone() + "&annals.application_name=" + &name;
    let (waiter, _) = repository(&ours, "other").await;
    let mut connection = sql_connection(&url).await;
    let mut quick = 0;
    for round in 0..40 {
        if round % 10 == 5 {
            let sql = "SELECT count(pg_terminate_backend(a.pid)) FROM pg_stat_activity a \
                       WHERE a.application_name = $1 AND a.query LIKE 'LISTEN%'";
            let ended: i64 = sqlx::query_scalar(sql)
                .bind(&name)
                .fetch_one(&mut connection)
                .await
                .unwrap();
            assert_eq!(ended, 1, "there is one listener");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        let (waiting, topic) = (Arc::clone(&waiter), placement.clone());
        let woken =
            tokio::spawn(async move { waiting.wait_beyond(&topic, Position::new(round)).await });
        tokio::time::sleep(Duration::from_millis(60)).await;
        let started = Instant::now();
        writer.append(&placement, batch()).await.unwrap();
        let woken = tokio::time::timeout(Duration::from_secs(5), woken).await;
        assert_eq!(
            woken.expect("it is woken").unwrap().unwrap().get(),
            round + 1
        );
        quick += u64::from(started.elapsed() < Duration::from_millis(300));
    }
    assert!(
        quick >= 30,
        "only {quick} of 40 were woken by a notification"
    );
    writer.close().await.unwrap();
    waiter.close().await.unwrap();
}
