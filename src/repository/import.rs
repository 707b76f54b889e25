//! How an import goes on where others write too: what every adapter does around its own way to record
//! events as they are.

use std::sync::Arc;

use futures_util::StreamExt;

use super::{EventRepository, ReadPlan, sequence::importable};
use crate::models::{Error, Placement, Position, RecordedEvent, Result};

/// The events of an import that are left to be recorded.
#[derive(Clone, Debug)]
pub(crate) struct Rest {
    events: Arc<[RecordedEvent]>,
    from: usize,
}

/// What came of recording the rest, or its beginning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    /// The last event of the topic now.
    pub(crate) head: Position,
    /// How many events of the rest were recorded: none where the first of them was not the next.
    pub(crate) count: usize,
}

impl Rest {
    pub(crate) fn events(&self) -> &[RecordedEvent] {
        self.events.get(self.from..).unwrap_or_default()
    }

    /// The events, if the first of them follows the head.
    pub(crate) fn that_follow(&self, head: Position) -> &[RecordedEvent] {
        let events = self.events();
        match events.first() {
            Some(first) if first.position == head.next() => events,
            _ => &[],
        }
    }
}

/// Records events where `write` does it, which is called for what is left until nothing is.
///
/// Events at or below the head are skipped, and have to be those that are recorded there: positions never
/// change, so this holds whoever writes at the same time.
pub(crate) async fn import<W>(
    repository: &dyn EventRepository,
    placement: &Placement,
    events: Vec<RecordedEvent>,
    write: impl Fn(Rest) -> W + Send + Sync,
) -> Result<Position>
where
    W: Future<Output = Result<Written>> + Send,
{
    if let Some(first) = events.first() {
        // A gap in front of the first is found later.
        importable(&events, first.position.previous())?;
    }
    let mut rest = Rest {
        events: events.into(),
        from: 0,
    };
    loop {
        if rest.events().is_empty() && rest.from == 0 {
            return Ok(repository.state(placement, None).await?.head);
        }
        let Written { head, count } = write(rest.clone()).await?;
        rest.from += count;
        if count == 0 {
            let new = importable(rest.events(), head)?.len();
            let known = rest.events().len() - new;
            let skipped = rest.events().get(..known).unwrap_or_default();
            compare(repository, placement, skipped).await?;
            rest.from += known;
        }
        if rest.events().is_empty() {
            return Ok(head);
        }
    }
}

/// Refuses events other than those that are recorded at their positions. They follow one another.
pub(crate) async fn compare(
    repository: &dyn EventRepository,
    placement: &Placement,
    events: &[RecordedEvent],
) -> Result<()> {
    let (Some(first), Some(last)) = (events.first(), events.last()) else {
        return Ok(());
    };
    let plan = ReadPlan {
        up_to: last.position,
        include_deleted: true,
        ..ReadPlan::all_after(first.position.previous())
    };
    let mut left = events.iter();
    let mut pages = repository.read(placement, plan);
    while let Some(page) = pages.next().await {
        for recorded in page?.events {
            let Some(event) = left.next() else { break };
            if let Some(reason) = difference(event, &recorded) {
                return Err(Error::IdempotencyConflict {
                    reason,
                    position: event.position,
                });
            }
        }
    }
    Ok(())
}

/// How an event differs from the one that is recorded at its position. The name of the topic does not
/// count: an event may be imported into a topic of another name.
fn difference(event: &RecordedEvent, recorded: &RecordedEvent) -> Option<String> {
    if event.id != recorded.id || event.position != recorded.position {
        return Some(format!(
            "the event {} is to be at position {}, and {} is recorded there",
            event.id, event.position, recorded.id
        ));
    }
    let part = if event.stream != recorded.stream {
        "stream"
    } else if event.version != recorded.version {
        "version"
    } else if event.event_type != recorded.event_type {
        "type"
    } else if event.payload != recorded.payload {
        "payload"
    } else if event.content_type != recorded.content_type {
        "content type"
    } else if event.metadata != recorded.metadata {
        "metadata"
    } else if event.tags != recorded.tags {
        "tags"
    } else if event.recorded_at != recorded.recorded_at {
        "time"
    } else {
        return None;
    };
    Some(format!("the event {} has another {part}", event.id))
}
