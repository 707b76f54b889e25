//! Subscriptions when things go wrong: connections that are cut, notifications that are lost,
//! transactions that are held open, and processes that are killed the moment after they were given an
//! event.

#![cfg(test)]
#![cfg(all(feature = "file", feature = "testing"))]

mod kinds;
#[cfg(feature = "postgres")]
mod servers;

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    time::Duration,
};

use annals::{EventStore, Position, Subscribe, Subscription, testing::Delivered};
use futures_util::TryStreamExt;
use kinds::{Kind, append, log, soon};

const DIRECTORY: &str = "ANNALS_LIVE_DIRECTORY";
/// How many times a process is killed.
const KILLS: u64 = 25;

async fn take(live: &mut Subscription, delivered: &mut Delivered, up_to: u64) {
    while delivered.last().get() < up_to {
        let event = soon("a delivery", live.try_next()).await;
        delivered.take(&event.unwrap().expect("it goes on"));
    }
}

/// The process that is killed: it appends and follows, and tells each event that it was given. Does
/// nothing when it is run as one test among the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_appends_and_follows_until_it_is_killed() {
    let Ok(directory) = std::env::var(DIRECTORY) else {
        return;
    };
    let kind = Kind::file_in(directory);
    let store = kind.open().await;
    drop(store.create_topic(kind.topic("t")).await);
    for task in 0..3 {
        let store = store.clone();
        tokio::spawn(async move {
            for count in 1.. {
                append(&store, "t", &format!("s-{task}"), 1 + count % 3).await;
            }
        });
    }
    let mut live = store.subscribe("t", Subscribe::from_now()).await.unwrap();
    let mut out = std::io::stdout();
    while let Some(event) = live.try_next().await.unwrap() {
        writeln!(out, "GIVEN {} {}", event.position, event.id).unwrap();
        out.flush().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_delivered_survives_a_kill_the_moment_after() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().display().to_string();
    let mut given: BTreeMap<u64, String> = BTreeMap::new();
    for kill in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child_that_appends_and_follows", "--nocapture"])
            .env(DIRECTORY, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut note = |line: &str| -> bool {
            let mut words = line.split_whitespace().skip_while(|word| *word != "GIVEN");
            let Some(position) = words.nth(1) else {
                return false;
            };
            let before = given.insert(position.parse().unwrap(), words.next().unwrap().to_owned());
            assert_eq!(before, None, "{position} was given before");
            true
        };
        // It is killed while it is in the middle of its work; what is in the pipe by then, it had.
        let mut wanted = 20 + kill * 7 % 60;
        while wanted > 0 {
            wanted -= u64::from(note(&lines.next().unwrap().unwrap()));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines {
            note(&line.unwrap());
        }
    }
    let store = Kind::file_in(path).open().await;
    let log = log(&store, "t").await;
    for (position, id) in &given {
        let at = usize::try_from(*position).unwrap() - 1;
        let event = log.get(at).expect("what was delivered is recorded");
        assert_eq!(
            (event.position.get(), &event.id.to_string()),
            (*position, id)
        );
    }
    assert!(given.len() > 500, "{} were given", given.len());
    store.verify_topic("t").await.unwrap();
    store.close().await.unwrap();
}

#[cfg(feature = "postgres")]
mod postgres {
    use std::sync::atomic::Ordering;

    use annals::repository::postgres::sqlx::{self, Connection, PgConnection};

    use super::{
        servers::{postgres, proxy::Proxy},
        *,
    };

    async fn connect(url: &str) -> PgConnection {
        let plain = url.split("&annals.").next().unwrap();
        PgConnection::connect(plain).await.unwrap()
    }

    /// Subscribers through a proxy that cuts their connections, whatever is on its way there: a
    /// question, an answer, a notification.
    #[tokio::test(flavor = "multi_thread")]
    async fn connections_that_are_cut_lose_and_double_no_delivery() {
        let server = postgres();
        let direct = Kind::at(server);
        let store = direct.open_with_topic().await;
        let proxy = Proxy::before(server.port()).await;
        let through = Kind::in_postgres(proxy.instead_of(server.port(), &direct.connection));
        let follower = through.open().await;
        let mut followers = tokio::task::JoinSet::new();
        const ALL: u64 = 4 * 120;
        for number in 0..4_u64 {
            let mut live = follower
                .subscribe("t", Subscribe::from_start())
                .await
                .unwrap();
            followers.spawn(async move {
                let mut delivered = Delivered::after(Position::START);
                for up_to in (1..=ALL).step_by(1 + usize::try_from(number).unwrap() * 7) {
                    take(&mut live, &mut delivered, up_to).await;
                }
                take(&mut live, &mut delivered, ALL).await;
                delivered
            });
        }
        for every in [29, 17, 41, 23] {
            proxy.every.store(every, Ordering::Relaxed);
            for number in 0..60 {
                append(&store, "t", &format!("s-{}", number % 3), 2).await;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        proxy.every.store(0, Ordering::Relaxed);
        let log = log(&store, "t").await;
        while let Some(delivered) = soon("the followers", followers.join_next()).await {
            delivered.unwrap().check(&log, Position::new(ALL));
        }
        follower.close().await.unwrap();
        store.close().await.unwrap();
    }

    /// A transaction that is open for long, has written, and holds back every horizon of the server: in
    /// stores that take positions before they commit, subscribers wait for it, or miss what it writes.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_transaction_that_is_held_open_stalls_nobody() {
        let kind = Kind::at(postgres());
        let store = kind.open_with_topic().await;
        let mut live = store.subscribe("t", Subscribe::from_start()).await.unwrap();
        let mut delivered = Delivered::after(Position::START);
        let mut held = connect(&kind.connection).await;
        let begin = "BEGIN ISOLATION LEVEL SERIALIZABLE; CREATE TEMPORARY TABLE mine (a int); \
                     INSERT INTO mine SELECT generate_series(1, 1000); SELECT txid_current()";
        sqlx::raw_sql(begin).execute(&mut held).await.unwrap();
        for head in 1..=200 {
            append(&store, "t", "s", 1).await;
            take(&mut live, &mut delivered, head).await;
        }
        // It was open all the time, and is still.
        sqlx::raw_sql("INSERT INTO mine VALUES (0)")
            .execute(&mut held)
            .await
            .unwrap();
        sqlx::raw_sql("COMMIT").execute(&mut held).await.unwrap();
        delivered.check(&log(&store, "t").await, Position::new(200));
        store.close().await.unwrap();
    }

    /// Nobody hears what is told while the connection that listens is ended again and again.
    #[tokio::test(flavor = "multi_thread")]
    async fn notifications_that_are_lost_delay_and_lose_nothing() {
        let kind = Kind::at(postgres());
        let store = kind.open_with_topic().await;
        let other: EventStore = kind.open().await;
        let mut live = other.subscribe("t", Subscribe::from_start()).await.unwrap();
        let mut delivered = Delivered::after(Position::START);
        let mut administrator = connect(&kind.connection).await;
        let mut ended = 0;
        for head in 1..=30 {
            let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                       WHERE query LIKE 'LISTEN%'";
            let ending = async {
                loop {
                    let count: i64 = sqlx::query_scalar(end)
                        .fetch_one(&mut administrator)
                        .await
                        .unwrap();
                    // It comes back by itself; now and then that is waited for.
                    if count > 0 || head % 5 != 0 {
                        return count;
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            ended += soon("a connection that listens", ending).await;
            append(&store, "t", "s", 1).await;
            take(&mut live, &mut delivered, head).await;
        }
        assert!(ended > 3, "{ended} connections were ended");
        delivered.check(&log(&store, "t").await, Position::new(30));
        other.close().await.unwrap();
        store.close().await.unwrap();
    }
}
