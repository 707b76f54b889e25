//! Follows a topic that another process writes: read-only stores.
//!
//! The writer marks how far its log goes before it acknowledges anything, so whoever reads the
//! mark sees all that is acknowledged. The follower walks from where it is to the mark.

use std::{fs::File, io, sync::Arc};

use super::{
    disk,
    frame::epoch,
    index_file::IndexFile,
    layout,
    log::{Log, Published, Standing},
    mark::Mark,
    part::{FilePart, PartIndex},
    recovery::Recovered,
    segment::Segment,
    tail::{Begin, Until, Walked},
};
use crate::models::{Position, Result, Timestamp};

/// Where a follower is.
#[derive(Debug)]
pub(super) struct Follower {
    mark_file: Option<File>,
    /// The mark up to which it has come.
    sequence: u64,
    segment: Arc<Segment>,
    end: u64,
    sealed: bool,
    last_time: Timestamp,
}

impl Follower {
    /// Begins where the topic was when it was opened.
    pub(super) fn new(found: &Recovered) -> Self {
        Self {
            mark_file: None,
            sequence: found.mark.sequence.saturating_sub(1),
            segment: Arc::clone(&found.segment),
            end: found.end,
            sealed: found.sealed,
            last_time: found.last_time,
        }
    }

    /// Walks on to the mark and publishes what is there. Blocks.
    pub(super) fn catch_up(&mut self, log: &Log) -> Result<()> {
        if log.published.borrow().standing != Standing::Open {
            return Ok(());
        }
        let Some(mark) = self.read_mark(log)? else {
            return Ok(());
        };
        while self.segment.first < mark.segment {
            let head = self.walk(log, Until::END)?;
            self.next_segment(log, head)?;
        }
        let head = self.walk(log, Until::offset(mark.end))?;
        self.sequence = mark.sequence;
        let sealed = self.sealed;
        log.published.send_if_modified(|published| {
            let changed = published.head < head || published.sealed != sealed;
            published.head = published.head.max(head);
            published.sealed = sealed;
            changed
        });
        Ok(())
    }

    /// The mark, where it is a new one and leads further on.
    fn read_mark(&mut self, log: &Log) -> Result<Option<Mark>> {
        let path = layout::mark_path(&log.path);
        let failed = |error| log.files.failed("read", &path, error);
        if self.mark_file.is_none() {
            self.mark_file = match File::open(&path) {
                // Where the whole storage is gone, the topic was purged, which the caller finds out.
                Err(error) if error.kind() == io::ErrorKind::NotFound && log.path.is_dir() => {
                    // Without it nobody knows what a process that writes has acknowledged.
                    let lock = log.path.ancestors().nth(2).map(layout::lock_path);
                    let writes = lock.map_or(Ok(false), |lock| disk::is_locked(&lock));
                    if writes.map_err(failed)? {
                        return Err(disk::corruption(&path, 0, "the mark is missing"));
                    }
                    return Ok(None);
                }
                opened => Some(opened.map_err(failed)?),
            };
        }
        let Some(file) = &self.mark_file else {
            return Ok(None);
        };
        let mark = Mark::read(file, epoch(log.storage, Position::START)).map_err(failed)?;
        let here = (self.segment.first, self.end);
        Ok(mark.filter(|mark| mark.sequence > self.sequence && (mark.segment, mark.end) > here))
    }

    /// Indexes what is between here and there. An index file that turns out to be damaged is made anew;
    /// a disk that damages it again is not asked for ever.
    fn walk(&mut self, log: &Log, until: Until) -> Result<Position> {
        for _ in 0..log.parts().len() * 2 {
            let walked = self.walk_once(log, until);
            let parts = log.parts();
            let mut earlier = parts.iter().rev().skip(1);
            if walked.is_ok() || !earlier.any(|part| part.is_damaged()) {
                return walked;
            }
            log.heal()?;
        }
        self.walk_once(log, until)
    }

    fn walk_once(&mut self, log: &Log, until: Until) -> Result<Position> {
        let parts = log.parts();
        let Some((part, earlier)) = parts.split_last() else {
            return Ok(Position::START);
        };
        let PartIndex::Live(live) = &part.index else {
            return Ok(part.last());
        };
        let begin = Begin {
            topic: &log.topic,
            files: &log.files,
            segment: &self.segment,
            earlier,
            at: self.end,
            before: part.last(),
            sealed: self.sealed,
            last_time: self.last_time,
        };
        let Walked {
            end,
            sealed,
            last_time,
            stop,
        } = begin.walk_into(live, until)?;
        (self.end, self.sealed, self.last_time) = (end, sealed, last_time);
        let short = until.offset != u64::MAX && end < until.offset;
        match stop {
            Some((offset, reason)) => Err(disk::corruption(&self.segment.path, offset, reason)),
            None if short => Err(disk::corruption(
                &self.segment.path,
                end,
                "the segment is shorter than its mark",
            )),
            None => Ok(part.last()),
        }
    }

    /// Goes on to the segment that follows. The one behind may have its index file by now.
    fn next_segment(&mut self, log: &Log, head: Position) -> Result<()> {
        let behind = Arc::clone(&self.segment);
        let next = Segment::open(&log.path, log.storage, head.next(), &log.files)?;
        self.segment = Arc::new(next);
        self.end = super::frame::SEGMENT_HEADER as u64;
        let part = FilePart::live(&self.segment, head);
        let stored = IndexFile::open(
            &layout::index_path(&log.path, behind.first),
            &behind,
            &log.files,
        );
        let full = |published: &mut Published| {
            if let Ok(index) = stored
                && index.last() == head
            {
                published.replace_parts(FilePart {
                    segment: behind,
                    index: PartIndex::Stored(Box::new(index)),
                });
            }
            published.add_part(part);
        };
        log.published.send_modify(full);
        Ok(())
    }
}
