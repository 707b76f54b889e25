//! Whether the topic is the table: row by row, by stream, and as a whole.

use std::collections::BTreeMap;

use annals::{EventStore, Read, RecordedEvent, Timestamp};
use futures_util::TryStreamExt;
use sha2::{Digest as _, Sha256};

use super::{
    Migrate,
    copy::{Copy, created_at, row_of},
    source::{Source, SourceRow},
};
use crate::Result;

/// What was found to be the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// How many rows were copied by this run.
    pub(crate) copied: u64,
    pub(crate) rows: u64,
    pub(crate) streams: usize,
    /// SHA-256 over all rows, and over all events.
    pub(crate) digest: String,
}

/// Reads both from the beginning. Tells the first row that is not as it has to be.
pub(super) async fn verify(
    store: &EventStore,
    migrate: &Migrate,
    source: &mut Source,
    copy: &Copy<'_>,
) -> Result<Report> {
    let mut events = store.read_events(&migrate.topic, Read::all().include_deleted());
    let (mut of_rows, mut of_events) = (Sha256::new(), Sha256::new());
    let mut versions: BTreeMap<String, u64> = BTreeMap::new();
    let (mut after, mut rows) = (0, 0);
    loop {
        let batch = source.rows(after, copy.row, migrate.batch).await?;
        let Some(last) = batch.last() else {
            break;
        };
        after = last.id;
        for row in batch {
            rows += 1;
            let Some(event) = events.try_next().await? else {
                return Err(
                    format!("row {} is not in the topic, which ends before it", row.id).into(),
                );
            };
            let version = versions.entry(row.stream.clone()).or_default();
            *version += 1;
            let (expected, found) = (of_row(&row, *version, copy), of_event(&event)?);
            if expected != found {
                let what = format!(
                    "position {}: the row is\n  {expected}\nand the event is\n  {found}",
                    event.position
                );
                return Err(what.into());
            }
            of_rows.update(expected.as_bytes());
            of_events.update(found.as_bytes());
        }
    }
    if let Some(event) = events.try_next().await? {
        return Err(format!("position {} is no row of the table", event.position).into());
    }
    let counts = source.counts(copy.row).await?;
    if counts != versions {
        return Err("streams have other numbers of rows than were read: rows have come below the last one that was copied".into());
    }
    let digest = hex(&of_rows.finalize());
    if digest != hex(&of_events.finalize()) {
        return Err("the digests differ".into());
    }
    Ok(Report {
        copied: copy.copied,
        rows,
        streams: versions.len(),
        digest,
    })
}

/// A row as one line, in which everything is that is kept.
fn of_row(row: &SourceRow, version: u64, copy: &Copy<'_>) -> String {
    let created = Timestamp::from_micros(row.micros);
    let metadata = row.metadata.as_deref().unwrap_or_default();
    let id = copy.event_id(row);
    let what = (
        &row.stream,
        version,
        &row.event_type,
        &row.payload,
        metadata,
    );
    format!("{} {id} {created} {what:?}", row.id)
}

/// The same of an event.
fn of_event(event: &RecordedEvent) -> Result<String> {
    let row = row_of(event).ok_or_else(|| format!("position {} has no row", event.position))?;
    let text = |bytes| std::str::from_utf8(bytes);
    let (payload, metadata) = (text(&event.payload)?, text(&event.metadata)?);
    let what = (
        event.stream.as_str(),
        event.version.get(),
        event.event_type.as_str(),
        payload,
        metadata,
    );
    Ok(format!("{row} {} {} {what:?}", event.id, created_at(event)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
