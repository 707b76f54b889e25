//! What the clients of one process do: appends of all kinds, reads, subscriptions, and moves.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use annals::{ConfigurationStream, EventStore, EventStoreConfig};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use crate::history::{
    Entry,
    calls::some_call,
    client::{Client, Sink},
    random::Random,
    record::{AppendCall, Call, Filter, Start},
};

/// So soon is a move taken over whose mover is gone.
const LEASE: Duration = Duration::from_millis(600);
/// Those who append to a topic, for each process.
const CLIENTS: u32 = 3;
/// A topic is full then: reads of all of it would take the time of all else.
const MOST_EVENTS: u64 = 60_000;

/// Where the configuration is, and where topics can be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct World {
    pub(crate) directory: String,
    configuration: (String, String),
    pub(crate) places: Vec<(String, String)>,
}

impl World {
    pub(crate) fn new(directory: &tempfile::TempDir, adapter: &str, connection: &str) -> Self {
        Self {
            directory: directory.path().display().to_string(),
            configuration: (adapter.to_owned(), connection.to_owned()),
            places: Vec::new(),
        }
    }

    pub(crate) fn with_places(mut self, places: Vec<(&str, String)>) -> Self {
        let places = places.into_iter();
        self.places = places
            .map(|(adapter, at)| (adapter.to_owned(), at))
            .collect();
        self
    }

    pub(crate) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.directory)
    }

    pub(crate) fn url(&self, name: &str) -> String {
        format!("file://{}/{name}", self.directory)
    }

    /// Opens the store; a server that is away is waited for.
    pub(crate) async fn open(&self) -> EventStore {
        let begun = Instant::now();
        loop {
            let (adapter, connection) = &self.configuration;
            let stream = ConfigurationStream::new(adapter, connection);
            let config = EventStoreConfig::new(stream)
                .move_lease(LEASE)
                .allow_plain_secrets();
            match EventStore::open(config).await {
                Ok(store) => return store,
                Err(error) if error.is_retryable() && begun.elapsed().as_secs() < 30 => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(error) => panic!("{error:?}"),
            }
        }
    }
}

/// All that the clients of one process do until they are told to stop, and what they note.
pub(crate) async fn work_on(
    store: &EventStore,
    world: &World,
    topics: &[String],
    (process, seed): (u32, u64),
    sink: Option<Sink>,
    stop: impl Fn() -> bool + Clone + Send + Sync + 'static,
) -> Vec<Entry> {
    let mut tasks = Vec::new();
    let mut number = 0;
    let working = Arc::new(AtomicU32::new(CLIENTS * topics.len() as u32));
    for topic in topics {
        let mut client = || {
            number += 1;
            let mut client = Client::new(store, topic, process, number);
            client.sink = sink.clone();
            let random = Random(seed.wrapping_mul(31) ^ u64::from(process * 100 + number));
            (client, random)
        };
        for _ in 0..CLIENTS {
            let ((client, random), stop) = (client(), stop.clone());
            let working = Arc::clone(&working);
            tasks.push(tokio::spawn(async move {
                let entries = append_and_read(client, random, stop).await;
                working.fetch_sub(1, Ordering::Relaxed);
                entries
            }));
        }
        for filter in [Filter::all(), Filter::tag("seat:1")] {
            let ((client, _), working) = (client(), Arc::clone(&working));
            tasks.push(tokio::spawn(follow(client, filter, working)));
        }
        let ((client, random), stop) = (client(), stop.clone());
        tasks.push(tokio::spawn(to_and_fro(
            client,
            random,
            world.clone(),
            stop,
        )));
    }
    let notes = join_all(tasks).await.into_iter();
    notes.flat_map(|notes| notes.unwrap()).collect()
}

async fn append_and_read(
    mut client: Client,
    mut random: Random,
    stop: impl Fn() -> bool,
) -> Vec<Entry> {
    let mut tried: Vec<AppendCall> = Vec::new();
    while !stop() {
        let is_full = client
            .store
            .get_latest_version(&client.topic)
            .await
            .is_ok_and(|head| head.get() > MOST_EVENTS);
        if is_full {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let patience = Duration::from_millis(2);
        some_call(&mut client, &mut random, &mut tried, patience).await;
        tokio::time::sleep(Duration::from_millis(random.below(8))).await;
    }
    client.entries
}

/// Follows over many subscriptions, each where the one before ended, until the others have done.
async fn follow(mut client: Client, filter: Filter, working: Arc<AtomicU32>) -> Vec<Entry> {
    let mut position = Start::After(0);
    while working.load(Ordering::Relaxed) > 0 {
        let begun = Instant::now();
        let enough = |_| begun.elapsed() > Duration::from_millis(300);
        client.follow(position, filter.clone(), enough, false).await;
        if let Some(Call::Subscription(call)) = client.entries.last().map(|entry| &entry.call) {
            position = Start::After(call.position);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    client.entries
}

/// Moves the topic now and then.
async fn to_and_fro(
    mut client: Client,
    mut random: Random,
    world: World,
    stop: impl Fn() -> bool,
) -> Vec<Entry> {
    while !stop() {
        tokio::time::sleep(Duration::from_millis(300 + random.below(900))).await;
        let nth = random.below(world.places.len() as u64) as usize;
        let to = world.place(nth, &client.topic);
        client.move_to(to).await;
        // What it has left is needed by nobody, most of the time.
        if random.one_in(2) {
            drop(client.store.remove_former(&client.topic).await);
        }
    }
    client.entries
}
