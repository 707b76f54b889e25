//! Projections: how fast they replay, how far they are behind, how fast they are read.

use std::{
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use annals::{
    Append, EventStore, NewEvent, RecordedEvent,
    cqrs::{Aggregates, Live, LiveModel, Metadata, Project, Projection, ReadModel, Schema},
};
use serde_json::json;
use tokio::time::MissedTickBehavior;

use super::{
    account::{Account, AccountCommand, AccountEvent, files},
    measure::{Times, report},
    target::Result,
};

/// Events of an append while a topic is filled.
const BATCH: u64 = 1000;

/// The balance of all accounts together.
#[derive(Debug, Default)]
struct Total {
    cents: u64,
    events: u64,
}

impl ReadModel for Total {
    type Event = AccountEvent;

    fn apply(&mut self, event: AccountEvent, _: &RecordedEvent) {
        self.events += 1;
        match event {
            AccountEvent::Deposited { cents, .. } => self.cents += cents,
            AccountEvent::Withdrawn { cents, .. } => self.cents -= cents,
        }
    }
}

/// Fills the topic with deposits to a thousand accounts.
async fn fill(store: &EventStore, events: u64) -> Result<()> {
    let schema = Schema::<AccountEvent>::new();
    for begin in (0..events).step_by(BATCH as usize) {
        let new = (begin..events.min(begin + BATCH)).map(|number| {
            let deposited = AccountEvent::Deposited {
                cents: number % 100,
                by: format!("eve {number}"),
                note: "at the counter, in the morning".to_owned(),
            };
            let new = schema.encode(&deposited, &Metadata::new())?;
            Ok(new.stream(format!("account-{}", number % 1000)))
        });
        let new: annals::Result<Vec<NewEvent>> = new.collect();
        store.append_events("accounts", Append::new(new?)).await?;
    }
    Ok(())
}

/// A topic that is replayed into a read model in memory, beside a plain read of it.
pub(crate) async fn replay(
    directory: &Path,
    postgres: Option<String>,
    events: u64,
    runs: usize,
) -> Result<()> {
    let store = match &postgres {
        None => files(directory).await?,
        Some(url) => super::account::postgres(url).await?,
    };
    fill(&store, events).await?;
    for _ in 0..runs {
        let begin = Instant::now();
        let mut read = store.read_events("accounts", annals::Read::all());
        let mut count = 0;
        while let Some(event) = futures_util::TryStreamExt::try_next(&mut read).await? {
            count += u64::from(!event.payload.is_empty());
        }
        let scan = count as f64 / begin.elapsed().as_secs_f64();
        let begin = Instant::now();
        let total = LiveModel::<Total>::open(&store, Live::topics(["accounts"])).await?;
        total.caught_up().await?;
        let rate = events as f64 / begin.elapsed().as_secs_f64();
        assert_eq!(total.read(|total| total.events), events);
        let adapter = if postgres.is_some() {
            "postgres"
        } else {
            "file"
        };
        report(
            json!({ "work": "replay", "adapter": adapter, "events": events }),
            json!({ "events_per_s": rate, "scan_events_per_s": scan }),
        );
        total.close().await;
    }
    store.close().await?;
    Ok(())
}

/// Counts what it is given.
struct Counted(Arc<AtomicU64>);

impl Projection for Counted {
    type Event = AccountEvent;
    type Error = std::io::Error;

    async fn handle(&mut self, _: AccountEvent, _: &RecordedEvent) -> std::io::Result<()> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// A topic that is handed to a projection with checkpoints.
pub(crate) async fn handle(directory: &Path, events: u64, every: usize, runs: usize) -> Result<()> {
    let store = files(directory).await?;
    fill(&store, events).await?;
    for run in 0..runs {
        let handled = Arc::new(AtomicU64::new(0));
        let counting = Arc::clone(&handled);
        let begin = Instant::now();
        let running = Project::named(format!("counted-{run}"))
            .topics(["accounts"])
            .commit_every(every, Duration::from_secs(1))
            .start(&store, move |_| Counted(Arc::clone(&counting)))
            .await?;
        running.caught_up().await?;
        let rate = events as f64 / begin.elapsed().as_secs_f64();
        assert_eq!(handled.load(Ordering::Relaxed), events);
        report(
            json!({ "work": "handle", "adapter": "file", "events": events, "checkpoint_every": every }),
            json!({ "events_per_s": rate }),
        );
        running.stop().await;
    }
    store.close().await?;
    Ok(())
}

/// When each command was answered, by the number in its event.
static ANSWERED: OnceLock<Vec<AtomicU64>> = OnceLock::new();
static BEGIN: OnceLock<Instant> = OnceLock::new();

fn now() -> u64 {
    BEGIN.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// Notes when it is given each event.
#[derive(Debug, Default)]
struct Seen(Vec<(u64, u64)>);

impl ReadModel for Seen {
    type Event = AccountEvent;

    fn apply(&mut self, event: AccountEvent, _: &RecordedEvent) {
        if let AccountEvent::Deposited { cents, .. } = event {
            self.0.push((cents, now()));
        }
    }
}

/// Commands at a rate, and how long after its answer each is in a read model.
pub(crate) async fn lag(directory: &Path, rate: u64, time: Duration) -> Result<()> {
    let store = files(directory).await?;
    let seen = LiveModel::<Seen>::open(&store, Live::topics(["accounts"])).await?;
    let accounts = Aggregates::<Account>::new(&store, "accounts").attempts(100);
    let count = (rate as f64 * time.as_secs_f64()) as u64;
    let answered = ANSWERED.get_or_init(|| (0..count).map(|_| AtomicU64::new(0)).collect());
    let mut ticks = tokio::time::interval(Duration::from_nanos(1_000_000_000 / rate));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut commands = tokio::task::JoinSet::new();
    let begin = Instant::now();
    for number in 0..count {
        ticks.tick().await;
        let accounts = accounts.clone();
        commands.spawn(async move {
            let by = "eve at the counter".to_owned();
            let command = AccountCommand::Deposit { cents: number, by };
            let id = (number % 1000).to_string();
            let done = accounts.execute(&id, command).await;
            if let Some(place) = answered.get(number as usize) {
                place.store(now(), Ordering::Relaxed);
            }
            done.map(drop)
        });
    }
    while let Some(done) = commands.join_next().await {
        done??;
    }
    let reached = count as f64 / begin.elapsed().as_secs_f64();
    seen.caught_up().await?;
    let mut times = Times::default();
    let all = seen.read(|seen| {
        for (number, at) in &seen.0 {
            if let Some(answered) = answered.get(*number as usize) {
                let answered = answered.load(Ordering::Relaxed);
                times.add(Duration::from_nanos(at.saturating_sub(answered)));
            }
        }
        seen.0.len() as u64
    });
    assert_eq!(all, count);
    let what = json!({ "work": "lag", "adapter": "file", "commands_per_s": reached });
    report(what, times.percentiles());
    store.close().await?;
    Ok(())
}

/// Reads of a read model while commands change it.
pub(crate) async fn reads(directory: &Path, time: Duration) -> Result<()> {
    let store = files(directory).await?;
    let total = LiveModel::<Total>::open(&store, Live::topics(["accounts"])).await?;
    let accounts = Aggregates::<Account>::new(&store, "accounts");
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let stop = Arc::clone(&stop);
        async move {
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                let by = "eve at the counter".to_owned();
                let command = AccountCommand::Deposit { cents: 1, by };
                accounts
                    .execute(&(count % 1000).to_string(), command)
                    .await?;
                count += 1;
            }
            Ok::<u64, annals::cqrs::CommandError<super::account::Missing>>(count)
        }
    });
    let (reader, model) = (Arc::clone(&stop), total.clone());
    let reader = tokio::task::spawn_blocking(move || {
        let mut reads = 0_u64;
        let mut seen = 0;
        while !reader.load(Ordering::Relaxed) {
            seen = model.read(|total| total.cents).max(seen);
            reads += 1;
        }
        reads
    });
    let begin = Instant::now();
    tokio::time::sleep(time).await;
    stop.store(true, Ordering::Relaxed);
    let reads = reader.await? as f64 / begin.elapsed().as_secs_f64();
    let written = writer.await?? as f64 / begin.elapsed().as_secs_f64();
    report(
        json!({ "work": "reads", "readers": 1 }),
        json!({ "reads_per_s": reads, "commands_per_s": written }),
    );
    store.close().await?;
    Ok(())
}
