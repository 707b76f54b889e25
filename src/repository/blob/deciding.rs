//! Decides on appends by what is known of the topic, and stages those that are to be recorded.

use bytes::{Bytes, BytesMut};
use uuid::Uuid;

use super::{
    core::Core,
    desk::{Desk, Fetched, Wanted},
    failure::Failure,
    part::BlobPart,
    request::{Checked, Request, unchecked},
    view::View,
};
use crate::{
    models::{
        AppendReceipt, EventFilter, Position, RecordedEvent, Result, StreamId, StreamState,
        TopicName,
    },
    repository::{
        AppendBatch, LogView, Verdict, chunk::write_records, decide, parts::Parts,
        record::RecordView, sequence::records,
    },
};

/// What was decided on a group of appends.
#[derive(Debug, Default)]
pub(super) struct Decided {
    /// Those of which the events are staged, and what they are told once these are recorded.
    pub(super) staged: Vec<(Request, AppendReceipt)>,
    /// Those that were recorded before.
    pub(super) known: Vec<(Request, AppendReceipt)>,
    /// Those that are refused, if nothing came meanwhile that this process does not know of.
    pub(super) refused: Vec<(Request, crate::models::Error)>,
    /// Those that cannot be decided on yet, and what is needed for it.
    pub(super) lacking: Vec<(Request, Lack)>,
    /// The records, as they go into the slot.
    pub(super) chunks: Vec<Bytes>,
}

/// What is needed to decide on an append.
#[derive(Debug)]
pub(super) enum Lack {
    Blocks(Wanted),
    /// Its condition is to be checked after a position, up to the end of the segments.
    Check(EventFilter, Position, Position),
}

/// A topic as the law sees it, with what was checked before.
struct Checking<'a, 'b> {
    topic: &'a Parts<'a, BlobPart<'b>>,
    checked: Checked,
}

impl LogView for Checking<'_, '_> {
    fn topic(&self) -> &TopicName {
        self.topic.topic()
    }

    fn is_sealed(&self) -> bool {
        self.topic.is_sealed()
    }

    fn position_of(&self, id: Uuid) -> Result<Option<Position>> {
        self.topic.position_of(id)
    }

    fn event_at(&self, position: Position) -> Result<RecordedEvent> {
        self.topic.event_at(position)
    }

    fn stream(&self, stream: &StreamId) -> Result<StreamState> {
        self.topic.stream(stream)
    }

    fn first_match(&self, filter: &EventFilter, after: Position) -> Result<Option<Position>> {
        match self.checked.matched {
            Some(matched) => Ok(Some(matched)),
            None => self
                .topic
                .first_match(filter, after.max(self.checked.up_to)),
        }
    }
}

/// Decides on each of the requests, in order.
pub(super) fn decide_all(core: &Core, view: &mut View, mut requests: Vec<Request>) -> Decided {
    let mut decided = Decided::default();
    let snapshot = view.snapshot();
    let segments_end = snapshot.segments_end();
    let mut fetched = Fetched::default();
    for request in &mut requests {
        fetched.extend(std::mem::take(&mut request.fetched));
    }
    let desk = Desk::new(&core.shared.caches, &fetched);
    let streams = std::sync::Arc::clone(&view.streams);
    let parts = snapshot.parts_to_decide(&core.topic, &desk, &streams);
    let mut block = BytesMut::new();
    for request in requests {
        if let Some((filter, after)) = unchecked(&request.batch, request.checked, segments_end) {
            let lack = Lack::Check(filter, after, segments_end);
            decided.lacking.push((request, lack));
            continue;
        }
        let topic = Parts {
            topic: &core.topic,
            parts: &parts,
            head: view.staged_head(),
            sealed: view.sealed,
        };
        let law = Checking {
            topic: &topic,
            checked: request.checked,
        };
        let batch = std::sync::Arc::clone(&request.batch);
        let now = request.now.max(view.staged_time());
        let admitted = decide(&law, &batch).and_then(|verdict| match verdict {
            Verdict::Duplicate(receipt) => Ok(Err(receipt)),
            Verdict::Write(state) => records(&topic, &batch, state.version, now).map(Ok),
        });
        let wanted = desk.take_wanted();
        if !wanted.is_empty() {
            decided.lacking.push((request, Lack::Blocks(wanted)));
            continue;
        }
        match admitted {
            Err(error) => decided.refused.push((request, error)),
            Ok(Err(receipt)) => decided.known.push((request, receipt)),
            Ok(Ok((views, version))) => {
                let first = view.staged_head().next();
                match stage(view, &mut block, &views, &mut decided.chunks) {
                    Ok(last) => {
                        let receipt = AppendReceipt::new(first, last, version);
                        decided.staged.push((request, receipt));
                    }
                    Err(failure) => decided.refused.push((request, core.error(failure))),
                }
            }
        }
    }
    decided
}

/// Writes records, and stages them.
pub(super) fn stage(
    view: &mut View,
    block: &mut BytesMut,
    views: &[RecordView<'_>],
    chunks: &mut Vec<Bytes>,
) -> Result<Position, Failure> {
    let starts = write_records(block, views, view.manifest.base);
    let chunk = block.split().freeze();
    view.stage(chunk.clone(), &starts, views)?;
    chunks.push(chunk);
    Ok(view.staged_head())
}

/// How many bytes an append takes in a slot, at most.
pub(super) fn weight(batch: &AppendBatch) -> usize {
    let of_event = |event: &crate::repository::BatchEvent| {
        let view = RecordView::of_batch(event, Default::default(), Default::default());
        view.size_bound() + 4
    };
    batch.events.iter().map(of_event).sum()
}
