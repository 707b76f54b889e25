//! Subscriptions under load: from the append to the delivery, many subscribers, history beside the
//! plain scan, and long runs in which each delivery is checked.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use annals::{
    ConfigurationStream, EventStore, EventStoreConfig, Position, RecordedEvent, Subscribe,
    TopicConfig,
};
use futures_util::{StreamExt, TryStreamExt};
use serde_json::json;
use tokio::task::JoinSet;

use super::{
    annals::{Annals, append_of},
    big::resident,
    draft::{Drafts, Ids},
    drive,
    measure::{Times, report},
    target::{Result, Target},
};

const TOPIC: &str = "orders-0";
/// Those who append in a long run, and the events of each append.
const WRITERS: u64 = 4;
const BATCH: u64 = 25;

/// What is measured.
#[derive(Clone, Copy, Debug, clap::Subcommand)]
pub(crate) enum Work {
    /// From the append to the delivery: subscribers that wait for single appends
    Latency {
        #[arg(long, value_enum)]
        adapter: Adapter,
        #[arg(long, default_value_t = 1)]
        subscribers: usize,
        #[arg(long, default_value_t = 2000)]
        events: usize,
        /// From one append to the next
        #[arg(long, default_value_t = 2000)]
        pause_us: u64,
        /// Whether they follow through another store, as another process would
        #[arg(long)]
        elsewhere: bool,
    },
    /// A long history: a subscription beside the scan
    CatchUp {
        #[arg(long, value_enum)]
        adapter: Adapter,
        #[arg(long, default_value_t = 1_000_000)]
        events: u64,
        #[arg(long, default_value_t = 5)]
        runs: usize,
    },
    /// Subscribers that come and go beside writers, each delivery checked
    Long {
        #[arg(long, value_enum)]
        adapter: Adapter,
        #[arg(long, default_value_t = 10)]
        subscribers: u64,
        #[arg(long, default_value_t = 1_000_000)]
        events: u64,
    },
}

pub(crate) async fn run(work: Work, directory: &str) -> Result<()> {
    match work {
        Work::Latency {
            adapter,
            subscribers,
            events,
            pause_us,
            elsewhere,
        } => {
            let pace = (events, Duration::from_micros(pause_us));
            latency((adapter, directory), subscribers, pace, elsewhere).await
        }
        Work::CatchUp {
            adapter,
            events,
            runs,
        } => catch_up((adapter, directory), events, runs).await,
        Work::Long {
            adapter,
            subscribers,
            events,
        } => long((adapter, directory), subscribers, events).await,
    }
}

/// Where the topic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Adapter {
    Memory,
    File,
    #[cfg(feature = "postgres")]
    Postgres,
    #[cfg(feature = "blob")]
    Blob,
}

/// A place for topics, for as long as it is held.
struct Place {
    configuration: ConfigurationStream,
    topic: TopicConfig,
    #[cfg(feature = "postgres")]
    _server: Option<super::servers::Postgres>,
}

impl Place {
    fn of(adapter: Adapter, directory: &str) -> Self {
        #[cfg(feature = "postgres")]
        let server = (adapter == Adapter::Postgres).then(|| super::servers::Postgres::start(&[]));
        let (name, connection) = match adapter {
            Adapter::Memory => ("memory", String::new()),
            Adapter::File => ("file", directory.to_owned()),
            #[cfg(feature = "postgres")]
            Adapter::Postgres => (
                "postgres",
                server
                    .as_ref()
                    .map_or_else(String::new, super::servers::Postgres::fresh),
            ),
            #[cfg(feature = "blob")]
            Adapter::Blob => ("blob", format!("file://{directory}/objects")),
        };
        Self {
            configuration: ConfigurationStream::new(name, &connection),
            topic: TopicConfig::new(TOPIC, name, connection),
            #[cfg(feature = "postgres")]
            _server: server,
        }
    }

