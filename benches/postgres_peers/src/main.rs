//! Puts the same load on Annals and on other event stores that keep their events in PostgreSQL, on one
//! server, one after the other in each round, and prints a line of JSON for each figure.
//!
//! `postgres-es` keeps versions but no global position and no event ids. `eventsourced-postgres` records
//! one event at a time, by a bare insert, and keeps neither. Annals keeps all of them.

#[path = "../../load/annals.rs"]
#[allow(dead_code, reason = "what only the load program uses")]
mod annals;
#[path = "../../load/draft.rs"]
#[allow(dead_code, reason = "what only the load program uses")]
mod draft;
#[path = "../../load/drive.rs"]
#[allow(dead_code, reason = "what only the load program uses")]
mod drive;
mod eventsourced;
#[path = "../../load/measure.rs"]
mod measure;
mod postgres_es;
#[path = "../../../tests/servers/mod.rs"]
mod servers;
#[path = "../../load/target.rs"]
#[allow(dead_code, reason = "what only the load program uses")]
mod target;

use std::{sync::Arc, time::Duration};

use ::annals::{ConfigurationStream, EventStoreConfig, TopicConfig};
use clap::Parser;
use serde_json::json;

use self::{
    annals::Annals,
    drive::Load,
    servers::Postgres,
    target::{Result, Target},
};

/// Puts the same load on Annals and on other event stores on one PostgreSQL server.
#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each load lasts, in seconds
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
}

const STORES: [&str; 3] = ["annals", "postgres-es", "eventsourced-postgres"];
/// Clients, and events of an append.
const LOADS: [(usize, usize); 4] = [(1, 1), (16, 1), (64, 1), (1, 100)];

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let time = Duration::from_secs_f64(arguments.seconds);
    let server = Postgres::start(&[("max_connections", "200"), ("shared_buffers", "512MB")]);
    for round in 0..arguments.rounds {
        for (clients, batch) in LOADS {
            // Who goes first changes from round to round.
            for nth in 0..STORES.len() {
                let store = STORES[(nth + round) % STORES.len()];
                if store == "eventsourced-postgres" && batch > 1 {
                    continue;
                }
                let name = format!("r{round}c{clients}b{batch}");
                let target = open(store, server.url(), &name, clients).await?;
                let load = Load {
                    batch,
                    ..Load::of(clients, time)
                };
                drive::append(&target, load, json!({ "round": round })).await?;
                target.close().await?;
            }
        }
    }
    Ok(())
}

/// A store that has no events yet, with a connection for each client.
async fn open(store: &str, url: &str, name: &str, clients: usize) -> Result<Arc<dyn Target>> {
    Ok(match store {
        "annals" => {
            let url = format!("{url}&annals.schema={name}");
            let config = EventStoreConfig::new(ConfigurationStream::postgres(&url));
            let topic = |topic: &str| TopicConfig::postgres(topic, &url);
            Arc::new(Annals::open(config, 1, topic).await?)
        }
        "postgres-es" => Arc::new(postgres_es::PostgresEs::open(url, name, clients).await?),
        _ => Arc::new(eventsourced::EventSourced::open(url).await?),
    })
}
