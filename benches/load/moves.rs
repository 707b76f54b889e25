//! Moves of topics under load: how fast they are beside what the two repositories do alone, and how
//! long an append waits.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use annals::{
    Append, ConfigurationStream, EventStore, EventStoreConfig, NewEvent, Read, TopicConfig,
};
use futures_util::TryStreamExt;
use serde_json::json;
use tokio::task::JoinSet;

use super::{
    annals::append_of,
    draft::{Drafts, Ids},
    drive::median,
    live::Adapter,
    measure::{Times, report},
    target::Result,
};

const BATCH: usize = 1000;
/// Those who append while the topic moves, each 1 ms after it was answered.
const WRITERS: usize = 4;

/// What is measured.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Moves {
    #[arg(long, value_enum)]
    from: Adapter,
    #[arg(long, value_enum)]
    to: Adapter,
    #[arg(long, default_value_t = 200_000)]
    events: u64,
    #[arg(long, default_value_t = 5)]
    runs: usize,
}

/// Where topics are: a new place for each name.
struct Places<'a> {
    directory: &'a str,
    #[cfg(feature = "postgres")]
    server: Option<super::servers::Postgres>,
}

impl Places<'_> {
    fn topic(&self, name: &str, adapter: Adapter, place: &str) -> TopicConfig {
        let connection = match adapter {
            Adapter::Memory => place.to_owned(),
            Adapter::File => format!("{}/{place}", self.directory),
            #[cfg(feature = "postgres")]
            Adapter::Postgres => self
                .server
                .as_ref()
                .map_or_else(String::new, super::servers::Postgres::fresh),
            #[cfg(feature = "blob")]
            Adapter::Blob => format!("file://{}/{place}", self.directory),
        };
        let adapter = match adapter {
            Adapter::Memory => "memory",
            Adapter::File => "file",
            #[cfg(feature = "postgres")]
            Adapter::Postgres => "postgres",
            #[cfg(feature = "blob")]
            Adapter::Blob => "blob",
        };
        TopicConfig::new(name, adapter, connection)
    }
}

pub(crate) async fn run(moves: Moves, directory: &str) -> Result<()> {
    #[cfg(feature = "postgres")]
    let uses_postgres = moves.from == Adapter::Postgres || moves.to == Adapter::Postgres;
    let places = Places {
        directory,
        #[cfg(feature = "postgres")]
        server: uses_postgres.then(|| super::servers::Postgres::start(&[])),
    };
    let config = EventStoreConfig::new(ConfigurationStream::memory());
    let store = EventStore::open(config).await?;
    let (mut scans, mut appends, mut rates, mut pauses) =
        (Vec::new(), Vec::new(), Vec::new(), Times::default());
    let mut longest = Duration::ZERO;
    for run in 0..moves.runs {
        let rate = |began: Instant| moves.events as f64 / began.elapsed().as_secs_f64();
        let (from, to) = (format!("from-{run}"), format!("to-{run}"));
        // What the target takes in batches, in a topic of its own.
        let alone = format!("alone-{run}");
        let config = places.topic(&alone, moves.to, &alone);
        store.create_topic(config).await?;
        let began = Instant::now();
        fill(&store, &alone, moves.events).await?;
        appends.push(rate(began));
        store.delete_topic(&alone).await?;
        store.purge_topic(&alone).await?;

        let config = places.topic("moved", moves.from, &from);
        store.create_topic(config).await?;
        fill(&store, "moved", moves.events).await?;
        let began = Instant::now();
        let mut log = store.read_events("moved", Read::all());
        while log.try_next().await?.is_some() {}
        scans.push(rate(began));

        let stop = Arc::new(AtomicBool::new(false));
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            writers.spawn(write(store.clone(), writer, Arc::clone(&stop)));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        let began = Instant::now();
        let config = places.topic("moved", moves.to, &to);
        store.update_topic(config).await?;
        rates.push(rate(began));
        stop.store(true, Ordering::Relaxed);
        while let Some(writer) = writers.join_next().await {
            let (times, most) = writer??;
            pauses.merge(times);
            longest = longest.max(most);
        }
        store.delete_topic("moved").await?;
        store.purge_topic("moved").await?;
    }
    let (scan, append, rate) = (median(&mut scans), median(&mut appends), median(&mut rates));
    report(
        json!({
            "work": "move", "from": format!("{:?}", moves.from), "to": format!("{:?}", moves.to),
            "events": moves.events, "runs": moves.runs, "writers": WRITERS,
        }),
        json!({
            "scan_events_per_s": scan, "append_events_per_s": append, "move_events_per_s": rate,
            "ratio": rate / scan.min(append), "longest_append_ms": longest.as_secs_f64() * 1e3,
            "appends": pauses.percentiles(),
        }),
    );
    Ok(store.close().await?)
}

async fn fill(store: &EventStore, topic: &str, events: u64) -> Result<()> {
    let mut drafts = Drafts::new(0, 1000, Ids::Ordered);
    for _ in 0..events / BATCH as u64 {
        if let Some(append) = append_of(drafts.append(BATCH)) {
            store.append_events(topic, append).await?;
        }
    }
    Ok(())
}

/// Appends until it is stopped, and tells how long each took, and the longest.
async fn write(
    store: EventStore,
    writer: usize,
    stop: Arc<AtomicBool>,
) -> Result<(Times, Duration)> {
    let (mut times, mut longest) = (Times::default(), Duration::ZERO);
    while !stop.load(Ordering::Relaxed) {
        let append = Append::new([NewEvent::json("Written", &writer)?]).stream("beside");
        let began = Instant::now();
        store.append_events("moved", append).await?;
        let time = began.elapsed();
        times.add(time);
        longest = longest.max(time);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok((times, longest))
}
