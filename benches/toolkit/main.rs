//! Measures what is built on the store: commands, aggregates, projections, sagas.
//!
//! `cargo bench --bench toolkit -- --help` tells what it can do; `docs/performance.md` holds what came
//! out. Each figure is a line of JSON.

mod account;
mod commands;
#[path = "../load/measure.rs"]
mod measure;
mod projections;
#[path = "../load/raw.rs"]
mod raw;

use std::{path::PathBuf, time::Duration};

use clap::{Parser, Subcommand};

mod target {
    pub(crate) type Result<T, E = Box<dyn std::error::Error + Send + Sync>> =
        std::result::Result<T, E>;
}
use target::Result;

/// Measures what is built on the store. Each figure is printed as a line of JSON.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where files are made, in a directory that is removed afterwards
    #[arg(long, default_value = "target")]
    directory: PathBuf,
    /// How long each load lasts, in seconds
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    #[command(subcommand)]
    work: Work,
    /// Given by `cargo bench`, and ignored
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Work {
    /// Clients that carry out commands on accounts in files, beside one write and sync
    Commands(commands::Commands),
    /// One account of some events that is loaded again and again, from files
    Load {
        #[arg(long, default_value_t = 100)]
        events: u64,
        /// A snapshot as soon as this many events follow the one before; 0 for none
        #[arg(long, default_value_t = 0)]
        snapshots: u64,
    },
    /// A topic that is replayed into a read model in memory, beside a plain read of it
    Replay {
        #[arg(long, default_value_t = 1_000_000)]
        events: u64,
        /// The URL of an empty PostgreSQL database; files, where there is none
        #[arg(long)]
        postgres: Option<String>,
        #[arg(long, default_value_t = 3)]
        runs: usize,
    },
    /// A topic in files that is handed to a projection with checkpoints
    Handle {
        #[arg(long, default_value_t = 1_000_000)]
        events: u64,
        /// Events between two checkpoints
        #[arg(long, default_value_t = 1000)]
        every: usize,
        #[arg(long, default_value_t = 3)]
        runs: usize,
    },
    /// Commands at a rate, and how long after its answer each is in a read model
    Lag {
        /// Commands in a second
        #[arg(long, default_value_t = 1000)]
        rate: u64,
    },
    /// Reads of a read model in memory while commands change it
    Reads,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let time = Duration::from_secs_f64(arguments.seconds);
    let directory = tempfile::Builder::new()
        .prefix("annals-toolkit-")
        .tempdir_in(&arguments.directory)?;
    match arguments.work {
        Work::Commands(work) => commands::run(work, directory.path(), time).await,
        Work::Load { events, snapshots } => {
            commands::load(directory.path(), events, snapshots, time).await
        }
        Work::Replay {
            events,
            postgres,
            runs,
        } => projections::replay(directory.path(), postgres, events, runs).await,
        Work::Handle {
            events,
            every,
            runs,
        } => projections::handle(directory.path(), events, every, runs).await,
        Work::Lag { rate } => projections::lag(directory.path(), rate, time).await,
        Work::Reads => projections::reads(directory.path(), time).await,
    }
}
