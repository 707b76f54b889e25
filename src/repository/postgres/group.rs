//! A group of appends as it is sent to the server, and what the server finds.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, PgConnection, Row, postgres::PgRow};
use uuid::Uuid;

use super::{
    codec::{JsonText, Moment, bigint, position, version},
    errors::Failure,
    filter::Guard,
    rows::{Content, checksum},
    shared::Args,
    topic::Core,
};
use crate::{
    models::{ContentType, ExpectedVersion, RecordedEvent, Timestamp},
    repository::{AppendBatch, record::RecordView},
};

/// Expects any version.
const ANY: i64 = -2;
/// Expects that there are events.
const EXISTS: i64 = -1;

/// The events of a group, column by column.
#[derive(Default)]
pub(super) struct EventColumns<'a> {
    ids: Vec<Uuid>,
    streams: Vec<Option<&'a str>>,
    types: Vec<&'a str>,
    payloads: Vec<Option<JsonText<'a>>>,
    payload_bytes: Vec<Option<&'a [u8]>>,
    content_types: Vec<Option<&'a str>>,
    metadata: Vec<Option<JsonText<'a>>>,
    metadata_bytes: Vec<Option<&'a [u8]>>,
    tags: Vec<Option<&'a str>>,
    sizes: Vec<i32>,
    checksums: Vec<i32>,
}

/// Whether content of this type is JSON, if it is what it says.
fn says_json(content_type: &ContentType) -> bool {
    content_type.is_json() || content_type.as_str().ends_with("+json")
}

impl<'a> EventColumns<'a> {
    /// Adds an event; `stream` is left out where it is the append's own.
    fn push(
        &mut self,
        stream: Option<&'a str>,
        (event_type, tags): (&'a str, &'a str),
        content_type: &'a ContentType,
        view: &RecordView<'a>,
    ) {
        let payload = Content::of(view.payload, says_json(content_type));
        let metadata = Content::of(view.metadata, true);
        let size = view.size_bound();
        self.ids.push(view.id);
        self.streams.push(stream);
        self.types.push(event_type);
        self.payloads.push(payload.json().map(JsonText));
        self.payload_bytes.push(payload.bytes());
        self.content_types
            .push((!content_type.is_json()).then_some(content_type.as_str()));
        self.metadata.push(metadata.json().map(JsonText));
        self.metadata_bytes
            .push(metadata.bytes().filter(|bytes| !bytes.is_empty()));
        self.tags.push((!tags.is_empty()).then_some(tags));
        self.sizes.push(i32::try_from(size).unwrap_or(i32::MAX));
        self.checksums.push(checksum(view));
    }

    /// Adds an event that is recorded elsewhere.
    pub(super) fn push_recorded(&mut self, event: &'a RecordedEvent) {
        self.push(
            Some(event.stream.as_str()),
            (event.event_type.as_str(), event.tags.joined()),
            &event.content_type,
            &RecordView::of_recorded(event),
        );
    }

    fn push_batch(&mut self, batch: &'a AppendBatch) {
        for event in &batch.events {
            let other = event.stream != batch.stream;
            self.push(
                other.then_some(event.stream.as_str()),
                (event.event_type.as_str(), event.tags.joined()),
                &event.content_type,
                &RecordView::of_batch(event, Default::default(), Timestamp::default()),
            );
        }
    }

    pub(super) fn add_to(self, arguments: Args) -> Args {
        arguments
            .with(self.ids)
            .with(self.streams)
            .with(self.types)
            .with(self.payloads)
            .with(self.payload_bytes)
            .with(self.content_types)
            .with(self.metadata)
            .with(self.metadata_bytes)
            .with(self.tags)
            .with(self.sizes)
            .with(self.checksums)
    }
}

/// What the server says of one append.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// It is written: the head after it, and the version of its stream.
    Written { head: u64, version: u64 },
    /// It is not written, and this is what was found.
    Refused(Facts),
}

/// What was found for an append that was not written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) sealed: bool,
    pub(super) own_version: u64,
    pub(super) own_deleted: bool,
    /// For each event: where its id is recorded.
    pub(super) known: Vec<Option<i64>>,
    pub(super) known_beyond: Option<i64>,
    /// For each event: the version of its stream, and whether it is deleted.
    pub(super) versions: Vec<i64>,
    pub(super) deleted: Vec<bool>,
    /// The first event that the condition rules out.
    pub(super) matched: Option<i64>,
}

