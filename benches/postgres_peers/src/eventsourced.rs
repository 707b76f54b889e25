//! `eventsourced-postgres`: one bare insert for each event, its sequence number by the primary key.

use std::{convert::Infallible, num::NonZeroU64};

use async_trait::async_trait;
use bytes::Bytes;
use eventsourced::event_log::EventLog;
use eventsourced_postgres::{PostgresEventLog, PostgresEventLogConfig};
use sqlx::{Connection, Executor, PgConnection, postgres::PgConnectOptions};
use uuid::Uuid;

use crate::{
    draft::Draft,
    target::{Result, Target},
};

/// Its log. Streams are UUIDs there.
pub(crate) struct EventSourced(PostgresEventLog<Uuid>);

impl EventSourced {
    pub(crate) async fn open(url: &str) -> Result<Self> {
        // It inserts into `events` whatever table it is told, so the one of the load before goes.
        let mut connection = PgConnection::connect(url).await?;
        connection.execute("DROP TABLE IF EXISTS events").await?;
        connection.close().await?;
        let server: PgConnectOptions = url.parse()?;
        let log = PostgresEventLog::new(PostgresEventLogConfig {
            host: server.get_host().to_owned(),
            port: server.get_port(),
            user: server.get_username().to_owned(),
            password: "none".to_owned(),
            dbname: "postgres".to_owned(),
            sslmode: "disable".to_owned(),
            setup: true,
            ..PostgresEventLogConfig::default()
        });
        Ok(Self(log.await?))
    }
}

#[async_trait]
impl Target for EventSourced {
    fn name(&self) -> &'static str {
        "eventsourced-postgres"
    }

    async fn append(&self, _topic: usize, events: Vec<Draft>) -> Result<()> {
        let mut log = self.0.clone();
        for event in events {
            let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, event.stream.as_bytes());
            let last = event.before.and_then(NonZeroU64::new);
            let payload = Bytes::from(event.payload);
            let to_bytes = |payload: &Bytes| Ok::<_, Infallible>(payload.clone());
            log.persist("order", &id, last, &payload, &to_bytes).await?;
        }
        Ok(())
    }

    async fn scan(&self) -> Result<u64> {
        Err("nothing is scanned here".into())
    }

    async fn stream(&self, _stream: &str) -> Result<u64> {
        Err("streams are not read here".into())
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}
