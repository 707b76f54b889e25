//! Writes groups of appends: decides on each, writes all with one write and one sync, makes them
//! visible, and only then tells whoever waits.
//!
//! After a failed write the file is cut back to where it was, and nothing was written. After a
//! failed sync nobody can know what is durable: the writer is poisoned, and nothing more is
//! acknowledged until the repository is opened anew.

use std::{
    fs::File,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    disk,
    failure::{Failure, failure},
    frame::{FrameKind, SEGMENT_HEADER, SegmentHeader, epoch, write_frame},
    layout,
    log::{Log, Published},
    mark::Mark,
    options::SyncMode,
    part::{FilePart, PartIndex},
    seal_segment::{self, End},
    segment::Segment,
    stage::{Outcome, Staged},
    writer::{Request, Writer},
};
use crate::models::{Error, Position, Result, Timestamp};

/// An index in memory with fewer events is not worth a file at close.
const WORTH_STORING: usize = 4096;

/// What the thread that writes works on.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) segment: Arc<Segment>,
    pub(super) file: File,
    pub(super) mark_file: File,
    pub(super) mark: Mark,
    pub(super) head: Position,
    pub(super) sealed: bool,
    pub(super) last_time: Timestamp,
    /// Where in the segment the log ends, and up to where it is durable.
    pub(super) end: u64,
    pub(super) durable: u64,
    pub(super) sync_pending: bool,
    /// The storage was removed.
    pub(super) removed: bool,
    /// Kept from one group to the next, so that it need not grow anew.
    pub(super) buffer: Vec<u8>,
    /// How long the sync of this group took.
    pub(super) sync_took: Option<Duration>,
}

/// What was written at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    /// How many requests there were when it was answered, in the group or waiting behind it.
    pub(super) clients: usize,
    /// How long the sync took, if there was one.
    pub(super) sync: Option<Duration>,
}

impl Core {
    /// Decides on a group of requests, writes it, and answers them.
    pub(super) fn write_group(
        &mut self,
        log: &Arc<Log>,
        writer: &Writer,
        group: Vec<Request>,
    ) -> Written {
        self.sync_took = None;
        let requests = group.len();
        let options = *writer.options.lock();
        let writes = group.iter().any(Request::writes);
        let refused = self.refusal(log, writer).or_else(|| {
            let rolled = if writes {
                self.roll(log, writer, options.segment_bytes)
            } else {
                Ok(())
            };
            rolled.err().map(failure)
        });
        let mut staged = Staged {
            bytes: std::mem::take(&mut self.buffer),
            head: self.head,
            sealed: self.sealed,
            last_time: self.last_time,
            outcomes: Vec::with_capacity(group.len()),
            permits: Vec::with_capacity(group.len()),
            finish: false,
            sync: options.sync == SyncMode::Always,
        };
        let published = log.published.borrow().clone();
        for request in group {
            let reply = self.stage_request(log, &published, &mut staged, request, refused.as_ref());
            if let Some(reply) = reply {
                let depends = !staged.bytes.is_empty();
                staged.outcomes.push(Outcome { reply, depends });
            }
        }
        let finish = staged.finish;
        let permits = std::mem::take(&mut staged.permits);
        let outcomes = match refused {
            Some(_) => staged.outcomes,
            None => self.write(log, writer, staged),
        };
        if finish {
            self.close(log);
        }
        self.plan_sync(log, writer, options.sync);
        drop(permits);
        let written = Written {
            clients: requests + writer.waiting(),
            sync: self.sync_took,
        };
        outcomes
            .into_iter()
            .for_each(|outcome| outcome.reply.send());
        written
    }

    /// Sees to it that what was written without a sync is synced in time.
    fn plan_sync(&mut self, log: &Arc<Log>, writer: &Writer, mode: SyncMode) {
        if let SyncMode::Interval(delay) = mode
            && self.durable < self.end
            && !self.sync_pending
        {
            let later = Arc::clone(log);
            let planned = writer.workers.submit_after(delay, move || later.sync_now());
            self.sync_pending = planned.is_ok();
        }
    }

    /// Why nothing can be written, if so.
    fn refusal(&self, log: &Log, writer: &Writer) -> Option<Failure> {
        if self.removed {
            return Some(Failure::Gone(log.topic.to_string()));
        }
        let poisoned = writer.poisoned.lock().clone()?;
        Some(Failure::Unavailable {
            repository: log.files.repository.clone(),
            reason: format!(
                "topic {} takes no appends until it is opened anew: {poisoned}",
                log.topic
            ),
            source: None,
        })
    }

    /// Begins a new segment if this one is full.
    fn roll(&mut self, log: &Arc<Log>, writer: &Writer, segment_bytes: u64) -> Result<()> {
        if self.end < segment_bytes || self.head < self.segment.first {
            return Ok(());
        }
        let full = Arc::clone(&self.segment);
        if self.durable < self.end {
            self.sync(log, writer)?;
        }
        let end = self.segment_end();
        let header = SegmentHeader {
            storage: log.storage,
            first: self.head.next(),
            base: self.last_time,
        };
        let mut frames = Vec::new();
        if self.sealed {
            write_frame(
                &mut frames,
                (epoch(log.storage, header.first), header.base),
                self.frame(FrameKind::Seal, header.first, SEGMENT_HEADER as u64),
                &[],
                |_| {},
            );
        }
        let path = layout::segment_path(&log.path, header.first);
        let file = layout::make_segment(&log.path, &header, &frames)
            .map_err(|error| log.files.failed("make", &path, error))?;
        self.segment = Arc::new(Segment::new(&log.path, &header));
        self.file = file;
        self.end = (SEGMENT_HEADER + frames.len()) as u64;
        self.durable = self.end;
        let part = FilePart::live(&self.segment, self.head);
        log.published
            .send_modify(|published| published.add_part(part));
        let log = Arc::clone(log);
        if let Err(error) = writer
            .workers
            .submit(move || seal_segment::finish(&log, &full, end))
        {
            tracing::warn!(%error, "no thread to index a full segment; it stays in memory");
        }
        Ok(())
    }