/// Sends a group, in one statement that commits on its own.
pub(super) async fn send(
    connection: &mut PgConnection,
    core: &Core,
    group: &[(&AppendBatch, Timestamp)],
) -> Result<Vec<Finding>, Failure> {
    let sql = AssertSqlSafe(Arc::clone(&core.sql.append));
    let rows = sqlx::query_with(sql, arguments(group).into_inner()?)
        .fetch_all(connection)
        .await?;
    let findings = rows.iter().map(finding).collect::<Result<Vec<_>, _>>()?;
    if findings.len() != group.len() {
        return Err(sqlx::Error::Protocol("an answer for each append is missing".into()).into());
    }
    Ok(findings)
}

fn arguments(group: &[(&AppendBatch, Timestamp)]) -> Args {
    let mut events = EventColumns::default();
    let (mut streams, mut expected, mut counts) = (Vec::new(), Vec::new(), Vec::new());
    let (mut times, mut beyond) = (Vec::new(), Vec::new());
    let (mut tags, mut filters, mut afters) = (Vec::new(), Vec::new(), Vec::new());
    for (batch, now) in group {
        streams.push(batch.stream.as_str());
        expected.push(match batch.expected {
            ExpectedVersion::Any => ANY,
            ExpectedVersion::StreamExists => EXISTS,
            ExpectedVersion::NoStream => 0,
            ExpectedVersion::Exact(exact) => version(exact),
        });
        counts.push(i32::try_from(batch.events.len()).unwrap_or(i32::MAX));
        times.push(Moment::clamped(*now));
        beyond.push(batch.beyond);
        let guard = batch.condition.as_ref().map(|one| Guard::of(&one.filter));
        let (tag, filter) = match guard {
            None | Some(Guard::Nothing) => (None, None),
            Some(Guard::Tag(tag)) => (Some(tag), None),
            Some(Guard::Items(items)) => (None, Some(items)),
        };
        tags.push(tag);
        filters.push(filter);
        afters.push(batch.condition.as_ref().map(|one| position(one.after)));
        events.push_batch(batch);
    }
    let arguments = Args::new()
        .with(streams)
        .with(expected)
        .with(counts)
        .with(times)
        .with(beyond)
        .with(tags)
        .with(filters)
        .with(afters);
    events.add_to(arguments)
}

fn finding(row: &PgRow) -> Result<Finding, sqlx::Error> {
    let own_version = super::codec::number(row.try_get("own_version")?);
    if row.try_get("written")? {
        return Ok(Finding::Written {
            head: super::codec::number(row.try_get("head")?),
            version: own_version,
        });
    }
    Ok(Finding::Refused(Facts {
        sealed: row.try_get("sealed")?,
        own_version,
        own_deleted: row.try_get("own_deleted")?,
        known: row.try_get("known")?,
        known_beyond: row.try_get("known_beyond")?,
        versions: row.try_get("versions")?,
        deleted: row.try_get("deleted")?,
        matched: row.try_get("matched")?,
    }))
}

/// How many bytes an append takes in a group, at least.
pub(super) fn weight(batch: &AppendBatch) -> usize {
    let of_event = |event: &crate::repository::BatchEvent| {
        RecordView::of_batch(event, Default::default(), Timestamp::default()).size_bound()
    };
    batch.events.iter().map(of_event).sum()
}

/// The position before the first event that was written up to `head`.
pub(super) fn first_of(head: u64, batch: &AppendBatch) -> u64 {
    head.saturating_sub(batch.events.len() as u64) + 1
}

/// Where the events of a batch are recorded, if all are, one after the other.
pub(super) fn run_of(facts: &Facts) -> Option<(u64, u64)> {
    let first = facts.known.first().copied().flatten()?;
    let in_a_row = facts
        .known
        .iter()
        .zip(first..)
        .all(|(known, expected)| *known == Some(expected));
    let last = first.checked_add(i64::try_from(facts.known.len()).ok()? - 1)?;
    in_a_row.then_some((super::codec::number(first), super::codec::number(last)))
}

/// A limit of a page as the server is told it.
pub(super) fn limit(count: usize) -> i64 {
    bigint(count as u64)
}
