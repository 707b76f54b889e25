//! Puts the same load on Annals, on SQLite and on UmaDB, one after the other in each round, and
//! prints a line of JSON for each figure; `report` makes tables and plots of such lines.

#[path = "../../load/annals.rs"]
#[allow(dead_code, reason = "what only the load program uses")]
mod annals;
#[path = "../../load/draft.rs"]
#[allow(dead_code, reason = "what only the load program uses")]
mod draft;
#[path = "../../load/drive.rs"]
mod drive;
#[path = "../../load/measure.rs"]
mod measure;
#[path = "../../load/raw.rs"]
mod raw;
#[path = "../../load/target.rs"]
#[allow(dead_code, reason = "what only the load program uses")]
mod target;

mod report;
mod sqlite;
mod umadb;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::{Parser, Subcommand};
use serde_json::json;

use self::{
    draft::{Drafts, Ids},
    drive::Load,
    target::{Result, Target},
};

/// Puts the same load on Annals and on other stores.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    work: Work,
}

#[derive(Debug, Subcommand)]
enum Work {
    /// Appends with a sync each, and scans, in rounds in which each store has its turn
    Run {
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// How long each load lasts, in seconds
        #[arg(long, default_value_t = 2.0)]
        seconds: f64,
        /// Where files are made, in a directory that is removed afterwards
        #[arg(long, default_value = "target")]
        directory: PathBuf,
        /// How many events are scanned
        #[arg(long, default_value_t = 1_000_000)]
        events: u64,
    },
    /// Makes tables (on standard output) and plots (in a directory) of lines of JSON
    Report {
        /// The lines that `run` and `load` have printed
        lines: Vec<PathBuf>,
        #[arg(long)]
        plots: PathBuf,
    },
}

const STORES: [&str; 3] = ["annals", "sqlite", "umadb"];
const LOADS: [(usize, usize); 6] = [(1, 1), (4, 1), (16, 1), (64, 1), (256, 1), (1, 1000)];

#[tokio::main]
async fn main() -> Result<()> {
    match Arguments::parse().work {
        Work::Report { lines, plots } => report::report(&lines, &plots),
        Work::Run {
            rounds,
            seconds,
            directory,
            events,
        } => {
            let time = Duration::from_secs_f64(seconds);
            for round in 0..rounds {
                appends(&directory, time, round).await?;
                scans(&directory, events, round).await?;
            }
            Ok(())
        }
    }
}

async fn open(store: &str, directory: &Path) -> Result<Arc<dyn Target>> {
    let path = directory
        .to_str()
        .ok_or("the directory has no name in UTF-8")?;
    Ok(match store {
        "annals" => Arc::new(annals::Annals::files(path, 1, &[]).await?),
        "sqlite" => Arc::new(sqlite::Sqlite::open(directory)?),
        _ => Arc::new(umadb::Uma::open(directory)?),
    })
}

fn fresh(directory: &Path) -> Result<tempfile::TempDir> {
    Ok(tempfile::Builder::new()
        .prefix("peers-")
        .tempdir_in(directory)?)
}

async fn appends(directory: &Path, time: Duration, round: usize) -> Result<()> {
    for (clients, batch) in LOADS {
        let raw = fresh(directory)?;
        raw::write_and_sync(raw.path(), 340 * batch, time / 2)?;
        // Who goes first changes from round to round.
        for nth in 0..STORES.len() {
            let Some(store) = STORES.get((nth + round) % STORES.len()) else {
                continue;
            };
            let home = fresh(directory)?;
            let target = open(store, home.path()).await?;
            let load = Load {
                batch,
                ..Load::of(clients, time)
            };
            drive::append(&target, load, json!({ "sync": "always", "round": round })).await?;
            target.close().await?;
        }
    }
    Ok(())
}

async fn scans(directory: &Path, events: u64, round: usize) -> Result<()> {
    for store in STORES {
        let home = fresh(directory)?;
        let target = open(store, home.path()).await?;
        let mut drafts = Drafts::new(0, 1000, Ids::Ordered);
        drive::fill(&target, &mut drafts, events, 1000).await?;
        drive::scan(&target, 3, json!({ "round": round })).await?;
        target.close().await?;
        let line = json!({ "work": "disk", "target": store, "events": events, "round": round });
        let bytes = report::bytes_of(home.path())?;
        measure::report(
            line,
            json!({ "bytes_per_event": bytes as f64 / events as f64 }),
        );
    }
    Ok(())
}
