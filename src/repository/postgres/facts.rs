//! What comes of an append that the server did not write: [`decide`] says it, on what was found.
//!
//! The server writes an append where nothing at all speaks against it. Which of several reasons
//! counts, and whether the append is recognised, is decided here, by the one law of all adapters.

use std::{collections::BTreeMap, sync::Arc};

use uuid::Uuid;

use super::{
    codec::number,
    group::{Facts, run_of},
    reader::scan,
    shared::Shared,
    topic::Core,
};
use crate::{
    models::{
        AppendReceipt, Error, EventFilter, Position, RecordedEvent, Result, StreamId, StreamState,
        TopicName, Version,
    },
    repository::{AppendBatch, LogView, Verdict, decide},
};

/// A topic as far as one append has to do with it, at the moment when it was refused.
struct Found<'a> {
    core: &'a Core,
    batch: &'a AppendBatch,
    facts: &'a Facts,
    recorded: BTreeMap<Position, RecordedEvent>,
}

/// What comes of an append that was refused on these facts.
pub(super) async fn settle(
    shared: &Arc<Shared>,
    core: &Arc<Core>,
    batch: &AppendBatch,
    facts: &Facts,
) -> Result<AppendReceipt> {
    let found = Found {
        core,
        batch,
        facts,
        recorded: recorded(shared, core, batch, facts).await?,
    };
    match decide(&found, batch)? {
        Verdict::Duplicate(receipt) => Ok(receipt),
        Verdict::Write(_) => Err(Error::Corruption {
            place: core.names.place(),
            reason: "the table's function refused an append for no reason".to_owned(),
        }),
    }
}

/// The events that are recorded under the ids of the batch, as far as they have to be looked at:
/// up to the first that differs. An event never changes, so it can be read afterwards.
async fn recorded(
    shared: &Arc<Shared>,
    core: &Arc<Core>,
    batch: &AppendBatch,
    facts: &Facts,
) -> Result<BTreeMap<Position, RecordedEvent>> {
    let mut recorded = BTreeMap::new();
    let Some((first, last)) = run_of(facts).filter(|_| !facts.sealed) else {
        return Ok(recorded);
    };
    let mut given = batch.events.iter();
    let mut after = first.saturating_sub(1);
    while after < last {
        let events = scan(shared, core, after, last).await?;
        let before = after;
        for (event, given) in events.into_iter().zip(&mut given) {
            after = event.position.get();
            let same = given.is_recorded_as(&event);
            recorded.insert(event.position, event);
            if !same {
                return Ok(recorded);
            }
        }
        if after == before {
            break;
        }
    }
    Ok(recorded)
}

impl LogView for Found<'_> {
    fn topic(&self) -> &TopicName {
        &self.core.topic
    }

    fn is_sealed(&self) -> bool {
        self.facts.sealed
    }

    fn position_of(&self, id: Uuid) -> Result<Option<Position>> {
        let at = self.batch.events.iter().position(|event| event.id == id);
        let known = match at {
            Some(at) => self.facts.known.get(at).copied().flatten(),
            None => self.facts.known_beyond,
        };
        Ok(known.map(|position| Position::new(number(position))))
    }

    fn event_at(&self, position: Position) -> Result<RecordedEvent> {
        self.recorded
            .get(&position)
            .cloned()
            .ok_or_else(|| Error::Corruption {
                place: format!("{}, position {position}", self.core.names.place()),
                reason: "an index names an event that is not there".to_owned(),
            })
    }

    fn stream(&self, stream: &StreamId) -> Result<StreamState> {
        if *stream == self.batch.stream {
            let version = Version::new(self.facts.own_version);
            return Ok(StreamState::new(version, self.facts.own_deleted));
        }
        let at = self
            .batch
            .events
            .iter()
            .position(|event| event.stream == *stream);
        let of = |at: usize| {
            let version = self.facts.versions.get(at)?;
            Some(StreamState::new(
                Version::new(number(*version)),
                *self.facts.deleted.get(at)?,
            ))
        };
        Ok(at.and_then(of).unwrap_or_default())
    }

    fn first_match(&self, _: &EventFilter, _: Position) -> Result<Option<Position>> {
        // Only the batch's own condition is ever asked for.
        Ok(self
            .facts
            .matched
            .map(|position| Position::new(number(position))))
    }
}
