//! Indexes events by walking through their segment: the tail of a topic when it is opened, or a
//! whole segment whose index file is missing or damaged.

use std::sync::Arc;

use parking_lot::RwLock;

use super::{
    disk,
    frame::SEGMENT_HEADER,
    part::{FilePart, Live, PartView},
    segment::{Files, Segment},
    walk::{Item, Stop, Walk, sealing, view},
};
use crate::{
    models::{Error, Position, Result, Timestamp, TopicName},
    repository::{parts::Parts, record::Malformed},
};

/// How much is read at once.
const STRIDE: usize = 1 << 20;

/// Where the walk begins and ends, and what is known before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begin<'a> {
    pub(super) topic: &'a TopicName,
    pub(super) files: &'a Files,
    pub(super) segment: &'a Segment,
    /// The parts before the walk, by which streams go on from where they were.
    pub(super) earlier: &'a [Arc<FilePart>],
    /// Where in the segment the walk begins, which is where a frame does.
    pub(super) at: u64,
    /// The position before the first event of the walk.
    pub(super) before: Position,
    /// Whether the topic is sealed there.
    pub(super) sealed: bool,
    pub(super) last_time: Timestamp,
}

/// What the walk has found.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) live: Live,
    pub(super) walked: Walked,
}

/// How far a walk came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walked {
    /// Where the last frame that is whole ends.
    pub(super) end: u64,
    pub(super) sealed: bool,
    pub(super) last_time: Timestamp,
    /// Where and why it could not go on, if that is not the end of the file.
    pub(super) stop: Option<(u64, Malformed)>,
}

/// Where a walk ends, if the segment does not end before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Until {
    /// At the frame of this event.
    pub(super) last: Position,
    /// At this offset.
    pub(super) offset: u64,
}

impl Until {
    /// As far as the segment goes.
    pub(super) const END: Self = Self {
        last: Position::MAX,
        offset: u64::MAX,
    };

    /// Until this event.
    pub(super) const fn event(last: Position) -> Self {
        Self { last, ..Self::END }
    }

    /// Until this offset.
    pub(super) const fn offset(offset: u64) -> Self {
        Self {
            offset,
            ..Self::END
        }
    }
}

impl<'a> Begin<'a> {
    /// The walk through a whole segment. A segment that begins while the topic is sealed says so
    /// in its first frame, and its base is no earlier than any event before it. The first segment
    /// has none before it; its base is when it was made.
    pub(super) fn whole(
        topic: &'a TopicName,
        files: &'a Files,
        segment: &'a Segment,
        earlier: &'a [Arc<FilePart>],
    ) -> Self {
        let first = segment.first == Position::START.next();
        Self {
            topic,
            files,
            segment,
            earlier,
            at: SEGMENT_HEADER as u64,
            before: segment.first.previous(),
            sealed: false,
            last_time: if first {
                Timestamp::from_micros(i64::MIN)
            } else {
                segment.base
            },
        }
    }

    /// Walks, and indexes what it meets.
    pub(super) fn walk(&self, until: Until) -> Result<Tail> {
        let live = RwLock::new(Live::new(self.before));
        let walked = self.walk_into(&live, until)?;
        Ok(Tail {
            live: live.into_inner(),
            walked,
        })
    }

    /// Walks, and adds what it meets to an index that others may be reading. A walk that fails
    /// adds nothing.
    pub(super) fn walk_into(&self, live: &RwLock<Live>, until: Until) -> Result<Walked> {
        let walked = self.add_to(live, until);
        if walked.is_err() {
            live.write().truncate(self.before);
        }
        walked
    }

    fn add_to(&self, live: &RwLock<Live>, until: Until) -> Result<Walked> {
        let file = self.segment.file(self.files)?;
        let views: Vec<_> = self
            .earlier
            .iter()
            .map(|part| PartView {
                part,
                topic: self.topic,
                files: self.files,
                unwritten: None,
            })
            .collect();
        let earlier = Parts {
            topic: self.topic,
            parts: &views,
            head: Position::MAX,
            sealed: false,
        };
        let mut walked = Walked {
            end: self.at,
            sealed: self.sealed,
            last_time: self.last_time,
            stop: None,
        };
        let mut walk = Walk::at_frame(self.segment, &file, self.at, self.before.next(), STRIDE);
        let mut time = self.last_time;
        let mut sealed = self.sealed;
        while walk.next_position() <= until.last && walk.frame_start() < until.offset
            || !walk.between_frames()
        {
            match self.step(&mut walk, live, &earlier, &mut time, &mut sealed) {
                Ok(true) => {}
                Ok(false) => break,
                Err(Halt::Stop(Stop::Bad { offset, reason })) => {
                    walked.stop = Some((offset, reason));
                    break;
                }
                Err(Halt::Stop(Stop::Io(error))) => {
                    return Err(self.files.failed("read", &self.segment.path, error));
                }
                Err(Halt::Failed(error)) => return Err(error),
            }
            if walk.between_frames() {
                (walked.end, walked.last_time, walked.sealed) = (walk.offset(), time, sealed);
            }
        }
        // The records of a frame that is not whole were indexed on the way.
        let mut live = live.write();
        let whole = live
            .offsets
            .partition_point(|offset| u64::from(*offset) < walked.end);
        let last = live.index.before().forward(whole as u64);
        live.truncate(last);
        Ok(walked)
    }

    /// Goes on by one item; `false` at the end of the segment.
    fn step(
        &self,
        walk: &mut Walk<'_>,
        live: &RwLock<Live>,
        earlier: &Parts<'_, PartView<'_>>,
        time: &mut Timestamp,
        sealed: &mut bool,
    ) -> Result<bool, Halt> {
        match walk.step().map_err(Halt::Stop)? {
            None => return Ok(false),
            Some(Item::Frame(header)) => *sealed = sealing(header.kind).unwrap_or(*sealed),
            Some(Item::Record {
                offset, content, ..
            }) => {
                let record = view(content, self.segment, offset).map_err(Halt::Stop)?;
                *time = (*time).max(record.recorded_at);
                let mut live = live.write();
                live.index
                    .push(&record, || earlier.stream_state(record.stream))
                    .map_err(Halt::Failed)?;
                live.offsets.push(offset as u32);
            }
        }
        Ok(true)
    }
}

/// Why a walk ends early.
enum Halt {
    Stop(Stop),
    Failed(Error),
}

/// Turns a walk that did not reach what is known to be there into an error.
pub(super) fn must_reach(tail: &Tail, segment: &Segment, last: Position) -> Result<()> {
    if tail.live.index.last() >= last {
        return Ok(());
    }
    let (offset, reason) = tail
        .walked
        .stop
        .unwrap_or((tail.walked.end, "the segment ends before its last event"));
    Err(disk::corruption(&segment.path, offset, reason))
}
