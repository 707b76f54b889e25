//! Writes groups of appends: decides on each, writes all with one write and one sync, makes them
//! visible, and only then tells whoever waits.
//!
//! After a failed write the file is cut back to where it was, and nothing was written. After a
//! failed sync nobody can know what is durable: the writer is poisoned, and nothing more is
//! acknowledged until the repository is opened anew.

use std::{fs::File, io, sync::Arc};

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
    search::Search,
    segment::Segment,
    stage::{Durable, Outcome, Staged},
    writer::{Request, Writer},
};
use tokio::sync::OwnedSemaphorePermit;

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
    /// What was decided on before this neither seals nor unseals it any more.
    pub(super) sealed_since: Position,
    pub(super) last_time: Timestamp,
    /// Where in the segment the log ends; up to where it is durable, by the segment or the journal;
    /// and up to where the segment was synced.
    pub(super) end: u64,
    pub(super) durable: u64,
    pub(super) synced: u64,
    pub(super) sync_pending: bool,
    /// The storage was removed.
    pub(super) removed: bool,
    /// Where ids and streams are looked for.
    pub(super) search: Search,
    /// Kept from one group to the next, so that it need not grow anew.
    pub(super) buffer: Vec<u8>,
}

/// A group that is decided on and in the segment, but not durable.
#[derive(Debug)]
pub(super) struct Pending {
    staged: Staged,
    /// Where in the segment the group begins.
    from: u64,
    /// Why it could not be written, if so.
    failed: Option<Failure>,
    sync: SyncMode,
}

/// A group that was written, or was not, of which nobody was told yet.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) outcomes: Vec<Outcome>,
    /// The room in the queue that the group took.
    permits: Vec<OwnedSemaphorePermit>,
    /// Whether its segment was synced.
    pub(super) synced: bool,
}

impl Written {
    /// Tells whoever waits.
    pub(super) fn answer(self) {
        drop(self.permits);
        for outcome in self.outcomes {
            outcome.reply.send();
        }
    }
}

impl Core {
    /// Decides on a group of requests, and writes what is to be written to the segment.
    pub(super) fn begin(
        &mut self,
        log: &Arc<Log>,
        writer: &Writer,
        group: Vec<Request>,
    ) -> Pending {
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
            sync: if options.sync == SyncMode::Always {
                Durable::Anywhere
            } else {
                Durable::Later
            },
        };
        let published = log.published.borrow().clone();
        self.search.look(writer, log, &published, group.len());
        self.search.fetch(&group);
        for request in group {
            let reply = self.stage_request(log, &published, &mut staged, request, refused.as_ref());
            if let Some(reply) = reply {
                let depends = !staged.bytes.is_empty();
                staged.outcomes.push(Outcome { reply, depends });
            }
        }
        let from = self.end;
        let mut failed = None;
        if refused.is_some() {
            // Nothing was staged, and nobody depends on it.
            staged.sync = Durable::Later;
        } else if !staged.bytes.is_empty() {
            match disk::write_at(&self.file, self.end, &staged.bytes) {
                Ok(()) => self.end += staged.bytes.len() as u64,
                Err(error) => failed = Some(failure(self.take_back(log, writer, error))),
            }
        }
        Pending {
            staged,
            from,
            failed,
            sync: options.sync,
        }
    }

    /// The bytes of a group that the journal can make durable.
    pub(super) fn to_journal<'a>(&self, pending: &'a Pending) -> Option<&'a [u8]> {
        let bytes = &pending.staged.bytes;
        // What is before it has to be durable too.
        let fits = pending.staged.sync == Durable::Anywhere && self.durable == pending.from;
        (fits && pending.failed.is_none() && !bytes.is_empty()).then_some(bytes)
    }

    /// Makes a group durable, unless the journal did, and visible.
    pub(super) fn finish(
        &mut self,
        log: &Arc<Log>,
        writer: &Writer,
        pending: Pending,
        journaled: bool,
    ) -> Written {
        let durable = journaled && self.to_journal(&pending).is_some();
        let Pending {
            mut staged,
            from,
            mut failed,
            sync,
        } = pending;
        if durable {
            self.durable = self.end;
        }
        let synced_before = self.synced;
        if failed.is_none() {
            failed = self.settle(log, writer, &staged, from).err().map(failure);
        }
        staged.bytes.clear();
        self.buffer = std::mem::take(&mut staged.bytes);
        // A large group must not leave its memory with every topic for ever.
        self.buffer.shrink_to(1 << 20);
        let outcomes = match &failed {
            None => {
                self.publish(log, &staged);
                staged.outcomes
            }
            Some(why) => {
                let fail = |outcome: Outcome| {
                    let reply = if outcome.depends || staged.finish {
                        outcome.reply.fail(why.error())
                    } else {
                        outcome.reply
                    };
                    Outcome { reply, ..outcome }
                };
                staged.outcomes.into_iter().map(fail).collect()
            }
        };
        if staged.finish {
            self.close(log);
        }
        self.plan_sync(log, writer, sync);
        Written {
            outcomes,
            permits: staged.permits,
            synced: self.synced > synced_before,
        }
    }

    /// Syncs the segment where that is needed, and writes down how far the log goes.
    fn settle(
        &mut self,
        log: &Arc<Log>,
        writer: &Writer,
        staged: &Staged,
        from: u64,
    ) -> Result<()> {
        let (wrote, durable_before) = (self.end > from, self.durable);
        let needed = match staged.sync {
            Durable::Later => false,
            Durable::Anywhere => self.durable < self.end,
            Durable::InSegment => self.synced < self.end,
        };
        if needed {
            self.sync(log, writer)?;
        }
        if wrote || self.durable > durable_before {
            self.put_mark(log, writer, staged.head, false)?;
        }
        Ok(())
    }

    fn publish(&mut self, log: &Arc<Log>, staged: &Staged) {
        self.head = staged.head;
        self.sealed = staged.sealed;
        self.last_time = staged.last_time;
        let (head, sealed) = (self.head, self.sealed);
        log.published.send_if_modified(|published| {
            let changed = published.head != head || published.sealed != sealed;
            published.head = head;
            published.sealed = sealed;
            // Who subscribes from now on looks at the head before waiting for it to change.
            changed && log.published.receiver_count() > 0
        });
    }

    /// Sees to it that what was written without a sync is synced in time.
    fn plan_sync(&mut self, log: &Arc<Log>, writer: &Writer, mode: SyncMode) {
        if let SyncMode::Interval(delay) = mode
            && self.durable < self.end
            && !self.sync_pending
        {
            let later = Arc::clone(log);
            let planned = writer
                .committer
                .workers
                .submit_after(delay, move || later.sync_now());
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
        if self.synced < self.end {
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
        self.synced = self.end;
        let part = FilePart::live(&self.segment, self.head);
        log.published
            .send_modify(|published| published.add_part(part));
        let log = Arc::clone(log);
        if let Err(error) = writer
            .committer
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
        self.file
            .sync_data()
            .map_err(|error| self.poison(log, writer, "a sync failed", error))?;
        self.durable = self.end;
        self.synced = self.end;
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
