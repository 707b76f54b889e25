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

/// Writes the index file of a segment that is full, up to `last`, which is its last event.
pub(super) fn finish(log: &Log, segment: &Arc<Segment>, last: Position) {
    match build(log, segment, last) {
        Ok(true) => {
            tracing::debug!(topic = %log.topic, segment = %segment.first, "segment indexed")
        }
        // It stays in memory, and is tried again at the next open.
        Ok(false) => {}
        Err(error) => {
            tracing::warn!(topic = %log.topic, segment = %segment.first, %error, "segment not indexed")
        }
    }
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
        PartIndex::Stored,
    );
    let part = FilePart {
        segment: Arc::clone(segment),
        index,
    };
    log.published
        .send_modify(|published| published.replace_parts(part));
    Ok(in_file)
}

/// Writes the index file of the last segment at close, so that the next open need not read it.
pub(super) fn store_tail(
    log: &Log,
    part: &FilePart,
    covered: u64,
    sealed: bool,
    last_time: Timestamp,
) {
    let PartIndex::Live(live) = &part.index else {
        return;
    };
    let live = live.read();
    // An index file begins with its segment. Where it would not, all of it is walked through.
    if live.index.before() == part.segment.first.previous() {
        drop(write_file(
            log,
            &part.segment,
            &Run {
                live: &live,
                covered,
                sealed,
                last_time,
            },
        ));
        return;
    }
    let last = live.index.last();
    drop(live);
    finish(log, &part.segment, last);
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
