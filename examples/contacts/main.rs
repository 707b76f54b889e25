//! The service that an app for contacts and transactions talks to, which works offline, too: an HTTP API
//! of its own, read models, sync for several devices; a simulation of such devices; and a way for an
//! existing table of events into the store. README.md beside this file tells more.
//!
//! ```sh
//! cargo run --example contacts -- serve --connection ./data
//! cargo run --example contacts -- simulate
//! cargo run --example contacts -- migrate --from postgres://… --table events --topic orders
//! ```

mod book;
mod contact;
mod decisions;
mod device;
mod event;
mod http;
mod ledger;
mod memory;
mod migrate;
mod problem;
mod refusal;
mod rows;
mod simulation;
mod sync;
mod tables;
#[cfg(test)]
mod tests;
mod transaction;
mod views;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use self::{
    ledger::Ledger,
    migrate::Migrate,
    simulation::{Run, Simulate},
};

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// Contacts and transactions, for apps that work offline, too.
#[derive(Debug, Parser)]
#[command(name = "contacts")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves the API until it is interrupted.
    Serve(Serve),
    /// Lets devices work offline, and shows that all of them and the server end with the same.
    Simulate(Simulate),
    /// Moves an existing PostgreSQL table of events into a topic, and verifies that.
    Migrate(Migrate),
}

/// Where everything is kept.
#[derive(Clone, Debug, Args)]
pub(crate) struct Kept {
    /// The kind of repository: memory, file, postgres or blob.
    #[arg(long, default_value = "file")]
    adapter: String,
    /// Which place of that kind: for files a directory, for postgres a URL.
    #[arg(long, default_value = "")]
    connection: String,
    /// The URL of a PostgreSQL database for the read models; in memory where it is not given.
    #[arg(long)]
    read_models: Option<String>,
}

#[derive(Clone, Debug, Args)]
struct Serve {
    #[command(flatten)]
    kept: Kept,
    /// Where it listens. It has no authentication of its own, so beyond this machine it belongs behind
    /// something that has.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_writer(std::io::stderr)
        .init();
    let done = match Arguments::parse().command {
        Command::Serve(arguments) => serve(&arguments).await,
        Command::Simulate(arguments) => simulate(&arguments).await,
        Command::Migrate(arguments) => migrate(&arguments).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failed: {}", with_causes(&*error));
            ExitCode::FAILURE
        }
    }
}

fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

async fn serve(arguments: &Serve) -> Result<()> {
    let kept = &arguments.kept;
    let store = ledger::open_store(&kept.adapter, &kept.connection).await?;
    let ledger = Ledger::open(store, kept.read_models.as_deref()).await?;
    let (listener, address) = http::listen(&arguments.listen).await?;
    println!("listening on http://{address}");
    http::serve(listener, ledger.clone(), interrupted()).await?;
    ledger.close().await
}

async fn simulate(arguments: &Simulate) -> Result<()> {
    let run = match arguments.kept.adapter.as_str() {
        "memory" => Run::Here,
        _ => Run::Process,
    };
    let directory = tempfile::tempdir()?;
    let report = simulation::run(arguments, run, directory.path()).await?;
    let (requests, answers) = report.lost;
    println!(
        "{} devices made {} changes, {} of which could not stand beside others; {} events are recorded; \
         {requests} requests and {answers} answers were lost, and the server was killed {} times",
        arguments.devices, report.made, report.dropped, report.events, arguments.kills
    );
    let wrong = report.wrong.0;
    if wrong.is_empty() {
        println!("the server and all devices have the same, and nothing is lost");
        return Ok(());
    }
    wrong.iter().take(20).for_each(|one| println!("  {one}"));
    Err(format!("{} things are wrong", wrong.len()).into())
}

async fn migrate(arguments: &Migrate) -> Result<()> {
    let report = migrate::run(arguments, interrupted()).await?;
    println!(
        "{} rows copied; the topic has all {} rows of {} streams, as they are in the table: SHA-256 {}",
        report.copied, report.rows, report.streams, report.digest
    );
    Ok(())
}

/// Waits until somebody wants an end.
async fn interrupted() {
    let mut terminated =
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(signal) => signal,
            Err(error) => {
                tracing::warn!(%error, "signals cannot be waited for");
                return std::future::pending().await;
            }
        };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
    }
}
