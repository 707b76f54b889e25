//! Commands: load, decide, append durably.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use annals::cqrs::{Aggregates, Snapshots};
use serde_json::json;
use tokio::task::JoinSet;

use super::{
    account::{Account, AccountCommand, files},
    measure::{Times, report},
    raw,
    target::Result,
};

/// What is measured.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Commands {
    #[arg(long, default_value_t = 64)]
    clients: u64,
    /// How many accounts the clients share
    #[arg(long, default_value_t = 1000)]
    accounts: u64,
    /// How many accounts are kept in memory; 0 for none
    #[arg(long, default_value_t = 0)]
    cache: usize,
    /// A snapshot as soon as this many events follow the one before; 0 for none
    #[arg(long, default_value_t = 0)]
    snapshots: u64,
    #[arg(long, default_value_t = 3)]
    runs: usize,
}

/// Clients that take turns on all accounts, each in an order of its own.
pub(crate) async fn run(work: Commands, directory: &Path, time: Duration) -> Result<()> {
    for _ in 0..work.runs {
        raw::write_and_sync(directory, 384, time)?;
        let place = tempfile::tempdir_in(directory)?;
        let store = files(place.path()).await?;
        let mut accounts = Aggregates::<Account>::new(&store, "accounts")
            .category("account")
            .attempts(100);
        if work.cache > 0 {
            accounts = accounts.cache(work.cache);
        }
        if work.snapshots > 0 {
            accounts = accounts.snapshots(Snapshots::every(work.snapshots));
        }
        let begin = Instant::now();
        let mut clients = JoinSet::new();
        for client in 0..work.clients {
            clients.spawn(client_of(accounts.clone(), client, work, begin + time));
        }
        let mut times = Times::default();
        while let Some(done) = clients.join_next().await {
            times.merge(done??);
        }
        let rate = times.len() as f64 / begin.elapsed().as_secs_f64();
        let what = json!({
            "work": "commands", "adapter": "file", "clients": work.clients, "accounts": work.accounts,
            "cache": work.cache, "snapshots": work.snapshots,
        });
        report(what.clone(), json!({ "commands_per_s": rate }));
        report(what, times.percentiles());
        store.close().await?;
    }
    Ok(())
}

async fn client_of(
    accounts: Aggregates<Account>,
    client: u64,
    work: Commands,
    end: Instant,
) -> Result<Times> {
    let mut times = Times::default();
    // Every step reaches all of them, and no two clients go the same way.
    let mut at = client.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    while Instant::now() < end {
        at = at
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(client * 2 + 1);
        let id = ((at >> 33) % work.accounts).to_string();
        let by = "eve at the counter".to_owned();
        let command = match at % 4 {
            0 => AccountCommand::Withdraw { cents: 1, by },
            _ => AccountCommand::Deposit { cents: 100, by },
        };
        let before = Instant::now();
        match accounts.execute(&id, command).await {
            Ok(_) => times.add(before.elapsed()),
            Err(error) if error.rejection().is_some() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(times)
}

/// One account that is loaded again and again.
pub(crate) async fn load(
    directory: &Path,
    events: u64,
    snapshots: u64,
    time: Duration,
) -> Result<()> {
    let store = files(directory).await?;
    let mut accounts = Aggregates::<Account>::new(&store, "accounts");
    if snapshots > 0 {
        accounts = accounts.snapshots(Snapshots::every(snapshots));
    }
    for number in 0..events {
        // Others come between, so that its events are not one after the other.
        for id in ["one", "other", "third"] {
            let by = format!("eve {number}");
            let command = AccountCommand::Deposit { cents: 100, by };
            accounts.execute(id, command).await?;
        }
    }
    let mut times = Times::default();
    let end = Instant::now() + time;
    while Instant::now() < end {
        let before = Instant::now();
        let found = accounts.load("one").await?;
        times.add(before.elapsed());
        assert_eq!(found.state.entries, events);
    }
    let what =
        json!({ "work": "load", "adapter": "file", "events": events, "snapshots": snapshots });
    report(what, times.percentiles());
    store.close().await?;
    Ok(())
}
