//! Reads and checks everything that is stored for a topic.

use super::{
    disk,
    frame::SEGMENT_HEADER,
    log::Log,
    part::PartIndex,
    segment::Segment,
    walk::{Item, Stop, Walk, view},
};
use crate::{
    models::{Position, Result},
    repository::{
        Verified,
        index::Span,
        parts::{Part as _, Probe},
    },
};

/// How much is read at once.
const STRIDE: usize = 1 << 20;

/// Walks through every segment and every index file, and checks that each index leads to the
/// events that are there. Blocks.
pub(super) fn verify(log: &Log) -> Result<Verified> {
    log.refresh()?;
    let published = log.published()?;
    let mut verified = Verified::default();
    let mut position = Position::START;
    let mut segment: Option<&Segment> = None;
    for part in published.parts.iter() {
        if let PartIndex::Stored(index) = &part.index {
            verified.bytes += index.verify()?;
            verified.parts += 1;
        }
        if segment.is_some_and(|before| before.first == part.segment.first) {
            continue;
        }
        segment = Some(&part.segment);
        let last = published
            .parts
            .iter()
            .filter(|other| other.segment.first == part.segment.first)
            .map(|other| other.last())
            .max()
            .unwrap_or_default()
            .min(published.head);
        position = walk(log, &part.segment, last, &mut verified)?;
        verified.parts += 1;
    }
    if position < published.head {
        return Err(disk::corruption(
            &log.path,
            0,
            format!("the log ends at position {position}"),
        ));
    }
    check_indexes(log, published.head)?;
    Ok(verified)
}

fn walk(log: &Log, segment: &Segment, last: Position, verified: &mut Verified) -> Result<Position> {
    let stopped = |stop| match stop {
        Stop::Bad { offset, reason } => disk::corruption(&segment.path, offset, reason),
        Stop::Io(error) => log.files.failed("read", &segment.path, error),
    };
    // The header is checked again as it is on the disk now.
    let opened = Segment::open(&log.path, log.storage, segment.first, &log.files)?;
    let file = opened.file(&log.files)?;
    let mut walk = Walk::at_frame(&opened, &file, SEGMENT_HEADER as u64, segment.first, STRIDE);
    while walk.next_position() <= last || !walk.between_frames() {
        match walk.step().map_err(stopped)? {
            Some(Item::Record {
                offset, content, ..
            }) => {
                view(content, segment, offset).map_err(stopped)?;
                verified.events += 1;
            }
            Some(Item::Frame(_)) => {}
            None => {
                let reason = "the segment ends before its last event";
                return Err(disk::corruption(&segment.path, walk.offset(), reason));
            }
        }
    }
    verified.bytes += walk.offset();
    Ok(walk.next_position().previous())
}

/// Looks up every event by its id and in its stream.
fn check_indexes(log: &Log, head: Position) -> Result<()> {
    let published = log.published()?;
    for part in published.parts.iter() {
        let part_view = log.view(part);
        let mut after = part.before();
        while after < part.last().min(head) {
            let span = Span {
                after,
                up_to: part.last().min(head),
                backward: false,
            };
            let mut events = Vec::new();
            part_view.scan(&span, &mut events)?;
            let Some(last) = events.last() else { break };
            after = last.position;
            for event in &events {
                let by_id = part_view.position_of(&Probe::new(event.id))?;
                let by_version = part_view
                    .position_of_version(event.stream.as_str().as_bytes(), event.version)?;
                if by_id != Some(event.position) || by_version != Some(event.position) {
                    let reason = format!("the index does not lead to position {}", event.position);
                    return Err(disk::corruption(&part.segment.path, 0, reason));
                }
            }
        }
    }
    Ok(())
}
