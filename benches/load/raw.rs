//! The least that a durable append can cost: one write of the same bytes, and one sync.

use std::{
    fs::OpenOptions,
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    measure::{Times, report},
    target::Result,
};

/// Writes `bytes` and syncs the data, one after the other, to the end of a new file.
pub(crate) fn write_and_sync(directory: &Path, bytes: usize, time: Duration) -> Result<()> {
    let path = directory.join("raw");
    let mut file = OpenOptions::new()
        .create_new(true)
        .append(true)
        .open(&path)?;
    let content = vec![b'x'; bytes];
    let mut times = Times::default();
    let begin = Instant::now();
    while begin.elapsed() < time {
        let before = Instant::now();
        file.write_all(&content)?;
        file.sync_data()?;
        times.add(before.elapsed());
    }
    let rate = times.len() as f64 / begin.elapsed().as_secs_f64();
    let what = json!({ "work": "append", "target": "raw", "clients": 1, "batch": 1, "bytes": bytes, "sync": "always" });
    report(what.clone(), json!({ "events_per_s": rate }));
    report(what, times.percentiles());
    std::fs::remove_file(path)?;
    Ok(())
}
