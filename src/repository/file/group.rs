//! Writes groups of appends: decides on each, writes all with one write and one sync, makes them
//! visible, and only then tells whoever waits.
//!
//! After a failed write the file is cut back to where it was, and nothing was written. After a
//! failed sync nobody can know what is durable: the writer is poisoned, and nothing more is
//! acknowledged until the repository is opened anew.

use std::{fs::File, io, sync::Arc};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{
    disk,
    frame::{FrameHeader, FrameKind, SegmentHeader, epoch, write_frame},
    layout,
    log::{Log, Published, Standing},
    mark::Mark,
    options::SyncMode,
    part::{FilePart, PartIndex, PartView},
    seal_segment,
    segment::Segment,
    writer::{Request, Writer},
};
use crate::{
    models::{AppendReceipt, Error, Position, RecordedEvent, Result, Timestamp},
    repository::{
        AppendBatch, Verdict, decide,
        parts::Parts,
        record::RecordView,
        sequence::{Versions, importable},
    },
};

/// The most events of one frame of an import.
const IMPORT_FRAME: usize = 1000;
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
}

/// A group that is decided on, but not written.
#[derive(Debug)]
struct Staged {
    bytes: Vec<u8>,
    head: Position,
    sealed: bool,
    last_time: Timestamp,
    outcomes: Vec<Outcome>,
    /// The room in the queue that the requests take.
    permits: Vec<OwnedSemaphorePermit>,
    /// Whether this is the last group before the topic is closed.
    finish: bool,
    /// Whether the group is synced, whatever the mode.
    sync: bool,
}

/// What a request comes to if the group is written.
#[derive(Debug)]
struct Outcome {
    reply: Reply,
    /// Whether it depends on what the group writes.
    depends: bool,
}

#[derive(Debug)]
enum Reply {
    Append(
        oneshot::Sender<Result<AppendReceipt>>,
        Result<AppendReceipt>,
    ),
    Position(oneshot::Sender<Result<Position>>, Result<Position>),
}

impl Reply {
    /// Tells whoever waits; nobody does where the future was dropped.
    fn send(self) {
        match self {
            Self::Append(reply, result) => drop(reply.send(result)),
            Self::Position(reply, result) => drop(reply.send(result)),
        }
    }

    fn fail(self, error: Error) -> Self {
        match self {
            Self::Append(reply, _) => Self::Append(reply, Err(error)),
            Self::Position(reply, _) => Self::Position(reply, Err(error)),
        }
    }
}

