//! Gives a segment its index file: when it is full, at close, or when the one it had is damaged.

use std::sync::Arc;

use super::{
    index_file::{self, IndexFile, Source},
    layout,
    log::Log,
    part::{FilePart, Live, PartIndex},
    segment::Segment,
    tail::{Begin, Until, must_reach},
};
use crate::models::{Position, Result, Timestamp};

/// What an index file is to cover.
#[derive(Debug)]
struct Run<'a> {
    live: &'a Live,
    covered: u64,
    sealed: bool,
    last_time: Timestamp,
}

/// Indexes a segment anew from its first event to the last that its parts have now, but for those
/// that are in memory, and writes the index file. Where it cannot be written, the index stays in
/// memory.
pub(super) fn reindex(log: &Log, segment: &Arc<Segment>) -> Result<()> {
    let parts = log.parts();
    let stored = |part: &&Arc<FilePart>| matches!(part.index, PartIndex::Stored(_));
    let Some(last) = parts
        .iter()
        .filter(|part| part.segment.first == segment.first)
        .filter(stored)
        .map(|part| part.last())
        .max()
    else {
        return Ok(());
    };
    build(log, segment, last).map(drop)
}

/// How far a segment goes that is to get its index file.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    /// Its last event.
    pub(super) last: Position,
    /// Where it ends.
    pub(super) offset: u64,
    /// Whether the topic is sealed there.
    pub(super) sealed: bool,
    /// The latest time so far.
    pub(super) last_time: Timestamp,
}

/// Gives a segment its index file: one that is full, or the last one at close, so that the next
/// open need not read it. Where that fails, the index stays in memory, and is tried again at the
/// next open.
pub(super) fn finish(log: &Log, segment: &Arc<Segment>, end: End) {
    let finished = match whole_in_memory(log, segment, end) {
        Some(part) => Ok(store(log, &part, end)),
        None => build(log, segment, end.last),
    };
    if let Err(error) = finished {
        tracing::warn!(topic = %log.topic, segment = %segment.first, %error, "segment not indexed");
    }
}

/// The part of a segment, if there is just one, in memory.
fn whole_in_memory(log: &Log, segment: &Segment, end: End) -> Option<Arc<FilePart>> {
    let parts = log.parts();
    let mut of_segment = parts
        .iter()
        .filter(|part| part.segment.first == segment.first);
    let part = of_segment.next().filter(|_| of_segment.next().is_none())?;
    let whole = part.before() == segment.first.previous() && part.last() == end.last;
    (whole && matches!(part.index, PartIndex::Live(_))).then(|| Arc::clone(part))
}

/// Writes an index that is in memory into a file, and tells whether it is there.
fn store(log: &Log, part: &FilePart, end: End) -> bool {
    let PartIndex::Live(live) = &part.index else {
        return true;
    };
    let live = live.read();
    let run = Run {
        live: &live,
        covered: end.offset,
        sealed: end.sealed,
        last_time: end.last_time,
    };
    let stored = write_file(log, &part.segment, &run);
    drop(live);
    let Some(index) = stored else { return false };
    let part = FilePart {
        segment: Arc::clone(&part.segment),
        index: PartIndex::Stored(Box::new(index)),
    };
    log.published
        .send_modify(|published| published.replace_parts(part));
    true
}

/// Indexes the segment up to `last` and puts the index in place of what there was. Tells whether
/// it is in a file now.
fn build(log: &Log, segment: &Arc<Segment>, last: Position) -> Result<bool> {
    let parts = log.parts();
    let earlier = parts
        .iter()
        .take_while(|part| part.segment.first < segment.first)
        .count();
    let earlier = parts.get(..earlier).unwrap_or_default();
    let tail = Begin::whole(&log.topic, &log.files, segment, earlier).walk(Until::event(last))?;
    must_reach(&tail, segment, last)?;
    let run = Run {
        live: &tail.live,
        covered: tail.walked.end,
        sealed: tail.walked.sealed,
        last_time: tail.walked.last_time,
    };
    let stored = match log.role {
        super::log::Role::Writes(_) => write_file(log, segment, &run),
        super::log::Role::Follows(_) => None,
    };
    let in_file = stored.is_some();
    let index = stored.map_or_else(
        || PartIndex::Live(parking_lot::RwLock::new(tail.live)),
        |index| PartIndex::Stored(Box::new(index)),
    );
    let part = FilePart {
        segment: Arc::clone(segment),
        index,
    };
    log.published
        .send_modify(|published| published.replace_parts(part));
    Ok(in_file)
}

/// Writes an index file and opens it; none where that fails, which is logged: an index can always
/// be made again.
fn write_file(log: &Log, segment: &Segment, run: &Run<'_>) -> Option<IndexFile> {
    let path = layout::index_path(&log.path, segment.first);
    let source = Source {
        segment,
        index: &run.live.index,
        offsets: &run.live.offsets,
        covered: run.covered,
        sealed: run.sealed,
        last_time: run.last_time,
    };
    let written = index_file::write(&path, &source)
        .map_err(|error| log.files.failed("write", &path, error))
        .and_then(|()| IndexFile::open(&path, segment, &log.files));
    match written {
        Ok(index) => Some(index),
        Err(error) => {
            tracing::warn!(topic = %log.topic, segment = %segment.first, %error, "index file not written");
            None
        }
    }
}
