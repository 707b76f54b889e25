//! Puts load on Annals, and prints a line of JSON for each figure.
//!
//! `cargo bench --bench load -- --help` tells what it can do; `scripts/bench` runs all of it beside
//! other stores, and `docs/performance.md` holds what came out.

mod annals;
mod big;
#[cfg(feature = "blob")]
mod blob;
mod draft;
mod drive;
mod live;
mod measure;
mod moves;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "postgres")]
mod postgres_share;
mod raw;
#[cfg(feature = "postgres")]
#[path = "../../tests/servers/mod.rs"]
mod servers;
#[cfg(feature = "blob")]
#[path = "../../tests/stores/mod.rs"]
mod stores;
mod target;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::{Parser, Subcommand};
use serde_json::json;

use self::{
    annals::Annals,
    draft::{Drafts, Ids},
    drive::Load,
    target::{Result, Target},
};

/// Puts load on Annals. Each figure is printed as a line of JSON.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where files are made, in a directory that is removed afterwards
    #[arg(long, default_value = "target")]
    directory: PathBuf,
    /// How long each load lasts, in seconds
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    #[command(subcommand)]
    work: Work,
    /// Given by `cargo bench`, and ignored
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Work {
    /// The least that a durable append of one event can cost: one write and one sync
    Raw {
        /// Bytes of a write
        #[arg(long, default_value_t = 384)]
        bytes: usize,
    },
    /// Clients that append to topics in files
    Append {
        #[arg(long, default_value_t = 1)]
        clients: usize,
        /// Events of an append
        #[arg(long, default_value_t = 1)]
        batch: usize,
        #[arg(long, default_value_t = 1)]
        topics: usize,
        #[arg(long, value_enum, default_value_t)]
        ids: Ids,
        #[arg(long, default_value = "always")]
        sync: String,
    },
    /// One client that appends to a topic in memory
    Memory {
        #[arg(long, default_value_t = 500_000)]
        events: u64,
    },
    /// A full scan of a topic in files
    Scan {
        #[arg(long, default_value_t = 1_000_000)]
        events: u64,
        /// How often; the median is reported
        #[arg(long, default_value_t = 5)]
        runs: usize,
    },
    /// One event in a hundred, by type and by tag, beside the scan
    Select {
        #[arg(long, default_value_t = 1_000_000)]
        events: u64,
    },
    /// A topic of many events: open, memory, single streams, appends beside an empty topic
    Big(big::Big),
    /// Opening a topic after a crash, one large segment in which nothing is sealed
    Crash {
        #[arg(long, default_value_t = 2_000_000)]
        events: u64,
    },
    /// Clients that append to topics in PostgreSQL, beside pgbench and COPY on the same server
    #[cfg(feature = "postgres")]
    Postgres,
    /// A topic of many events in PostgreSQL: scan, streams, conditions, size
    #[cfg(feature = "postgres")]
    PostgresBig {
        #[arg(long, default_value_t = 1_000_000)]
        events: u64,
    },
    /// Processes that append to one topic in PostgreSQL, beside the same with a transaction for each append
    #[cfg(feature = "postgres")]
    PostgresShare {
        #[arg(long, default_value_t = 4)]
        processes: usize,
        #[arg(long, default_value_t = 16)]
        clients: usize,
        #[arg(long, default_value_t = 3)]
        rounds: usize,
    },
    /// One of these processes; for `postgres-share`
    #[cfg(feature = "postgres")]
    #[command(hide = true)]
    PostgresClients {
        url: String,
        first: usize,
        clients: usize,
        stores: usize,
    },
    /// Clients that append to topics in an object store, a local directory, beside its conditional puts
    #[cfg(feature = "blob")]
    Blob,
    /// Stores that append to one topic in an object store with the latencies of a network
    #[cfg(feature = "blob")]
    BlobShare {
        #[arg(long, default_value_t = 2)]
        stores: usize,
    },
    /// A topic of many events in an object store: requests to open and to read, memory, scan
    #[cfg(feature = "blob")]
    BlobBig {
        #[arg(long, default_value_t = 1_000_000)]
        events: u64,
    },
    /// Subscriptions
    #[command(subcommand)]
    Live(live::Work),
    /// Topics that move while they are written to
    Move(moves::Moves),
    /// Opens a store and tells how long that took and how much memory it has; for `big`
    #[command(hide = true)]
    Open { path: String },
    /// Fills a store and leaves without closing it; for `crash`
    #[command(hide = true)]
    FillAndLeave { path: String, events: u64 },
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let time = Duration::from_secs_f64(arguments.seconds);
    let directory = tempfile::Builder::new()
        .prefix("annals-load-")
        .tempdir_in(&arguments.directory)?;
    let path = directory
        .path()
        .to_str()
        .ok_or("the directory has no name in UTF-8")?;
    match arguments.work {
        Work::Raw { bytes } => raw::write_and_sync(directory.path(), bytes, time),
        Work::Append {
            clients,
            batch,
            topics,
            ids,
            sync,
        } => {
            let store = Annals::files(path, topics, &[("sync", &sync)]).await?;
            let store: Arc<dyn Target> = Arc::new(store);
            let load = Load {
                batch,
                topics,
                ids,
                ..Load::of(clients, time)
            };
            drive::append(
                &store,
                load,
                json!({ "sync": sync, "ids": format!("{ids:?}") }),
            )
            .await?;
            store.close().await
        }
        Work::Memory { events } => memory(events).await,
        Work::Scan { events, runs } => scan(path, events, runs).await,
        Work::Select { events } => big::select(path, events).await,
        Work::Big(work) => big::big(path, &work, time).await,
        Work::Crash { events } => big::crash(path, events).await,
        #[cfg(feature = "postgres")]
        Work::Postgres => postgres::append(time).await,
        #[cfg(feature = "postgres")]
        Work::PostgresBig { events } => postgres::big(events, time).await,
        #[cfg(feature = "postgres")]
        Work::PostgresShare {
            processes,
            clients,
            rounds,
        } => postgres_share::share(processes, clients, rounds, time).await,
        #[cfg(feature = "postgres")]
        Work::PostgresClients {
            url,
            first,
            clients,
            stores,
        } => postgres_share::clients(&url, first, clients, stores, time).await,
        #[cfg(feature = "blob")]
        Work::Blob => blob::append(path, time).await,
        #[cfg(feature = "blob")]
        Work::BlobShare { stores } => blob::share(stores, time).await,
        #[cfg(feature = "blob")]
        Work::BlobBig { events } => blob::big(path, events).await,
        Work::Live(work) => live::run(work, path).await,
        Work::Move(moves) => moves::run(moves, path).await,
        Work::Open { path } => big::open(&path).await,
        Work::FillAndLeave { path, events } => big::fill_and_leave(&path, events).await,
    }
}

async fn scan(path: &str, events: u64, runs: usize) -> Result<()> {
    let store: Arc<dyn Target> = Arc::new(Annals::files(path, 1, &[]).await?);
    let mut drafts = Drafts::new(0, 1000, Ids::Ordered);
    drive::fill(&store, &mut drafts, events, 1000).await?;
    drive::scan(&store, runs, json!({})).await?;
    store.close().await
}

/// One client that appends single events, which were made before, to a topic in memory.
async fn memory(events: u64) -> Result<()> {
    let store = Annals::memory().await?;
    let mut drafts = Drafts::new(0, 1000, Ids::Ordered);
    let appends: Vec<_> = (0..events)
        .filter_map(|_| annals::append_of(drafts.append(1)))
        .collect();
    let begin = Instant::now();
    for append in appends {
        store.store.append_events("orders-0", append).await?;
    }
    let rate = events as f64 / begin.elapsed().as_secs_f64();
    let what = json!({ "work": "append", "target": "annals", "adapter": "memory", "clients": 1, "batch": 1 });
    measure::report(what, json!({ "events_per_s": rate, "events": events }));
    Ok(())
}
