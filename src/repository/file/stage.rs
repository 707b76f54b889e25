//! Decides on the requests of a group, one after the other, and encodes what is to be written.
//!
//! A request sees what those before it in the group will have written. Nothing is on the disk yet,
//! and nothing is visible.

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{
    failure::Failure,
    frame::{FrameHeader, FrameKind, MAX_RECORD, write_frame},
    group::Core,
    log::{Log, Published},
    part::PartIndex,
    search::Asked,
    writer::Request,
};
use crate::{
    models::{AppendReceipt, Error, Position, Result, StreamState, Timestamp},
    repository::{
        AppendBatch, Verdict, decide,
        import::{Rest, Written},
        parts::Probe,
        record::RecordView,
        sequence::records,
    },
};

/// The most events of one frame of an import.
const IMPORT_FRAME: usize = 1000;

/// A group that is decided on, but not written.
#[derive(Debug)]
pub(super) struct Staged {
    pub(super) bytes: Vec<u8>,
    pub(super) head: Position,
    pub(super) sealed: bool,
    pub(super) last_time: Timestamp,
    pub(super) outcomes: Vec<Outcome>,
    /// The room in the queue that the requests take.
    pub(super) permits: Vec<OwnedSemaphorePermit>,
    /// Whether this is the last group before the topic is closed.
    pub(super) finish: bool,
    /// Whether it has to be durable before anybody is told.
    pub(super) sync: Durable,
}

/// Whether, and where, a group has to be durable before anybody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Durable {
    /// It need not be.
    Later,
    /// In its segment, or in the journal.
    Anywhere,
    /// In its segment.
    InSegment,
}

/// What a request comes to if the group is written.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) reply: Reply,
    /// Whether it depends on what the group writes.
    pub(super) depends: bool,
}

#[derive(Debug)]
pub(super) enum Reply {
    Append(
        oneshot::Sender<Result<AppendReceipt>>,
        Result<AppendReceipt>,
    ),
    Import(oneshot::Sender<Result<Written>>, Result<Written>),
    Position(oneshot::Sender<Result<Position>>, Result<Position>),
}

impl Reply {
    /// Tells whoever waits; nobody does where the future was dropped.
    pub(super) fn send(self) {
        match self {
            Self::Append(reply, result) => drop(reply.send(result)),
            Self::Import(reply, result) => drop(reply.send(result)),
            Self::Position(reply, result) => drop(reply.send(result)),
        }
    }

    /// The same, failed.
    pub(super) fn fail(self, error: Error) -> Self {
        match self {
            Self::Append(reply, _) => Self::Append(reply, Err(error)),
            Self::Import(reply, _) => Self::Import(reply, Err(error)),
            Self::Position(reply, _) => Self::Position(reply, Err(error)),
        }
    }
}

