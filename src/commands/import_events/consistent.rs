//! Whether events to import go on with what a topic has: times, versions and ids.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::check::invalid;
use crate::{
    models::{
        ContentType, Error, EventType, ExpectedVersion, Placement, RecordedEvent, Result, StreamId,
        Tags, Version,
    },
    repository::{AppendBatch, BatchEvent, EventRepository, ReadPlan},
};

/// How many streams are asked for at a time.
const AT_ONCE: usize = 32;

/// Checks events of which the first is the next of the topic.
pub(super) async fn check(
    repository: &dyn EventRepository,
    placement: &Placement,
    events: &[RecordedEvent],
) -> Result<()> {
    check_time(repository, placement, events).await?;
    check_versions(repository, placement, events).await?;
    check_ids(repository, placement, events).await
}

/// Times do not run backwards.
async fn check_time(
    repository: &dyn EventRepository,
    placement: &Placement,
    events: &[RecordedEvent],
) -> Result<()> {
    let Some(first) = events.first() else {
        return Ok(());
    };
    let plan = ReadPlan {
        up_to: first.position.previous(),
        include_deleted: true,
        ..ReadPlan::all_after(first.position.previous().previous())
    };
    let mut pages = repository.read(placement, plan);
    while let Some(page) = pages.next().await {
        let later = page?
            .events
            .last()
            .is_some_and(|last| last.recorded_at > first.recorded_at);
        if later {
            return Err(invalid(format!(
                "the event at position {} was recorded before the last event of the topic",
                first.position
            )));
        }
    }
    Ok(())
}

/// Each stream goes on where it is.
async fn check_versions(
    repository: &dyn EventRepository,
    placement: &Placement,
    events: &[RecordedEvent],
) -> Result<()> {
    let mut firsts: HashMap<&StreamId, &RecordedEvent> = HashMap::new();
    for event in events {
        firsts.entry(&event.stream).or_insert(event);
    }
    stream::iter(firsts.into_values().map(Ok))
        .try_for_each_concurrent(AT_ONCE, |event| async move {
            let state = repository.state(placement, Some(&event.stream)).await?;
            let version = state.stream.unwrap_or_default().version;
            if event.version == version.next() {
                return Ok(());
            }
            Err(invalid(format!(
                "the event at position {} has version {} of the stream {:?}, which is at version {version}",
                event.position, event.version, event.stream
            )))
        })
        .await
}

/// No id is recorded elsewhere in the topic.
///
/// A repository looks for ids where it decides on an append, so it is asked to decide on one that it is
/// sure to refuse: no stream ever has the version that it expects.
async fn check_ids(
    repository: &dyn EventRepository,
    placement: &Placement,
    events: &[RecordedEvent],
) -> Result<()> {
    let event_type = EventType::new("Import")?;
    let asked = events.iter().map(|event| BatchEvent {
        id: event.id,
        stream: StreamId::default(),
        event_type: event_type.clone(),
        payload: Bytes::new(),
        content_type: ContentType::JSON,
        metadata: Bytes::new(),
        tags: Tags::default(),
    });
    let batch = AppendBatch {
        stream: StreamId::default(),
        expected: ExpectedVersion::Exact(Version::MAX),
        condition: None,
        events: asked.collect(),
        beyond: None,
    };
    let position = match repository.append(placement, Arc::new(batch)).await {
        Err(Error::WrongExpectedVersion { .. } | Error::StreamDeleted { .. }) => return Ok(()),
        Ok(receipt) => receipt.first,
        Err(Error::IdempotencyConflict { position, .. }) => position,
        Err(error) => return Err(error),
    };
    Err(Error::IdempotencyConflict {
        reason: "at another position than they have in the import".to_owned(),
        position,
    })
}
