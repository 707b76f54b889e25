//! Consumers: they go on where they were, one instance at a time, wherever their checkpoints are kept;
//! and a read model that commits its position in its own transaction has each event exactly once.

#![cfg(test)]
#![cfg(all(feature = "file", feature = "testing"))]

mod kinds;
#[cfg(feature = "postgres")]
mod servers;

use std::{sync::Arc, time::Duration};

use annals::{
    Checkpoint, Consume, Consumer, Error, EventFilter, EventStore, Position, TopicCheckpoints,
    repository::Checkpoints, testing::Delivered,
};
use futures_util::{FutureExt, TryStreamExt, future::join_all};
use kinds::{Kind, append, log, soon};

/// Where checkpoints can be kept, with a store of each adapter that has the topic `t`.
async fn places() -> Vec<(Kind, EventStore, Arc<dyn Checkpoints>)> {
    let mut places: Vec<(Kind, EventStore, Arc<dyn Checkpoints>)> = Vec::new();
    for kind in Kind::all() {
        let store = kind.open_with_topic().await;
        let beside = TopicCheckpoints::beside(&store, "t").await.unwrap();
        places.push((kind, store, Arc::new(beside)));
    }
    #[cfg(feature = "postgres")]
    {
        let kind = Kind::memory();
        let store = kind.open_with_topic().await;
        places.push((kind, store, Arc::new(tables::open().await.1)));
    }
    places
}

/// Checkpoints that are kept where others are.
#[derive(Clone, Debug)]
struct Kept(Arc<dyn Checkpoints>);

#[async_trait::async_trait]
impl Checkpoints for Kept {
    async fn load(&self, consumer: &str) -> annals::Result<Checkpoint> {
        self.0.load(consumer).await
    }

    async fn replace(&self, consumer: &str, next: &Checkpoint) -> annals::Result<u64> {
        self.0.replace(consumer, next).await
    }
}

fn named(name: &str, checkpoints: &Arc<dyn Checkpoints>) -> Consume {
    Consume::named(name)
        .checkpoints(Kept(Arc::clone(checkpoints)))
        .lease(Duration::from_secs(20))
}