impl Core {
    /// Decides on one request; the reply is what it comes to if the group is written.
    pub(super) fn stage_request(
        &mut self,
        log: &Log,
        published: &Published,
        staged: &mut Staged,
        request: Request,
        refused: Option<&Failure>,
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
                rest,
                reply,
                permit,
            } => {
                staged.permits.push(permit);
                let staging = |()| self.stage_import(log, published, staged, &rest);
                Reply::Import(reply, allowed.and_then(staging))
            }
            Request::Seal {
                sealed,
                since,
                reply,
            } => {
                let staging = |()| self.stage_seal(staged, sealed, since);
                Reply::Position(reply, allowed.map(staging))
            }
            Request::Sync => {
                staged.sync = Durable::InSegment;
                self.sync_pending = false;
                return None;
            }
            Request::Finish { reply } => {
                staged.sync = Durable::InSegment;
                staged.finish = true;
                Reply::Position(reply, Ok(self.head))
            }
        })
    }

    pub(super) fn frame(&self, kind: FrameKind, first: Position, durable: u64) -> FrameHeader {
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
        let topic = self.asked(log, published, staged);
        let before = match self.ask(log, published, &topic, batch)? {
            Verdict::Duplicate(receipt) => return Ok(receipt),
            Verdict::Write(stream) => stream,
        };
        let now = now.max(staged.last_time);
        let (records, version) = records(&topic, batch, before.version, now)?;
        let first = staged.head.next();
        let known = (batch.stream.as_str().as_bytes(), before);
        self.stage(log, published, staged, (&records, Some(known)))?;
        Ok(AppendReceipt::new(first, staged.head, version))
    }

    /// Decides on an append. An index file that turns out to be damaged is made anew.
    fn ask(
        &self,
        log: &Log,
        published: &Published,
        topic: &Asked<'_>,
        batch: &AppendBatch,
    ) -> Result<Verdict> {
        let verdict = decide(topic, batch);
        if verdict.is_err() && published.parts.iter().any(|part| part.is_damaged()) {
            // The next group sees the new index; this append has to be sent again.
            log.heal()?;
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
        rest: &Rest,
    ) -> Result<Written> {
        if staged.sealed {
            return Err(Error::TopicSealed {
                topic: log.topic.clone(),
            });
        }
        let new = rest.that_follow(staged.head);
        for events in new.chunks(IMPORT_FRAME) {
            let records: Vec<_> = events.iter().map(RecordView::of_recorded).collect();
            self.stage(log, published, staged, (&records, None))?;
        }
        Ok(Written {
            head: staged.head,
            count: new.len(),
        })
    }

    /// Only one process writes to a topic at a time, so what is older than the last that it was told
    /// to do comes from itself, and need not be known to the next.
    fn stage_seal(&mut self, staged: &mut Staged, sealed: bool, since: Position) -> Position {
        if since < self.sealed_since {
            return staged.head;
        }
        self.sealed_since = since;
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
            staged.sync = staged.sync.max(Durable::Anywhere);
        }
        staged.head
    }

    /// Adds the records of one append to the group and to the index, with the state of a stream
    /// before them, if that is known. Readers do not see them before the head says so.
    fn stage(
        &self,
        log: &Log,
        published: &Published,
        staged: &mut Staged,
        (records, known): (&[RecordView<'_>], Option<(&[u8], StreamState)>),
    ) -> Result<()> {
        let Some(part) = published.parts.last() else {
            return Ok(());
        };
        let PartIndex::Live(live) = &part.index else {
            return Ok(());
        };
        refuse_too_large(self.end + staged.bytes.len() as u64, records)?;
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
        let topic = self.asked(log, published, staged);
        // Asked where the last part, which is locked, has nothing of the stream.
        let before = |stream: &[u8]| match known {
            Some((known, state)) if known == stream => Ok(state),
            _ => topic.stream_before_last(&Probe::new(stream)),
        };
        let mut live = live.write();
        let added = records
            .iter()
            .zip(offsets)
            .try_for_each(|(record, offset)| {
                live.index.push(record, || before(record.stream))?;
                live.offsets.push(offset);
                Ok(())
            });
        if let Err(error) = added {
            // All of the append, or nothing.
            live.truncate(staged.head);
            staged.bytes.truncate(start);
            return Err(error);
        }
        let times = records.iter().map(|record| record.recorded_at);
        staged.last_time = times.fold(staged.last_time, Timestamp::max);
        staged.head = staged.head.forward(records.len() as u64);
        Ok(())
    }

    /// The topic as the next append of the group finds it.
    fn asked<'a>(
        &'a self,
        log: &'a Log,
        published: &'a Published,
        staged: &'a Staged,
    ) -> Asked<'a> {
        Asked {
            log,
            parts: &published.parts,
            search: &self.search,
            head: staged.head,
            sealed: staged.sealed,
            unwritten: (self.end, &staged.bytes),
        }
    }
}

/// Refuses what the format cannot hold. The limits of the store are far below it.
fn refuse_too_large(at: u64, records: &[RecordView<'_>]) -> Result<()> {
    let bytes: usize = records.iter().map(RecordView::size_bound).sum();
    let largest = records
        .iter()
        .map(RecordView::size_bound)
        .max()
        .unwrap_or(0);
    let check = |what, limit: u64, actual: u64| {
        if actual > limit {
            Err(Error::TooLarge {
                what,
                limit,
                actual,
            })
        } else {
            Ok(())
        }
    };
    check("record in bytes", MAX_RECORD as u64, largest as u64)?;
    check(
        "append in events",
        u64::from(u16::MAX),
        records.len() as u64,
    )?;
    // Headers come to less than a tenth of what a record is counted as.
    check("group in bytes", u64::from(u32::MAX), at + bytes as u64 * 2)
}
