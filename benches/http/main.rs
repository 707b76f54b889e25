//! Puts load on the server, from another process than the server's, beside the same load on the library
//! in this process, and prints a line of JSON for each figure.
//!
//! `cargo bench --bench http --features server,cli -- --help` tells what it can do.

#[path = "../load/annals.rs"]
#[allow(
    dead_code,
    clippy::allow_attributes,
    reason = "what only the load on the library uses"
)]
mod annals;
mod client;
#[path = "../load/draft.rs"]
#[allow(
    dead_code,
    clippy::allow_attributes,
    reason = "what only the load on the library uses"
)]
mod draft;
#[path = "../load/drive.rs"]
#[allow(
    dead_code,
    clippy::allow_attributes,
    reason = "what only the load on the library uses"
)]
mod drive;
#[path = "../load/measure.rs"]
mod measure;
#[path = "../load/raw.rs"]
mod raw;
mod server;
mod subscribers;
#[path = "../load/target.rs"]
#[allow(
    dead_code,
    clippy::allow_attributes,
    reason = "what only the load on the library uses"
)]
mod target;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::{Parser, Subcommand};
use serde_json::json;

use self::{
    annals::Annals,
    client::Client,
    draft::{Drafts, Ids},
    drive::Load,
    measure::{Times, report},
    server::Server,
    target::{Result, Target},
};

/// Puts load on the server. Each figure is printed as a line of JSON.
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
    /// Single events, synced, from 1, 16, 64 and 256 connections, beside as many clients of the library
    Append {
        #[arg(long, default_value_t = 3)]
        rounds: usize,
    },
    /// A topic read in pages of 1,000 events
    Read {
        #[arg(long, default_value_t = 1_000_000)]
        events: u64,
        #[arg(long, default_value_t = 3)]
        rounds: usize,
    },
    /// How long the server takes from its start until it answers that it is ready, with many events there
    Ready {
        #[arg(long, default_value_t = 10_000_000)]
        events: u64,
        #[arg(long, default_value_t = 3)]
        rounds: usize,
    },
    /// Live subscribers of one topic, while events are appended at a steady rate
    Subscribers {
        #[arg(long, default_value_t = 1000)]
        subscribers: usize,
        /// Events a second
        #[arg(long, default_value_t = 500)]
        rate: u64,
    },
    /// Resident memory of a server that has nothing to do
    Idle,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let time = Duration::from_secs_f64(arguments.seconds);
    let directory = tempfile::Builder::new()
        .prefix("annals-http-")
        .tempdir_in(&arguments.directory)?;
    let path = directory
        .path()
        .to_str()
        .ok_or("the directory has no name in UTF-8")?;
    match arguments.work {
        Work::Append { rounds } => {
            for round in 0..rounds {
                let raw = format!("{path}/raw-{round}");
                std::fs::create_dir(&raw)?;
                raw::write_and_sync(raw.as_ref(), 384, time / 4)?;
                for connections in [1, 16, 64, 256] {
                    appends(&format!("{path}/{round}-{connections}"), connections, time).await?;
                }
            }
            Ok(())
        }
        Work::Read { events, rounds } => reads(path, events, rounds).await,
        Work::Ready { events, rounds } => ready(path, events, rounds).await,
        Work::Subscribers { subscribers, rate } => {
            subscribers::run(path, subscribers, rate, time).await
        }
        Work::Idle => {
            Annals::files(path, 1, &[]).await?.close().await?;
            let server = Server::start(path)?;
            tokio::time::sleep(Duration::from_secs(3)).await;
            let resident = server.resident()?;
            report(
                json!({ "work": "idle" }),
                json!({ "resident_kib": resident }),
            );
            Ok(())
        }
    }
}

/// The library first, then the server, on topics of their own.
async fn appends(path: &str, clients: usize, time: Duration) -> Result<()> {
    let library = format!("{path}-library");
    let target: Arc<dyn Target> = Arc::new(Annals::files(&library, 1, &[]).await?);
    drive::append(&target, Load::of(clients, time), json!({})).await?;
    target.close().await?;
    let served = format!("{path}-served");
    Annals::files(&served, 1, &[]).await?.close().await?;
    let server = Server::start(&served)?;
    let begin = Instant::now() + Duration::from_millis(200);
    let (measured, end) = (begin + time / 10, begin + time / 10 + time);
    let mut tasks = Vec::new();
    for number in 0..clients {
        let mut client = Client::connect(&server.address).await?;
        tasks.push(tokio::spawn(async move {
            let mut drafts = Drafts::new(number, 100, Ids::Ordered);
            let mut times = Times::default();
            tokio::time::sleep_until(begin.into()).await;
            loop {
                let request = append_request(&mut drafts)?;
                let before = Instant::now();
                if before >= end {
                    return Result::Ok(times);
                }
                let answer = client.ask(&request).await?;
                if answer.status != 201 {
                    let said = String::from_utf8_lossy(client.body(answer)).into_owned();
                    return Err(said.into());
                }
                if before >= measured {
                    times.add(before.elapsed());
                }
            }
        }));
    }
    let mut times = Times::default();
    for task in tasks {
        times.merge(task.await??);
    }
    let rate = times.len() as f64 / time.as_secs_f64();
    let mut figures = times.percentiles();
    figures["events_per_s"] = json!(rate);
    let what = json!({ "work": "append", "target": "http", "clients": clients, "batch": 1 });
    report(what, figures);
    Ok(())
}