    async fn open(&self) -> Result<EventStore> {
        let store = EventStore::open(EventStoreConfig::new(self.configuration.clone())).await?;
        if store.get_topic(TOPIC).await.is_err() {
            store.create_topic(self.topic.clone()).await?;
        }
        Ok(store)
    }
}

/// What was delivered, in a number: the same where and only where it is the same run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Digest {
    last: Position,
    sum: u128,
}

impl Digest {
    fn add(&mut self, event: &RecordedEvent) -> Result<()> {
        if event.position != self.last.next() {
            return Err(format!("{} was delivered behind {}", event.position, self.last).into());
        }
        self.last = event.position;
        let mixed = event.id.as_u128() ^ u128::from(event.position.get()).wrapping_mul(0x9e37);
        self.sum = self.sum.rotate_left(7).wrapping_add(mixed);
        Ok(())
    }
}

/// Single appends at a steady pace, and when each was delivered: counted from when it had returned.
async fn latency(
    (adapter, directory): (Adapter, &str),
    subscribers: usize,
    (events, pause): (usize, Duration),
    elsewhere: bool,
) -> Result<()> {
    let place = Place::of(adapter, directory);
    let store = place.open().await?;
    // Another store is another process as far as the way of an event goes.
    let follows = if elsewhere {
        place.open().await?
    } else {
        store.clone()
    };
    let before = resident()?;
    let returned: Arc<Vec<OnceLock<Instant>>> =
        Arc::new((0..events).map(|_| OnceLock::new()).collect());
    let mut followers = JoinSet::new();
    for _ in 0..subscribers {
        let mut live = follows.subscribe(TOPIC, Subscribe::from_start()).await?;
        followers.spawn(async move {
            let mut digest = Digest::default();
            let mut delivered = Vec::with_capacity(events);
            while delivered.len() < events {
                let event = live.try_next().await?.ok_or("it ended")?;
                delivered.push(Instant::now());
                digest.add(&event)?;
            }
            Ok::<_, super::target::BoxError>((digest, delivered))
        });
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let waiting = resident()?;
    let mut drafts = Drafts::new(0, 1000, Ids::Ordered);
    let mut appends = Times::default();
    let mut tick = tokio::time::interval(pause);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for at in returned.iter() {
        tick.tick().await;
        if let Some(append) = append_of(drafts.append(1)) {
            let begin = Instant::now();
            store.append_events(TOPIC, append).await?;
            appends.add(begin.elapsed());
            at.set(Instant::now()).map_err(|_| "set twice")?;
        }
    }
    let mut times = Times::default();
    let mut digests = Vec::new();
    while let Some(follower) = followers.join_next().await {
        let (digest, delivered) = follower??;
        for (returned, delivered) in returned.iter().zip(delivered) {
            let returned = *returned.get().ok_or("not appended")?;
            times.add(delivered.saturating_duration_since(returned));
        }
        digests.push(digest);
    }
    if digests.windows(2).any(|pair| pair.first() != pair.last()) {
        return Err("subscribers were given different runs".into());
    }
    report(
        json!({
            "work": "live", "target": "annals", "adapter": format!("{adapter:?}"),
            "subscribers": subscribers, "elsewhere": elsewhere, "events": events,
            "pause_us": pause.as_micros() as u64, "resident_mib_before": before,
            "resident_mib_waiting": waiting, "resident_mib": resident()?,
            "append": appends.percentiles(),
        }),
        times.percentiles(),
    );
    follows.close().await?;
    Ok(store.close().await?)
}

/// A long history, read by a scan and by a subscription, in turn.
async fn catch_up((adapter, directory): (Adapter, &str), events: u64, runs: usize) -> Result<()> {
    let place = Place::of(adapter, directory);
    let annals = Annals::of(place.open().await?, TOPIC);
    let store = annals.store.clone();
    let target: Arc<dyn Target> = Arc::new(annals);
    let mut drafts = Drafts::new(0, 1000, Ids::Ordered);
    drive::fill(&target, &mut drafts, events, 1000).await?;
    let (mut scans, mut subscriptions) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let begin = Instant::now();
        target.scan().await?;
        scans.push(begin.elapsed().as_secs_f64());
        let begin = Instant::now();
        let mut live = store.subscribe(TOPIC, Subscribe::from_start()).await?;
        let mut bytes = 0;
        while live.position().get() < events {
            bytes += live.try_next().await?.ok_or("it ended")?.payload.len();
        }
        std::hint::black_box(bytes);
        subscriptions.push(begin.elapsed().as_secs_f64());
    }
    let median = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        events as f64 / times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let (scan, subscription) = (median(scans), median(subscriptions));
    report(
        json!({ "work": "catch up", "target": "annals", "adapter": format!("{adapter:?}"), "events": events }),
        json!({ "scan_events_per_s": scan, "events_per_s": subscription, "ratio": subscription / scan }),
    );
    target.close().await
}