    const fn segment_end(&self) -> End {
        End {
            last: self.head,
            offset: self.end,
            sealed: self.sealed,
            last_time: self.last_time,
        }
    }

    /// Writes a group and makes it visible.
    fn write(&mut self, log: &Arc<Log>, writer: &Writer, mut staged: Staged) -> Vec<Outcome> {
        let outcomes = std::mem::take(&mut staged.outcomes);
        if let Err(error) = self.write_bytes(log, writer, &staged) {
            let why = failure(error);
            staged.bytes.clear();
            self.buffer = staged.bytes;
            let fail = |outcome: Outcome| {
                let reply = if outcome.depends || staged.finish {
                    outcome.reply.fail(why.error())
                } else {
                    outcome.reply
                };
                Outcome { reply, ..outcome }
            };
            return outcomes.into_iter().map(fail).collect();
        }
        self.head = staged.head;
        self.sealed = staged.sealed;
        self.last_time = staged.last_time;
        staged.bytes.clear();
        self.buffer = staged.bytes;
        // A large group must not leave its memory with every topic for ever.
        self.buffer.shrink_to(1 << 20);
        let (head, sealed) = (self.head, self.sealed);
        log.published.send_if_modified(|published| {
            let changed = published.head != head || published.sealed != sealed;
            published.head = head;
            published.sealed = sealed;
            // Who subscribes from now on looks at the head before waiting for it to change.
            changed && log.published.receiver_count() > 0
        });
        outcomes
    }

    fn write_bytes(&mut self, log: &Arc<Log>, writer: &Writer, staged: &Staged) -> Result<()> {
        if !staged.bytes.is_empty() {
            if let Err(error) = disk::write_at(&self.file, self.end, &staged.bytes) {
                return Err(self.take_back(log, writer, error));
            }
            self.end += staged.bytes.len() as u64;
        }
        let wrote = !staged.bytes.is_empty();
        let synced = staged.sync && self.durable < self.end;
        if synced {
            self.sync(log, writer)?;
        }
        if wrote || synced {
            self.put_mark(log, writer, staged.head, false)?;
        }
        Ok(())
    }

    /// Cuts off what a failed write has left. Nothing was written if that succeeds.
    fn take_back(&self, log: &Log, writer: &Writer, error: io::Error) -> Error {
        let cut = self
            .file
            .set_len(self.end)
            .and_then(|()| self.file.sync_all());
        if let Err(cut) = cut {
            return self.poison(
                log,
                writer,
                "a write failed and could not be taken back",
                cut,
            );
        }
        if let Some(PartIndex::Live(live)) =
            log.published.borrow().parts.last().map(|part| &part.index)
        {
            live.write().truncate(self.head);
        }
        log.files.failed("write", &self.segment.path, error)
    }

    fn sync(&mut self, log: &Log, writer: &Writer) -> Result<()> {
        let begin = Instant::now();
        self.file
            .sync_data()
            .map_err(|error| self.poison(log, writer, "a sync failed", error))?;
        self.durable = self.end;
        self.sync_took = Some(begin.elapsed());
        Ok(())
    }

    /// Writes down how far the log goes, for other processes and for the next open.
    fn put_mark(&mut self, log: &Log, writer: &Writer, head: Position, clean: bool) -> Result<()> {
        self.mark = Mark {
            sequence: self.mark.sequence + 1,
            head,
            segment: self.segment.first,
            end: self.end,
            durable: self.durable,
            clean,
        };
        self.mark
            .write(&self.mark_file, epoch(log.storage, Position::START))
            .map_err(|error| self.poison(log, writer, "the mark could not be written", error))
    }

    fn poison(&self, log: &Log, writer: &Writer, reason: &str, error: io::Error) -> Error {
        tracing::error!(topic = %log.topic, %error, "{reason}; no appends until the store is opened anew");
        *writer.poisoned.lock() = Some(format!("{reason}: {error}"));
        Error::OutcomeUnknown {
            reason: reason.to_owned(),
            source: Some(Box::new(error)),
        }
    }

    /// Ends the log in order.
    fn close(&mut self, log: &Arc<Log>) {
        let part = log.published.borrow().parts.last().cloned();
        if let Ok(writer) = log.writer()
            && writer.poisoned.lock().is_none()
            && !self.removed
        {
            if let Some(part) = part
                && let PartIndex::Live(live) = &part.index
                && live.read().index.len() >= WORTH_STORING
            {
                seal_segment::finish(log, &self.segment, self.segment_end());
            }
            // The log is whole without it: the next open then checks the end of the log.
            drop(self.put_mark(log, writer, self.head, true));
        }
        log.published.send_modify(Published::close);
    }
}