impl Core {
    /// Decides on a group of requests, writes it, and answers them.
    pub(super) fn write_group(&mut self, log: &Arc<Log>, writer: &Writer, group: Vec<Request>) {
        let options = *writer.options.lock();
        let refused = self.refusal(log, writer).or_else(|| {
            self.roll(log, writer, options.segment_bytes)
                .err()
                .map(shared)
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
        outcomes
            .into_iter()
            .for_each(|outcome| outcome.reply.send());
    }

    /// Decides on one request; the reply is what it comes to if the group is written.
    fn stage_request(
        &mut self,
        log: &Log,
        published: &Published,
        staged: &mut Staged,
        request: Request,
        refused: Option<&Shared>,
    ) -> Option<Reply> {
        let allowed = refused.map_or(Ok(()), |why| Err(why.error()));
        Some(match request {
            Request::Append {
                batch,
                now,
                reply,
                permit,
            } => {
                staged.permits.push(permit);
                let staging = |()| self.stage_append(log, published, staged, &batch, now);
                Reply::Append(reply, allowed.and_then(staging))
            }
            Request::Import {
                events,
                reply,
                permit,
            } => {
                staged.permits.push(permit);
                let staging = |()| self.stage_import(log, published, staged, &events);
                Reply::Position(reply, allowed.and_then(staging))
            }
            Request::Seal { sealed, reply } => {
                Reply::Position(reply, allowed.map(|()| self.stage_seal(staged, sealed)))
            }
            Request::Sync => {
                staged.sync = true;
                self.sync_pending = false;
                return None;
            }
            Request::Finish { reply } => {
                staged.sync = true;
                staged.finish = true;
                Reply::Position(reply, Ok(self.head))
            }
        })
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
    fn refusal(&self, log: &Log, writer: &Writer) -> Option<Shared> {
        if self.removed {
            return Some(Shared::Gone(log.topic.to_string()));
        }
        let poisoned = writer.poisoned.lock().clone()?;
        Some(Shared::Unavailable {
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
                self.frame(
                    FrameKind::Seal,
                    header.first,
                    super::frame::SEGMENT_HEADER as u64,
                ),
                &[],
                |_| {},
            );
        }
        let path = layout::segment_path(&log.path, header.first);
        let file = layout::make_segment(&log.path, &header, &frames)
            .map_err(|error| log.files.failed("make", &path, error))?;
        self.segment = Arc::new(Segment::new(&log.path, &header));
        self.file = file;
        self.end = (super::frame::SEGMENT_HEADER + frames.len()) as u64;
        self.durable = self.end;
        let part = FilePart::live(&self.segment, self.head);
        log.published
            .send_modify(|published| published.add_part(part));
        let (last, log) = (self.head, Arc::clone(log));
        if let Err(error) = writer
            .workers
            .submit(move || seal_segment::finish(&log, &full, last))
        {
            tracing::warn!(%error, "no thread to index a full segment; it stays in memory");
        }
        Ok(())
    }

    fn frame(&self, kind: FrameKind, first: Position, durable: u64) -> FrameHeader {
        FrameHeader {
            kind,
            count: 0,
            body: 0,
            first,
            synced: durable as u32,
        }
    }

    fn stage_append(
        &self,
        log: &Log,
        published: &Published,
        staged: &mut Staged,
        batch: &AppendBatch,
        now: Timestamp,
    ) -> Result<AppendReceipt> {
        let views = self.views(log, published, &staged.bytes);
        let parts = Parts {
            topic: &log.topic,
            parts: &views,
            head: staged.head,
            sealed: staged.sealed,
        };
        let before = match self.ask(log, published, &parts, batch)? {
            Verdict::Duplicate(receipt) => return Ok(receipt),
            Verdict::Write => {
                parts
                    .stream_state(batch.stream.as_str().as_bytes())?
                    .version
            }
        };
        let now = now.max(staged.last_time);
        let mut versions = Versions::new(&parts, &batch.stream, before);
        let mut records = Vec::with_capacity(batch.events.len());
        for event in &batch.events {
            records.push(RecordView::of_batch(
                event,
                versions.next(&event.stream)?,
                now,
            ));
        }
        let version = versions.current();
        drop(views);
        let first = staged.head.next();
        self.stage(log, published, staged, &records)?;
        Ok(AppendReceipt::new(first, staged.head, version))
    }

    /// Decides on an append. An index file that turns out to be damaged is made anew.
    fn ask(
        &self,
        log: &Log,
        published: &Published,
        parts: &Parts<'_, PartView<'_>>,
        batch: &AppendBatch,
    ) -> Result<Verdict> {
        let verdict = decide(parts, batch);
        if verdict.is_err() && published.parts.iter().any(|part| part.is_damaged()) {
            // The next group sees the new index; this append has to be sent again.
            log.heal(published)?;
            return Err(Error::RepositoryUnavailable {
                repository: log.files.repository.clone(),
                reason: "an index file was damaged and has been made anew; try again".to_owned(),
                source: None,
            });
        }
        verdict
    }

    fn stage_import(
        &self,
        log: &Log,
        published: &Published,
        staged: &mut Staged,
        events: &[RecordedEvent],
    ) -> Result<Position> {
        for events in importable(events, staged.head)?.chunks(IMPORT_FRAME) {
            let records: Vec<_> = events.iter().map(RecordView::of_recorded).collect();
            self.stage(log, published, staged, &records)?;
        }
        Ok(staged.head)
    }

    fn stage_seal(&self, staged: &mut Staged, sealed: bool) -> Position {
        if staged.sealed != sealed {
            let kind = if sealed {
                FrameKind::Seal
            } else {
                FrameKind::Unseal
            };
            let header = self.frame(kind, staged.head.next(), self.durable);
            write_frame(
                &mut staged.bytes,
                (self.segment.epoch, self.segment.base),
                header,
                &[],
                |_| {},
            );
            staged.sealed = sealed;
            staged.sync = true;
        }
        staged.head
    }

    /// Adds the records of one append to the group and to the index. Readers do not see them
    /// before the head says so.
    fn stage(
        &self,
        log: &Log,
        published: &Published,
        staged: &mut Staged,
        records: &[RecordView<'_>],
    ) -> Result<()> {
        let Some((part, earlier)) = published.parts.split_last() else {
            return Ok(());
        };
        let PartIndex::Live(live) = &part.index else {
            return Ok(());
        };
        let header = self.frame(FrameKind::Events, staged.head.next(), self.durable);
        let start = staged.bytes.len();
        let mut offsets = Vec::with_capacity(records.len());
        write_frame(
            &mut staged.bytes,
            (self.segment.epoch, self.segment.base),
            header,
            records,
            |at| {
                offsets.push((self.end + at as u64) as u32);
            },
        );
        let views: Vec<_> = earlier.iter().map(|part| log.view(part)).collect();
        let before = Parts {
            topic: &log.topic,
            parts: &views,
            head: Position::MAX,
            sealed: false,
        };
        let mut live = live.write();
        for (record, offset) in records.iter().zip(offsets) {
            if let Err(error) = live
                .index
                .push(record, || before.stream_state(record.stream))
            {
                // All of the append, or nothing.
                live.truncate(staged.head);
                staged.bytes.truncate(start);
                return Err(error);
            }
            live.offsets.push(offset);
            staged.last_time = staged.last_time.max(record.recorded_at);
        }
        staged.head = staged.head.forward(records.len() as u64);
        Ok(())
    }

    fn views<'a>(
        &self,
        log: &'a Log,
        published: &'a Published,
        unwritten: &'a [u8],
    ) -> Vec<PartView<'a>> {
        let mut views: Vec<_> = published.parts.iter().map(|part| log.view(part)).collect();
        if let Some(last) = views.last_mut() {
            last.unwritten = Some((self.end, unwritten));
        }
        views
    }

    /// Writes a group and makes it visible.
    fn write(&mut self, log: &Arc<Log>, writer: &Writer, mut staged: Staged) -> Vec<Outcome> {
        let outcomes = std::mem::take(&mut staged.outcomes);
        if let Err(error) = self.write_bytes(log, writer, &staged) {
            let why = shared(error);
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
            changed
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
        self.file
            .sync_data()
            .map_err(|error| self.poison(log, writer, "a sync failed", error))?;
        self.durable = self.end;
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
                seal_segment::store_tail(log, &part, self.end, self.sealed, self.last_time);
            }
            // The log is whole without it: the next open then checks the end of the log.
            drop(self.put_mark(log, writer, self.head, true));
        }
        log.published.send_modify(|published| {
            if published.standing == Standing::Open {
                published.standing = Standing::Closed;
            }
        });
    }
}

/// An error that several requests are told.
#[derive(Debug)]
enum Shared {
    Gone(String),
    Unknown {
        reason: String,
        source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    },
    Unavailable {
        repository: String,
        reason: String,
        source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    },
}

fn shared(error: Error) -> Shared {
    match error {
        Error::OutcomeUnknown { reason, source } => Shared::Unknown {
            reason,
            source: source.map(Arc::from),
        },
        Error::RepositoryUnavailable {
            repository,
            reason,
            source,
        } => Shared::Unavailable {
            repository,
            reason,
            source: source.map(Arc::from),
        },
        other => Shared::Unknown {
            reason: other.to_string(),
            source: None,
        },
    }
}

impl Shared {
    fn error(&self) -> Error {
        match self {
            Self::Gone(topic) => Error::TopicNotFound {
                topic: topic.clone(),
            },
            Self::Unknown { reason, source } => Error::OutcomeUnknown {
                reason: reason.clone(),
                source: source.clone().map(boxed),
            },
            Self::Unavailable {
                repository,
                reason,
                source,
            } => Error::RepositoryUnavailable {
                repository: repository.clone(),
                reason: reason.clone(),
                source: source.clone().map(boxed),
            },
        }
    }
}

fn boxed(source: Arc<dyn std::error::Error + Send + Sync>) -> crate::models::BoxError {
    Box::new(source)
}
