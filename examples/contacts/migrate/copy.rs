//! Rows as events, recorded where those before them end.

use std::collections::HashMap;

use annals::{
    ContentType, EventStore, EventType, Position, Read, RecordedEvent, StreamId, Tags, Timestamp,
    TopicName, Version, repository::BatchEvent,
};
use uuid::Uuid;

use super::{
    Migrate,
    source::{Source, SourceRow},
};
use crate::Result;

/// The namespace of the ids of events whose rows have none.
const ROWS: Uuid = Uuid::from_u128(0x2f7a_90c1_44de_5b38_a1f0_726f_7773_0000);
/// A tag with the row that an event was.
const ROW: &str = "row:";
/// A tag with the time of a row that is earlier than that of a row before it.
const CREATED: &str = "created_at:";
/// How many streams are remembered.
const REMEMBERED: usize = 100_000;

pub(super) struct Copy<'run> {
    store: &'run EventStore,
    migrate: &'run Migrate,
    topic: TopicName,
    head: Position,
    time: Timestamp,
    versions: HashMap<String, u64>,
    /// The last row that is recorded.
    pub(super) row: i64,
    pub(super) copied: u64,
}

impl<'run> Copy<'run> {
    /// Goes on where the topic ends.
    pub(super) async fn resume(store: &'run EventStore, migrate: &'run Migrate) -> Result<Self> {
        let last = Read::all().backward().limit(1).include_deleted();
        let last = store.get_events(&migrate.topic, last).await?;
        let mut copy = Self {
            store,
            migrate,
            topic: TopicName::new(&migrate.topic)?,
            head: Position::START,
            time: Timestamp::from_micros(i64::MIN),
            versions: HashMap::new(),
            row: 0,
            copied: 0,
        };
        if let Some(last) = last.first() {
            let row = row_of(last).ok_or("the topic has events that are not of the table")?;
            (copy.head, copy.time, copy.row) = (last.position, last.recorded_at, row);
        }
        Ok(copy)
    }

    /// Copies all rows up to one that has settled.
    pub(super) async fn up_to(&mut self, source: &mut Source, horizon: i64) -> Result<()> {
        loop {
            let rows = source.rows(self.row, horizon, self.migrate.batch).await?;
            let Some(last) = rows.last() else {
                return Ok(());
            };
            let (last, count) = (last.id, rows.len() as u64);
            if self.versions.len() > REMEMBERED {
                // All of them are recorded, so that the topic tells.
                self.versions.clear();
            }
            let mut events = Vec::with_capacity(rows.len());
            for row in rows {
                let id = row.id;
                let event = self.event(row, source.first_version).await;
                events.push(event.map_err(|error| format!("row {id}: {error}"))?);
            }
            self.store
                .import_events(&self.migrate.topic, events)
                .await?;
            self.row = last;
            self.copied += count;
        }
    }

    async fn event(&mut self, row: SourceRow, first: Option<i64>) -> Result<RecordedEvent> {
        let version = self.next_version(&row.stream).await?;
        if let (Some(told), Some(first)) = (row.version, first)
            && told - first + 1 != version.cast_signed()
        {
            let what = format!(
                "its version in {:?} is {told}, and {} is expected: versions have no gaps here \
                 (--column version=- leaves them out of account)",
                row.stream,
                version.cast_signed() + first - 1
            );
            return Err(what.into());
        }
        let created = Timestamp::from_micros(row.micros);
        let mut tags = vec![format!("{ROW}{}", row.id)];
        if created < self.time {
            tags.push(format!("{CREATED}{created}"));
        }
        self.time = self.time.max(created);
        self.head = self.head.next();
        let event = BatchEvent {
            id: self.event_id(&row),
            stream: StreamId::new(row.stream)?,
            event_type: EventType::new(row.event_type)?,
            payload: row.payload.into(),
            content_type: ContentType::JSON,
            metadata: row.metadata.unwrap_or_default().into(),
            tags: Tags::new(&tags)?,
        };
        let version = Version::new(version);
        Ok(event.into_recorded(self.topic.clone(), self.head, version, self.time))
    }

    /// The id that a row has, or one that is made from where it is.
    pub(super) fn event_id(&self, row: &SourceRow) -> Uuid {
        let made = || {
            Uuid::new_v5(
                &ROWS,
                format!("{}\n{}", self.migrate.table, row.id).as_bytes(),
            )
        };
        row.event_id.unwrap_or_else(made)
    }

    async fn next_version(&mut self, stream: &str) -> Result<u64> {
        let now = match self.versions.get(stream) {
            Some(version) => *version,
            None => {
                let state = self.store.get_stream(&self.migrate.topic, stream).await?;
                state.version.get()
            }
        };
        self.versions.insert(stream.to_owned(), now + 1);
        Ok(now + 1)
    }
}

/// The row that an event was.
pub(super) fn row_of(event: &RecordedEvent) -> Option<i64> {
    let digits = event.tags.iter().find_map(|tag| tag.strip_prefix(ROW))?;
    digits.parse().ok()
}

/// The time of the row that an event was.
pub(super) fn created_at(event: &RecordedEvent) -> Timestamp {
    let told = event.tags.iter().find_map(|tag| tag.strip_prefix(CREATED));
    let told = told.and_then(|told| told.parse().ok());
    told.unwrap_or(event.recorded_at)
}