async fn take(consumer: &mut Consumer, delivered: &mut Delivered, count: usize) {
    for _ in 0..count {
        let event = soon("a delivery", consumer.try_next()).await.unwrap();
        delivered.take(&event.expect("it goes on"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_dropped_while_he_takes_a_lease_gives_it_back() {
    for (kind, store, checkpoints) in places().await {
        for polls in (0..12).chain([16, 24]) {
            let lasting = named("c", &checkpoints).lease(Duration::from_secs(600));
            let mut taking = Box::pin(store.consume("t", lasting));
            for _ in 0..polls {
                if taking.as_mut().now_or_never().is_some() {
                    break;
                }
                tokio::time::sleep(Duration::from_micros(300)).await;
            }
            drop(taking);
            let lasting = named("c", &checkpoints).lease(Duration::from_secs(600));
            let taken = soon("a lease that was given back", store.consume("t", lasting));
            taken.await.unwrap().release().await.unwrap();
        }
        println!("{}", kind.adapter);
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_is_replaced_by_one_of_many_and_never_goes_back() {
    for (kind, store, checkpoints) in places().await {
        assert_eq!(checkpoints.load("c").await.unwrap(), Checkpoint::default());
        let mut revision = 0;
        for round in 1..=20_u64 {
            let before = revision;
            let next = move |note: usize| Checkpoint {
                revision: before,
                origin: "o".to_owned(),
                position: Some(Position::new(round)),
                epoch: round,
                note: note.to_string(),
                ..Checkpoint::default()
            };
            let tries = (0..8).map(|number| {
                let (checkpoints, next) = (Arc::clone(&checkpoints), next(number));
                tokio::spawn(async move { checkpoints.replace("c", &next).await })
            });
            let mut won = Vec::new();
            for (number, tried) in join_all(tries).await.into_iter().enumerate() {
                match tried.unwrap() {
                    Ok(now) => won.push((number, now)),
                    Err(Error::CheckpointConflict { .. }) => {}
                    // One who asked for the row while another had it, and nothing was written.
                    Err(Error::RepositoryUnavailable { .. }) => {}
                    Err(error) => panic!("{}: {error}", kind.adapter),
                }
            }
            let [(winner, now)] = won[..] else {
                panic!("{}: {won:?} have won", kind.adapter);
            };
            assert!(now > revision);
            revision = now;
            let mut expected = next(winner);
            expected.revision = now;
            assert_eq!(checkpoints.load("c").await.unwrap(), expected);
            let back = Checkpoint {
                position: Some(Position::new(round - 1)),
                ..expected
            };
            let refused = checkpoints.replace("c", &back).await;
            assert!(matches!(refused, Err(Error::CheckpointConflict { .. })));
        }
        // Another topic has other positions.
        let anew = Checkpoint {
            revision,
            origin: "another".to_owned(),
            position: Some(Position::new(1)),
            ..Checkpoint::default()
        };
        checkpoints.replace("c", &anew).await.unwrap();
        assert_eq!(checkpoints.load("d").await.unwrap(), Checkpoint::default());
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_goes_on_where_it_was() {
    for (kind, store, checkpoints) in places().await {
        append(&store, "t", "s", 100).await;
        let filter = EventFilter::all().streams(["s"]);
        let mut delivered = Delivered::after(Position::START).of(filter.clone());
        for round in 0..5 {
            let consume = named("c", &checkpoints).filter(filter.clone());
            let consumer = soon("to begin", store.consume("t", consume)).await;
            let mut consumer = consumer.unwrap();
            assert_eq!(consumer.position(), delivered.last(), "{}", kind.adapter);
            take(&mut consumer, &mut delivered, 7).await;
            consumer.commit().await.unwrap();
            // What is processed and not committed comes again.
            for _ in 0..round {
                soon("a delivery", consumer.try_next()).await.unwrap();
            }
            if round % 2 == 0 {
                consumer.release().await.unwrap();
            } else {
                drop(consumer);
            }
        }
        // What does not match is passed by.
        append(&store, "t", "other", 50).await;
        let consume = named("c", &checkpoints).filter(filter);
        let mut consumer = store.consume("t", consume).await.unwrap();
        take(&mut consumer, &mut delivered, 65).await;
        let passing = async {
            while consumer.position().get() < 150 {
                assert!(consumer.try_next().now_or_never().is_none());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        soon("to pass by", passing).await;
        consumer.commit().await.unwrap();
        consumer.release().await.unwrap();
        delivered.check(&log(&store, "t").await, Position::new(150));
        let stored = checkpoints.load("t/c").await.unwrap();
        assert_eq!(stored.position, Some(Position::new(150)));
        // Another one has its own, and "now" is when it first began.
        let now = || named("d", &checkpoints).from_now();
        drop(store.consume("t", now()).await.unwrap());
        append(&store, "t", "s", 2).await;
        let mut late = soon("to begin", store.consume("t", now())).await.unwrap();
        let first = soon("a delivery", late.try_next()).await.unwrap().unwrap();
        assert_eq!(first.position.get(), 151);
        let backward = late.commit_to(Position::new(149)).await;
        assert!(matches!(backward, Err(Error::CheckpointConflict { .. })));
        late.commit().await.unwrap();
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_created_anew_is_begun_anew() {
    for (kind, store, checkpoints) in places().await {
        append(&store, "t", "s", 5).await;
        let consumer = store.consume("t", named("c", &checkpoints)).await;
        let mut consumer = consumer.unwrap();
        take(&mut consumer, &mut Delivered::after(Position::START), 5).await;
        consumer.commit().await.unwrap();
        consumer.release().await.unwrap();
        store.delete_topic("t").await.unwrap();
        store.create_topic(kind.topic("t")).await.unwrap();
        append(&store, "t", "s", 9).await;
        let consumer = store.consume("t", named("c", &checkpoints)).await;
        let mut consumer = consumer.unwrap();
        let mut delivered = Delivered::after(Position::START);
        take(&mut consumer, &mut delivered, 9).await;
        consumer.commit().await.unwrap();
        delivered.check(&log(&store, "t").await, Position::new(9));
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_instances_one_goes_on() {
    for (_, store, checkpoints) in places().await {
        append(&store, "t", "s", 20).await;
        let mut first = store.consume("t", named("c", &checkpoints)).await.unwrap();
        let mut delivered = Delivered::after(Position::START);
        take(&mut first, &mut delivered, 5).await;
        let second = tokio::spawn({
            let (store, consume) = (store.clone(), named("c", &checkpoints));
            async move { store.consume("t", consume).await }
        });
        take(&mut first, &mut delivered, 5).await;
        first.commit().await.unwrap();
        assert!(!second.is_finished(), "both have the lease");
        drop(first);
        let mut second = soon("the other one", second).await.unwrap().unwrap();
        take(&mut second, &mut delivered, 10).await;
        second.commit().await.unwrap();
        delivered.check(&log(&store, "t").await, Position::new(20));
        store.close().await.unwrap();
    }
}

/// An instance that stands still for longer than its lease is overtaken, and finds that out before it
/// does anything more.
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_was_paused_does_not_go_on() {
    for (kind, store, checkpoints) in places().await {
        append(&store, "t", "s", 20).await;
        fn consume(checkpoints: &Arc<dyn Checkpoints>) -> Consume {
            named("c", checkpoints).lease(Duration::from_millis(400))
        }
        let (go, paused) = std::sync::mpsc::channel::<()>();
        let (tell, begun) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn({
            let (store, kept) = (store.clone(), Arc::clone(&checkpoints));
            // The whole runtime of this instance stands still, as a process does that is stopped.
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(async move {
                    let own = kind.open_another().await;
                    let checkpoints: Arc<dyn Checkpoints> = match &own {
                        Some(own) => Arc::new(TopicCheckpoints::new(own, "t.consumers")),
                        None => kept,
                    };
                    let store = own.unwrap_or(store);
                    let mut first = store.consume("t", consume(&checkpoints)).await.unwrap();
                    let mut delivered = Delivered::after(Position::START);
                    take(&mut first, &mut delivered, 5).await;
                    first.commit().await.unwrap();
                    let late = first.pending();
                    tell.send(()).unwrap();
                    paused.recv().unwrap();
                    // It gets no event, and can write nothing.
                    let next = first.try_next().await;
                    let lost = first.commit().await;
                    (next.map(drop), lost, late)
                })
            }
        });
        begun.await.unwrap();
        let second = soon("to take over", store.consume("t", consume(&checkpoints))).await;
        let mut second = second.unwrap();
        let mut delivered = Delivered::after(Position::new(5));
        take(&mut second, &mut delivered, 10).await;
        second.commit().await.unwrap();
        go.send(()).unwrap();
        let joined = tokio::task::spawn_blocking(move || thread.join().unwrap());
        let (next, lost, late) = soon("the first", joined).await.unwrap();
        assert!(matches!(next, Err(Error::LeaseLost { .. })), "{next:?}");
        assert!(matches!(lost, Err(Error::LeaseLost { .. })), "{lost:?}");
        assert_ne!(late.epoch, second.pending().epoch);
        take(&mut second, &mut delivered, 5).await;
        second.commit().await.unwrap();
        delivered.check(&log(&store, "t").await, Position::new(20));
        store.close().await.unwrap();
    }
}

/// Instances come and go; what they have committed, one after the other, is an exact run.
#[tokio::test(flavor = "multi_thread")]
async fn instances_that_come_and_go_commit_one_after_the_other() {
    const ALL: u64 = 300;
    for (kind, store, checkpoints) in places().await {
        append(&store, "t", "s", ALL).await;
        let committed = Arc::new(tokio::sync::Mutex::new(Delivered::after(Position::START)));
        let mut instances = tokio::task::JoinSet::new();
        for number in 0..4_u64 {
            let (store, committed) = (store.clone(), Arc::clone(&committed));
            let consume = named("c", &checkpoints).lease(Duration::from_millis(500));
            instances.spawn(async move {
                for round in number.. {
                    let mut consumer = store.consume("t", consume.clone()).await.unwrap();
                    let mut processed = Vec::new();
                    while processed.len() < 11 && consumer.position().get() < ALL {
                        let event = consumer.try_next().await.unwrap().unwrap();
                        processed.push(event);
                    }
                    let mut committed = committed.lock().await;
                    if round % 3 == 1 {
                        // It dies before it has committed.
                        drop(consumer);
                    } else {
                        match consumer.commit().await {
                            Ok(()) => processed.iter().for_each(|event| committed.take(event)),
                            Err(Error::LeaseLost { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                    if committed.last().get() == ALL {
                        return;
                    }
                }
            });
        }
        while let Some(done) = soon("an instance", instances.join_next()).await {
            done.unwrap();
        }
        let log = log(&store, "t").await;
        committed.lock().await.check(&log, Position::new(ALL));
        let _ = kind;
        store.close().await.unwrap();
    }
}

#[cfg(feature = "postgres")]
mod tables {
    //! Checkpoints in a table of the user's database.

    use std::sync::atomic::{AtomicU64, Ordering};

    use annals::repository::postgres::{
        PostgresCheckpoints,
        sqlx::{self, AssertSqlSafe, PgPool},
    };

    use super::*;

    /// A schema of its own, by a pool that looks there first.
    pub(super) async fn open() -> (PgPool, PostgresCheckpoints) {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let schema = format!("user_{}_{number}", std::process::id());
        let options = sqlx::postgres::PgPoolOptions::new().max_connections(8);
        let there = schema.clone();
        let pool = options
            .after_connect(move |connection, _| {
                let sql = format!("SET search_path TO {there}");
                Box::pin(async move {
                    sqlx::raw_sql(AssertSqlSafe(sql))
                        .execute(connection)
                        .await?;
                    Ok(())
                })
            })
            .connect(servers::postgres().url())
            .await
            .unwrap();
        let make = format!("CREATE SCHEMA {schema}");
        sqlx::raw_sql(AssertSqlSafe(make))
            .execute(&pool)
            .await
            .unwrap();
        let open = || PostgresCheckpoints::open(pool.clone(), "my consumers");
        let opened = join_all((0..4).map(|_| open())).await;
        let opened: annals::Result<Vec<_>> = opened.into_iter().collect();
        (pool.clone(), opened.unwrap().remove(0))
    }

    /// How many events a read model is made of.
    const ALL: u64 = 200;

    /// One life of an instance that keeps a read model: whether all is done.
    async fn live(
        store: &EventStore,
        pool: &PgPool,
        checkpoints: &PostgresCheckpoints,
        seed: u64,
    ) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
        let consume = Consume::named("model")
            .checkpoints(checkpoints.clone())
            .lease(Duration::from_millis(500));
        let mut consumer = store.consume("t", consume).await?;
        for turn in seed..seed + 20 {
            if consumer.position().get() == ALL {
                return Ok(true);
            }
            let event = consumer.try_next().await?.expect("it goes on");
            let mut transaction = pool.begin().await?;
            let insert = "INSERT INTO model (position) VALUES ($1)";
            let insert = sqlx::query(insert).bind(i64::try_from(event.position.get())?);
            insert.execute(&mut *transaction).await?;
            // It dies, or stands still with its transaction open until the lease is over.
            match turn % 31 {
                7 => return Ok(false),
                19 => tokio::time::sleep(Duration::from_millis(700)).await,
                _ => {}
            }
            let pending = consumer.pending();
            checkpoints.store_in(&mut transaction, &pending).await?;
            if turn % 31 == 23 {
                tokio::time::sleep(Duration::from_millis(700)).await;
            }
            transaction.commit().await?;
        }
        Ok(false)
    }

    /// Ends connections of all now and then.
    async fn harm(pool: PgPool) {
        loop {
            tokio::time::sleep(Duration::from_millis(150)).await;
            let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                       WHERE query LIKE '%my consumers%' AND pid <> pg_backend_pid() LIMIT 1";
            drop(sqlx::query(sql).execute(&pool).await);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_read_model_has_every_event_exactly_once() {
        let store = Kind::at(servers::postgres()).open_with_topic().await;
        append(&store, "t", "s", ALL).await;
        let (pool, checkpoints) = open().await;
        let make = "CREATE TABLE model (number bigserial, position bigint)";
        sqlx::raw_sql(make).execute(&pool).await.unwrap();
        let mut instances = tokio::task::JoinSet::new();
        for number in 0..4 {
            let (store, pool, checkpoints) = (store.clone(), pool.clone(), checkpoints.clone());
            instances.spawn(async move {
                let mut seed = number * 8;
                // What fails is begun again, as whoever runs it would.
                while !matches!(live(&store, &pool, &checkpoints, seed).await, Ok(true)) {
                    seed += 1;
                }
            });
        }
        let harm = tokio::spawn(harm(pool.clone()));
        let all = async {
            while let Some(done) = instances.join_next().await {
                done.unwrap();
            }
        };
        let all = tokio::time::timeout(Duration::from_secs(120), all).await;
        all.expect("they come to an end");
        harm.abort();
        let rows: Vec<(i64,)> = sqlx::query_as("SELECT position FROM model ORDER BY number")
            .fetch_all(&pool)
            .await
            .unwrap();
        let positions: Vec<u64> = rows.iter().map(|row| row.0.unsigned_abs()).collect();
        assert_eq!(positions, (1..=ALL).collect::<Vec<_>>());
        store.close().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_checkpoint_is_there_if_its_transaction_is() {
        let store = Kind::memory().open_with_topic().await;
        append(&store, "t", "s", 10).await;
        let (pool, checkpoints) = open().await;
        let consume = || Consume::named("c").checkpoints(checkpoints.clone());
        let mut consumer = store.consume("t", consume()).await.unwrap();
        let mut delivered = Delivered::after(Position::START);
        take(&mut consumer, &mut delivered, 4).await;
        let early = consumer.pending();
        let mut transaction = pool.begin().await.unwrap();
        checkpoints
            .store_in(&mut transaction, &early)
            .await
            .unwrap();
        transaction.rollback().await.unwrap();
        let stored = checkpoints.load("t/c").await.unwrap();
        assert_eq!(stored.position, Some(Position::START));
        let mut transaction = pool.begin().await.unwrap();
        checkpoints
            .store_in(&mut transaction, &early)
            .await
            .unwrap();
        transaction.commit().await.unwrap();
        let stored = checkpoints.load("t/c").await.unwrap();
        assert_eq!(stored.position, Some(Position::new(4)));
        // The consumer goes on after what it did not write itself.
        take(&mut consumer, &mut delivered, 2).await;
        consumer.commit().await.unwrap();
        let mut transaction = pool.begin().await.unwrap();
        let back = checkpoints.store_in(&mut transaction, &early).await;
        assert!(matches!(back, Err(Error::LeaseLost { .. })), "{back:?}");
        transaction.rollback().await.unwrap();
        // One that has lost its lease writes nothing in a transaction either.
        let late = consumer.pending();
        consumer.release().await.unwrap();
        let other = store.consume("t", consume()).await.unwrap();
        let mut transaction = pool.begin().await.unwrap();
        let refused = checkpoints.store_in(&mut transaction, &late).await;
        assert!(
            matches!(refused, Err(Error::LeaseLost { .. })),
            "{refused:?}"
        );
        assert_eq!(other.position().get(), 6);
        for bad in ["", "a.b.c", "a\0", &"x".repeat(64)] {
            let refused = PostgresCheckpoints::open(pool.clone(), bad).await;
            assert!(
                matches!(refused, Err(Error::InvalidConfig { .. })),
                "{bad:?}"
            );
        }
        store.close().await.unwrap();
    }
}
