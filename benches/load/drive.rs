//! Puts load on a target: clients that append one after the other, bulk loads, and reads.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    draft::{Drafts, Ids},
    measure::{Times, report},
    target::{Result, Target},
};

/// How the load of appends looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) clients: usize,
    /// Events of one append.
    pub(crate) batch: usize,
    pub(crate) topics: usize,
    pub(crate) ids: Ids,
    /// How many streams each client has.
    pub(crate) streams: u64,
    /// Whether appends take any version.
    pub(crate) any: bool,
    pub(crate) time: Duration,
    /// Tells this run's clients, and so their streams, from those of others.
    pub(crate) first_client: usize,
}

impl Load {
    /// Single events for a time.
    pub(crate) const fn of(clients: usize, time: Duration) -> Self {
        Self {
            clients,
            batch: 1,
            topics: 1,
            ids: Ids::Ordered,
            streams: 100,
            any: false,
            time,
            first_client: 0,
        }
    }
}

/// Lets clients append for as long as the load says, after a tenth of that to warm up, and reports
/// events per second and how long an append took.
pub(crate) async fn append(target: &Arc<dyn Target>, load: Load, what: Value) -> Result<()> {
    let begin = Instant::now();
    let measured = begin + load.time / 10;
    let end = measured + load.time;
    let mut clients = Vec::new();
    for client in 0..load.clients {
        let target = Arc::clone(target);
        clients.push(tokio::spawn(async move {
            let mut drafts = Drafts::new(load.first_client + client, load.streams, load.ids);
            if load.any {
                drafts = drafts.at_any_version();
            }
            let mut times = Times::default();
            loop {
                let events = drafts.append(load.batch);
                let before = Instant::now();
                if before >= end {
                    return Result::Ok(times);
                }
                target.append(client % load.topics, events).await?;
                if before >= measured {
                    times.add(before.elapsed());
                }
            }
        }));
    }
    let mut times = Times::default();
    for client in clients {
        times.merge(client.await??);
    }
    let events = times.len() * load.batch;
    let rate = events as f64 / (Instant::now() - measured).as_secs_f64();
    let mut figures = times.percentiles();
    figures["events_per_s"] = json!(rate);
    figures["events"] = json!(events);
    let mut line = json!({
        "work": "append",
        "target": target.name(),
        "clients": load.clients,
        "batch": load.batch,
        "topics": load.topics,
    });
    merge(&mut line, what);
    report(line, figures);
    Ok(())
}

/// Appends `events` events in batches of 1,000, each batch of one stream, and tells how long it took.
pub(crate) async fn fill(
    target: &Arc<dyn Target>,
    drafts: &mut Drafts,
    events: u64,
    batch: usize,
) -> Result<Duration> {
    let begin = Instant::now();
    // A few at once, so that the next is made while one is written.
    let mut appends = tokio::task::JoinSet::new();
    for _ in 0..events / batch as u64 {
        let (target, events) = (Arc::clone(target), drafts.append(batch));
        if appends.len() >= 64
            && let Some(done) = appends.join_next().await
        {
            done??;
        }
        appends.spawn(async move { target.append(0, events).await });
    }
    while let Some(done) = appends.join_next().await {
        done??;
    }
    Ok(begin.elapsed())
}

/// Reads everything several times and reports the median rate.
pub(crate) async fn scan(target: &Arc<dyn Target>, runs: usize, what: Value) -> Result<()> {
    let mut rates = Vec::new();
    let mut events = 0;
    for _ in 0..runs {
        let begin = Instant::now();
        events = target.scan().await?;
        rates.push(events as f64 / begin.elapsed().as_secs_f64());
    }
    let mut line = json!({ "work": "scan", "target": target.name(), "events": events });
    merge(&mut line, what);
    report(line, json!({ "events_per_s": median(&mut rates) }));
    Ok(())
}

/// Adds the fields of one object to another.
pub(crate) fn merge(line: &mut Value, more: Value) {
    if let (Value::Object(line), Value::Object(more)) = (line, more) {
        line.extend(more);
    }
}

/// The middle one.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