fn append_request(drafts: &mut Drafts) -> Result<Vec<u8>> {
    let event = drafts.append(1).pop().ok_or("no event")?;
    let payload = String::from_utf8(event.payload)?;
    let body = format!(
        r#"{{"id":"{}","type":"{}","data":{payload}}}"#,
        event.id, event.event_type
    );
    let expected = match event.before {
        None => String::new(),
        Some(0) => "if-none-match: *\r\n".to_owned(),
        Some(before) => format!("if-match: \"{before}\"\r\n"),
    };
    let request = format!(
        "POST /api/v1/topics/orders-0/streams/{}/events HTTP/1.1\r\nhost: localhost\r\n\
         content-type: application/json\r\n{expected}content-length: {}\r\n\r\n{body}",
        event.stream,
        body.len()
    );
    Ok(request.into_bytes())
}

async fn fill(path: &str, events: u64) -> Result<()> {
    let target: Arc<dyn Target> = Arc::new(Annals::files(path, 1, &[]).await?);
    let mut drafts = Drafts::new(0, 1000, Ids::Ordered);
    drive::fill(&target, &mut drafts, events, 1000).await?;
    target.close().await
}

async fn reads(path: &str, events: u64, rounds: usize) -> Result<()> {
    fill(path, events).await?;
    let server = Server::start(path)?;
    let mut client = Client::connect(&server.address).await?;
    for round in 0..rounds {
        let (begin, mut at, mut bytes) = (Instant::now(), 0, 0);
        while at < events {
            let request = format!(
                "GET /api/v1/topics/orders-0/events?after={at}&limit=1000 HTTP/1.1\r\n\
                 host: localhost\r\n\r\n"
            );
            let answer = client.ask(request.as_bytes()).await?;
            let body = client.body(answer);
            bytes += body.len();
            let looked =
                looked_to(body).ok_or("a page that does not tell how far it has looked")?;
            if looked <= at {
                return Err("a page that has nothing".into());
            }
            at = looked;
        }
        let rate = events as f64 / begin.elapsed().as_secs_f64();
        let what = json!({ "work": "read", "target": "http", "page": 1000, "round": round });
        let figures = json!({
            "events_per_s": rate,
            "bytes_per_event": bytes as f64 / events as f64,
            "resident_kib": server.resident()?,
        });
        report(what, figures);
    }
    Ok(())
}

/// What the end of a page says.
fn looked_to(body: &[u8]) -> Option<u64> {
    let name = b"\"lookedTo\":";
    let at = body.windows(name.len()).rposition(|some| some == name)? + name.len();
    let digits = body
        .get(at..)?
        .iter()
        .take_while(|byte| byte.is_ascii_digit());
    digits.fold(None, |number, digit| {
        Some(number.unwrap_or(0) * 10 + u64::from(digit - b'0'))
    })
}

async fn ready(path: &str, events: u64, rounds: usize) -> Result<()> {
    fill(path, events).await?;
    for round in 0..rounds {
        let begin = Instant::now();
        let server = Server::start(path)?;
        let mut client = Client::connect(&server.address).await?;
        let request = b"GET /health/ready HTTP/1.1\r\nhost: localhost\r\n\r\n";
        while client.ask(request).await?.status >= 300 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let ready_in = begin.elapsed();
        let read = b"GET /api/v1/topics/orders-0/events?direction=backward&limit=1 HTTP/1.1\r\n\
                     host: localhost\r\n\r\n";
        let answer = client.ask(read).await?;
        if answer.status != 200 {
            return Err("the newest event is not to be had".into());
        }
        report(
            json!({ "work": "ready", "events": events, "round": round }),
            json!({
                "listening_in_ms": server.started_in.as_millis() as u64,
                "ready_in_ms": ready_in.as_millis() as u64,
                "newest_event_in_ms": begin.elapsed().as_millis() as u64,
                "resident_kib": server.resident()?,
            }),
        );
    }
    Ok(())
}
