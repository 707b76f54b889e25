//! `postgres-es`, the repository of `cqrs-es`: one transaction for each append, versions by the primary key.

use ::postgres_es::PostgresEventRepository;
use async_trait::async_trait;
use cqrs_es::{
    Aggregate, DomainEvent,
    event_sink::EventSink,
    persist::{PersistedEventRepository, SerializedEvent},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{Executor, PgPool, postgres::PgPoolOptions};

use crate::{
    draft::Draft,
    target::{Result, Target},
};

/// Only its name counts.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Order;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Happened;

impl DomainEvent for Happened {
    fn event_type(&self) -> String {
        "Happened".to_owned()
    }

    fn event_version(&self) -> String {
        "1".to_owned()
    }
}

impl Aggregate for Order {
    const TYPE: &'static str = "order";
    type Command = ();
    type Event = Happened;
    type Error = std::fmt::Error;
    type Services = ();

    async fn handle(
        &mut self,
        _: (),
        _: &(),
        _: &EventSink<Self>,
    ) -> std::result::Result<(), Self::Error> {
        Ok(())
    }

    fn apply(&mut self, _: Happened) {}
}

/// Its tables, in a schema of their own.
pub(crate) struct PostgresEs {
    pool: PgPool,
    repository: PostgresEventRepository,
}

impl PostgresEs {
    pub(crate) async fn open(url: &str, name: &str, clients: usize) -> Result<Self> {
        let connections = u32::try_from(clients.max(2))?;
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .min_connections(connections)
            .connect(url)
            .await?;
        let events = format!("es_events_{name}");
        // As its documentation makes it.
        pool.execute(
            format!(
                "CREATE TABLE {events} (aggregate_type text NOT NULL, aggregate_id text NOT NULL, \
                 sequence bigint CHECK (sequence >= 0) NOT NULL, event_type text NOT NULL, \
                 event_version text NOT NULL, payload json NOT NULL, metadata json NOT NULL, \
                 PRIMARY KEY (aggregate_type, aggregate_id, sequence))"
            )
            .as_str(),
        )
        .await?;
        let repository =
            PostgresEventRepository::new(pool.clone()).with_tables(&events, "es_snapshots");
        Ok(Self { pool, repository })
    }
}

#[async_trait]
impl Target for PostgresEs {
    fn name(&self) -> &'static str {
        "postgres-es"
    }

    async fn append(&self, _topic: usize, events: Vec<Draft>) -> Result<()> {
        let events: Vec<_> = events
            .into_iter()
            .map(|event| {
                let sequence = event.before.ok_or("the load has no versions")? + 1;
                Ok(SerializedEvent::new(
                    event.stream,
                    usize::try_from(sequence)?,
                    Order::TYPE.to_owned(),
                    event.event_type,
                    "1".to_owned(),
                    serde_json::from_slice(&event.payload)?,
                    Value::Object(serde_json::Map::new()),
                ))
            })
            .collect::<Result<_>>()?;
        self.repository.persist::<Order>(&events, None).await?;
        Ok(())
    }

    async fn scan(&self) -> Result<u64> {
        Err("nothing is scanned here".into())
    }

    async fn stream(&self, _stream: &str) -> Result<u64> {
        Err("streams are not read here".into())
    }

    async fn close(&self) -> Result<()> {
        self.pool.close().await;
        Ok(())
    }
}