/// Subscribers, fast and slow, that come anew now and then, while others append: each delivery is
/// checked against what is recorded.
async fn long((adapter, directory): (Adapter, &str), subscribers: u64, events: u64) -> Result<()> {
    let events = events - events % (WRITERS * BATCH);
    let place = Place::of(adapter, directory);
    let store = place.open().await?;
    let begin = Instant::now();
    let mut followers = JoinSet::new();
    for number in 0..subscribers {
        let store = store.clone();
        followers.spawn(follow(store, number, events));
    }
    let mut writers = JoinSet::new();
    for client in 0..usize::try_from(WRITERS)? {
        let store = store.clone();
        writers.spawn(write(store, client, events / WRITERS / BATCH));
    }
    while let Some(writer) = writers.join_next().await {
        writer??;
    }
    let mut digests = Vec::new();
    let mut began = 0;
    while let Some(follower) = followers.join_next().await {
        let (digest, anew) = follower??;
        began += anew;
        digests.push(digest);
    }
    let seconds = begin.elapsed().as_secs_f64();
    let mut recorded = Digest::default();
    let mut log = store.read_events(TOPIC, annals::Read::all());
    while let Some(event) = log.try_next().await? {
        recorded.add(&event)?;
    }
    if digests.iter().any(|digest| *digest != recorded) {
        return Err("a subscriber was not given what is recorded".into());
    }
    report(
        json!({ "work": "live long", "target": "annals", "adapter": format!("{adapter:?}"), "subscribers": subscribers }),
        json!({
            "events": recorded.last.get(), "deliveries": recorded.last.get() * subscribers,
            "subscriptions": began, "seconds": seconds,
            "deliveries_per_s": (recorded.last.get() * subscribers) as f64 / seconds,
        }),
    );
    Ok(store.close().await?)
}

/// Appends this many batches.
async fn write(store: EventStore, client: usize, appends: u64) -> Result<()> {
    let mut drafts = Drafts::new(client, 1000, Ids::Ordered);
    for _ in 0..appends {
        if let Some(append) = append_of(drafts.append(usize::try_from(BATCH)?)) {
            store.append_events(TOPIC, append).await?;
        }
    }
    Ok(())
}

/// Follows to the last event, and tells what it was given over how many subscriptions.
async fn follow(store: EventStore, number: u64, events: u64) -> Result<(Digest, u64)> {
    let mut digest = Digest::default();
    let mut anew = 0_u64;
    while digest.last.get() < events {
        let from = Subscribe::after(digest.last);
        let mut live = store.subscribe(TOPIC, from).await?;
        anew += 1;
        // Every other one stays, the others come anew; every third is slow.
        let stays = if number.is_multiple_of(2) {
            u64::MAX
        } else {
            1000 + 7919 * number
        };
        for count in 0..stays {
            if digest.last.get() == events {
                break;
            }
            digest.add(&live.next().await.ok_or("it ended")??)?;
            if number % 3 == 2 && count.is_multiple_of(5000) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
    Ok((digest, anew))
}
