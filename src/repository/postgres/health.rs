//! How a repository is: whether the server answers, and whether it is one that keeps promises.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{catalog, errors::Failure, schema::Server, shared::Shared};
use crate::models::{HealthStatus, RepositoryHealth};

/// A server that does not answer within this time is down.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) async fn health(shared: &Arc<Shared>) -> RepositoryHealth {
    let started = Instant::now();
    let probed = tokio::time::timeout(PATIENCE, probe(Arc::clone(shared))).await;
    let health = |status| RepositoryHealth::new(&shared.name, status).latency(started.elapsed());
    match probed {
        Err(_) => health(HealthStatus::Down)
            .last_error(format!("no answer within {} s", PATIENCE.as_secs())),
        Ok(Err(failure)) => health(HealthStatus::Down).last_error(failure.to_string()),
        Ok(Ok((topics, server))) => {
            let mut notes = Vec::new();
            if server.follows {
                notes.push("the server follows another one and only takes reads".to_owned());
            }
            if !shared.address.is_encrypted() {
                notes.push("the connection may be unencrypted: `sslmode` is neither `require` nor a stricter one".to_owned());
            }
            let health =
                if server.unsafe_settings.is_empty() || shared.address.settings.allow_not_durable {
                    health(HealthStatus::Up)
                } else {
                    health(HealthStatus::Degraded).last_error(format!(
                        "the server has {} off",
                        server.unsafe_settings.join(" and ")
                    ))
                };
            health.topics(topics).notes(notes)
        }
    }
}

async fn probe(shared: Arc<Shared>) -> Result<(u64, Server), Failure> {
    let topics = catalog::count(&shared).await?;
    let task = tokio::spawn(async move {
        let mut lent = shared.reads.take().await?;
        let server = Server::ask(&mut lent.session.connection).await?;
        shared.reads.give_back(lent);
        Ok::<_, Failure>(server)
    });
    match task.await {
        Ok(server) => Ok((topics, server?)),
        Err(_) => Err(Failure::timed_out("a question")),
    }
}
