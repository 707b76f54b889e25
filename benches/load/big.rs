//! What a topic of many events costs: to open, to read from, to append to.

use std::{
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use annals::{EventFilter, Read};
use clap::Args;
use serde_json::{Value, json};

use super::{
    annals::Annals,
    draft::{Drafts, Ids, stream_name, tag_name, type_name},
    drive::{self, Load, median},
    measure::{Times, report},
    target::{Result, Target},
};

/// How many events a stream has.
const STREAM: u64 = 100;

/// One event in a hundred by type and by tag, beside a scan of the same topic.
pub(crate) async fn select(path: &str, events: u64) -> Result<()> {
    let store = Arc::new(Annals::files(path, 1, &[]).await?);
    let target: Arc<dyn Target> = Arc::<Annals>::clone(&store);
    let mut drafts = Drafts::new(0, 1000, Ids::Ordered).with_tags();
    drive::fill(&target, &mut drafts, events, 1000).await?;
    drive::scan(&target, 5, json!({ "tags": 1 })).await?;
    for (by, filter) in [
        ("type", EventFilter::all().types([type_name(7)])),
        ("tag", EventFilter::all().tags([tag_name(7)])),
    ] {
        let mut seconds = Vec::new();
        let mut found = 0;
        for _ in 0..5 {
            let begin = Instant::now();
            found = store.count(Read::all().filter(filter.clone())).await?;
            seconds.push(begin.elapsed().as_secs_f64());
        }
        let seconds = median(&mut seconds);
        report(
            json!({ "work": "select", "target": "annals", "by": by, "events": events, "found": found }),
            json!({ "seconds": seconds, "scanned_per_s": events as f64 / seconds }),
        );
    }
    target.close().await
}

/// A topic of many events.
#[derive(Debug, Args)]
pub(crate) struct Big {
    #[arg(long, default_value_t = 10_000_000)]
    events: u64,
    /// How the ids of the events that are there were made
    #[arg(long, value_enum, default_value_t)]
    ids: Ids,
    /// Only the appends, to a topic that is kept here for builds to be compared, and filled if it
    /// is not there
    #[arg(long)]
    kept: Option<String>,
}

/// A topic of many events in streams of 100, beside an empty one.
pub(crate) async fn big(path: &str, work: &Big, time: Duration) -> Result<()> {
    let (events, ids) = (work.events, work.ids);
    if let Some(kept) = &work.kept {
        if !Path::new(kept).exists() {
            fill(kept, events, ids).await?;
        }
        return appends(kept, events, ids, time).await;
    }
    fill(path, events, ids).await?;
    for _ in 0..3 {
        again("open", path)?;
    }
    appends(path, events, ids, time).await?;
    streams(path, events).await?;
    // Without its index files, a topic is indexed anew.
    for file in walk(Path::new(path))? {
        if file.extension().is_some_and(|extension| extension == "idx") {
            std::fs::remove_file(file)?;
        }
    }
    again("open", path)
}

/// A topic with so many events.
async fn fill(path: &str, events: u64, ids: Ids) -> Result<()> {
    let store = Arc::new(Annals::files(path, 1, &[]).await?);
    let target: Arc<dyn Target> = Arc::<Annals>::clone(&store);
    // A stream is written in ten batches of ten, far from each other.
    let mut drafts = Drafts::new(0, events / STREAM, ids);
    let filled = drive::fill(&target, &mut drafts, events, 10).await?;
    target.close().await?;
    drop((target, store));
    let (log, index) = sizes(Path::new(path))?;
    report(
        json!({ "work": "fill", "target": "annals", "events": events, "batch": 10, "ids": format!("{ids:?}") }),
        json!({
            "events_per_s": events as f64 / filled.as_secs_f64(),
            "bytes_per_event": (log + index) as f64 / events as f64,
            "index_bytes_per_event": index as f64 / events as f64,
        }),
    );
    Ok(())
}

/// Single streams, warm and cold.
async fn streams(path: &str, events: u64) -> Result<()> {
    let store = Annals::files(path, 1, &[]).await?;
    for (state, runs) in [("warm", 2000), ("cold", 50)] {
        let mut times = Times::default();
        for run in 0..runs {
            let stream = stream_name(0, (run * 7919) % (events / STREAM));
            if state == "cold" {
                std::fs::write("/proc/sys/vm/drop_caches", "1")?;
            } else {
                store.stream(&stream).await?;
            }
            let begin = Instant::now();
            let found = store.stream(&stream).await?;
            times.add(begin.elapsed());
            assert_eq!(found, STREAM, "of {stream}");
        }
        report(
            json!({ "work": "stream", "target": "annals", "state": state, "events": events, "stream": STREAM }),
            times.percentiles(),
        );
    }
    store.close().await
}

/// Appends with any version to the big topic and to an empty one, in turns.
async fn appends(path: &str, events: u64, ids: Ids, time: Duration) -> Result<()> {
    let big: Arc<dyn Target> = Arc::new(Annals::files(path, 1, &[]).await?);
    for (turn, clients) in [(0, 16), (1, 256), (2, 16), (3, 256), (4, 16), (5, 256)] {
        let empty = tempfile::tempdir_in(Path::new(path).parent().unwrap_or(Path::new(".")))?;
        let small = empty
            .path()
            .to_str()
            .ok_or("the directory has no name in UTF-8")?;
        let small: Arc<dyn Target> = Arc::new(Annals::files(small, 1, &[]).await?);
        for (target, there) in [(&small, 0), (&big, events)] {
            let load = Load {
                ids,
                any: true,
                first_client: 1000 * (turn + 1),
                ..Load::of(clients, time)
            };
            let what = json!({ "sync": "always", "there": there, "ids": format!("{ids:?}") });
            drive::append(target, load, what).await?;
        }
        small.close().await?;
    }
    big.close().await
}

/// Opens a topic whose writer was killed.
pub(crate) async fn crash(path: &str, events: u64) -> Result<()> {
    let status = Command::new(std::env::current_exe()?)
        .args(["fill-and-leave", path, &events.to_string()])
        .status()?;
    assert!(!status.success(), "the store was not left behind");
    let bytes = sizes(Path::new(path))?.0;
    let begin = Instant::now();
    let store = Annals::files(path, 1, &[]).await?;
    let last = store.store.get_latest_version("orders-0").await?;
    let seconds = begin.elapsed().as_secs_f64();
    report(
        json!({ "work": "open", "target": "annals", "after": "crash", "events": last.get(), "bytes": bytes }),
        json!({ "seconds": seconds, "seconds_per_gib": seconds / (bytes as f64 / f64::from(1 << 30)) }),
    );
    store.close().await
}

/// Fills a store and is killed.
pub(crate) async fn fill_and_leave(path: &str, events: u64) -> Result<()> {
    let options = [("segment_bytes", "1073741824")];
    let store: Arc<dyn Target> = Arc::new(Annals::files(path, 1, &options).await?);
    let mut drafts = Drafts::new(0, 1000, Ids::Ordered);
    drive::fill(&store, &mut drafts, events, 1000).await?;
    std::process::abort();
}

/// Opens a store, reads and appends one event, and tells how long that took.
pub(crate) async fn open(path: &str) -> Result<()> {
    let before = resident()?;
    let begin = Instant::now();
    let store = Annals::files(path, 1, &[]).await?;
    let last = store.store.get_latest_version("orders-0").await?;
    let opened = begin.elapsed();
    let after = resident()?;
    let mut drafts = Drafts::new(9999, 1, Ids::Random);
    let mut events = drafts.append(1);
    if let Some(event) = events.first_mut() {
        event.stream = format!("opened-{}", event.id);
    }
    store.append(0, events).await?;
    let appended = begin.elapsed();
    report(
        json!({ "work": "open", "target": "annals", "after": "close", "events": last.get() }),
        json!({
            "seconds": opened.as_secs_f64(),
            "seconds_to_first_append": appended.as_secs_f64(),
            "resident_mib_before": before,
            "resident_mib": after,
            "resident_mib_after_append": resident()?,
        }),
    );
    store.close().await
}

/// Runs this program anew, so that what it measures has the process to itself.
fn again(work: &str, path: &str) -> Result<()> {
    let status = Command::new(std::env::current_exe()?)
        .args([work, path])
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err("the program did not end well".into())
    }
}

/// Resident memory in MiB.
pub(crate) fn resident() -> Result<Value> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = line
        .ok_or("no VmRSS")?
        .trim()
        .trim_end_matches(" kB")
        .parse()?;
    Ok(json!((kib / 1024.0).round()))
}

/// The bytes of the logs and of the index files.
fn sizes(directory: &Path) -> Result<(u64, u64)> {
    let mut sizes = (0, 0);
    for file in walk(directory)? {
        let bytes = std::fs::metadata(&file)?.len();
        if file.extension().is_some_and(|extension| extension == "idx") {
            sizes.1 += bytes;
        } else {
            sizes.0 += bytes;
        }
    }
    Ok(sizes)
}

fn walk(directory: &Path) -> Result<Vec<std::path::PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(walk(&path)?);
        } else {
            files.push(path);
        }
    }
    Ok(files)
}
