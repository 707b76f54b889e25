//! Processes that append to one topic in PostgreSQL: how much they get done together, how fairly they
//! share it, and what grouping spares beside a transaction for each append.

use std::{
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    draft::{Drafts, Ids},
    measure::{Times, report},
    postgres::open,
    servers::Postgres,
    target::{Result, Target},
};

/// How long a process may take to open its stores before the load begins.
const START: Duration = Duration::from_secs(4);

/// `processes` processes of `clients` clients on one topic. Without grouping each client has a store of
/// its own, so that nobody shares a transaction with it; all else is the same.
pub(crate) async fn share(
    processes: usize,
    clients: usize,
    rounds: usize,
    time: Duration,
) -> Result<()> {
    let connections = processes * clients * 6 + 20;
    let server = Postgres::start(&[
        ("max_connections", &connections.to_string()),
        ("shared_buffers", "512MB"),
    ]);
    for round in 0..rounds {
        for grouped in [true, false] {
            let name = format!("share{round}{}", if grouped { "grouped" } else { "alone" });
            let url = format!("{}&annals.schema={name}", server.url());
            open(server.url(), &name).await?.close().await?;
            let stores = if grouped { 1 } else { clients };
            let shares = run(&url, processes, clients, stores, time)?;
            let of = |share: &Value| share["events_per_s"].as_f64().unwrap_or_default();
            let all: f64 = shares.iter().map(of).sum();
            let least = shares.iter().map(of).fold(f64::INFINITY, f64::min);
            let worst = shares
                .iter()
                .filter_map(|share| share["p99_us"].as_f64())
                .fold(0.0, f64::max);
            report(
                json!({
                    "work": "share", "adapter": "postgres", "processes": processes,
                    "clients_each": clients, "grouped": grouped, "round": round,
                }),
                json!({
                    "events_per_s": all,
                    "least_of_fair_share": least / (all / processes as f64),
                    "worst_p99_us": worst,
                }),
            );
        }
    }
    Ok(())
}

/// Runs the processes, and gives what each has printed.
fn run(
    url: &str,
    processes: usize,
    clients: usize,
    stores: usize,
    time: Duration,
) -> Result<Vec<Value>> {
    let program = std::env::current_exe()?;
    let mut children = Vec::new();
    for process in 0..processes {
        let child = Command::new(&program)
            .args(["--seconds", &time.as_secs_f64().to_string()])
            .args(["postgres-clients", url])
            .args([process * clients, clients, stores].map(|number| number.to_string()))
            .stdout(Stdio::piped())
            .spawn()?;
        children.push(child);
    }
    let mut shares = Vec::new();
    for child in children {
        let output = child.wait_with_output()?;
        if !output.status.success() {
            return Err("a process of the load failed".into());
        }
        shares.push(serde_json::from_slice(&output.stdout)?);
    }
    Ok(shares)
}

/// The clients of one process, spread over its stores.
pub(crate) async fn clients(
    url: &str,
    first: usize,
    clients: usize,
    stores: usize,
    time: Duration,
) -> Result<()> {
    let begin = Instant::now() + START;
    let mut targets: Vec<Arc<dyn Target>> = Vec::new();
    for _ in 0..stores {
        let config = annals::EventStoreConfig::new(annals::ConfigurationStream::postgres(url));
        let topic = |name: &str| annals::TopicConfig::postgres(name, url);
        targets.push(Arc::new(
            super::annals::Annals::open(config, 1, topic).await?,
        ));
    }
    let mut tasks = Vec::new();
    tokio::time::sleep_until(begin.into()).await;
    let end = begin + time;
    for client in 0..clients {
        let Some(target) = targets.get(client % stores).map(Arc::clone) else {
            continue;
        };
        let mut drafts = Drafts::new(first + client, 100, Ids::Ordered);
        tasks.push(tokio::spawn(async move {
            let mut times = Times::default();
            loop {
                let before = Instant::now();
                if before >= end {
                    return Result::Ok(times);
                }
                target.append(0, drafts.append(1)).await?;
                times.add(before.elapsed());
            }
        }));
    }
    let mut times = Times::default();
    for task in tasks {
        times.merge(task.await??);
    }
    for target in targets {
        target.close().await?;
    }
    let rate = times.len() as f64 / time.as_secs_f64();
    report(json!({ "events_per_s": rate }), times.percentiles());
    Ok(())
}
