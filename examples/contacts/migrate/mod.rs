//! Moves an existing PostgreSQL table of events into a topic: in order, with ids and times as they are.
//! It can be killed and started again, and follows what is written meanwhile until the cut-over.
//!
//! How far it has come is told by the topic itself: each event has its row in a tag (`row:17`), and is
//! recorded together with it.

mod copy;
mod source;
mod verify;

use std::time::Duration;

use annals::{EventStore, TopicConfig};
use clap::Args;

use self::source::Source;
pub(crate) use self::verify::Report;
use super::{Result, ledger::create};

/// How long it waits before it looks for new rows.
const PAUSE: Duration = Duration::from_millis(200);

/// Which table, and where its events go.
#[derive(Clone, Debug, Args)]
pub(crate) struct Migrate {
    /// The URL of the database.
    #[arg(long)]
    pub(crate) from: String,
    /// The table: NAME or SCHEMA.NAME.
    #[arg(long, default_value = "events")]
    pub(crate) table: String,
    /// Columns that are not called as they usually are, as MEANING=NAME; `-` as the name for none. Meanings:
    /// id (the global order), stream, version, type, payload, metadata, time, event-id.
    #[arg(long = "column", value_name = "MEANING=NAME")]
    pub(crate) columns: Vec<String>,
    /// The topic into which they go, and nobody else writes meanwhile.
    #[arg(long)]
    pub(crate) topic: String,
    /// The kind of repository.
    #[arg(long, default_value = "file")]
    pub(crate) adapter: String,
    /// Which place of that kind.
    #[arg(long, default_value = "")]
    pub(crate) connection: String,
    /// Goes on with what is written meanwhile, until it is interrupted: then comes the cut-over.
    #[arg(long)]
    pub(crate) follow: bool,
    /// Copies the rest and verifies all of it while nobody can write to the table.
    #[arg(long)]
    pub(crate) cut_over: bool,
    /// How many rows are copied together.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=5000))]
    pub(crate) batch: u16,
}

/// Copies and verifies; one that follows goes on until `end`.
pub(crate) async fn run(migrate: &Migrate, end: impl Future<Output = ()>) -> Result<Report> {
    let store = super::ledger::open(&migrate.adapter, &migrate.connection).await?;
    let config = TopicConfig::new(&migrate.topic, &migrate.adapter, &migrate.connection);
    create(&store, config).await?;
    let report = run_in(&store, migrate, end).await;
    store.close().await?;
    report
}

pub(crate) async fn run_in(
    store: &EventStore,
    migrate: &Migrate,
    end: impl Future<Output = ()>,
) -> Result<Report> {
    let mut source = Source::open(migrate).await?;
    let mut copy = copy::Copy::resume(store, migrate).await?;
    let mut end = std::pin::pin!(end);
    loop {
        let horizon = source.settled().await?;
        copy.up_to(&mut source, horizon).await?;
        if !migrate.follow {
            break;
        }
        tokio::select! {
            () = &mut end => break,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
    if migrate.follow || migrate.cut_over {
        source.lock().await?;
        let last = source.last_row().await?;
        copy.up_to(&mut source, last).await?;
    }
    let report = verify::verify(store, migrate, &mut source, &copy).await;
    source.unlock().await?;
    report
}
