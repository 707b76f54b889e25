//! What this process knows of a topic: its segments, the log behind them, and where that ends.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use parking_lot::Mutex;
use uuid::Uuid;

use super::{
    desk::{Desk, Segment},
    failure::Failure,
    keys::TopicKeys,
    manifest::Manifest,
    part::BlobPart,
    segment::part::SegmentPart,
    shared::Moment,
    slot::{Header, Kind, Slot},
    streams::{KnownStreams, Streams},
    tail::{Tail, TailPart},
};
use crate::{
    models::{Position, Timestamp, TopicName},
    repository::record::RecordView,
};

/// What is known of a topic. It is never wrong, but may be old.
#[derive(Debug)]
pub(super) struct View {
    pub(super) manifest: Arc<Manifest>,
    pub(super) segments: Arc<[Arc<Segment>]>,
    /// The log behind the segments; events are added to the last. They may begin before the end of
    /// the segments, and are asked first.
    pub(super) tails: Vec<Arc<Tail>>,
    /// The slot that was not there when it was looked for last.
    pub(super) next: u64,
    /// The write id of the slot before it.
    pub(super) previous: Uuid,
    pub(super) head: Position,
    pub(super) sealed: bool,
    /// What was decided on before this neither seals nor unseals it any more.
    pub(super) sealed_since: Position,
    pub(super) last_time: Timestamp,
    /// When it was last known that `next` was not there: the moment at which that was asked. None
    /// where slots are still to be read.
    pub(super) proven: Option<Moment>,
    /// When it was last known that `next` is not merged into a segment: that was asked then, or the
    /// manifest was. What is merged stays in the log for the grace period. So a slot that is found
    /// missing sooner than that was not put yet, and later it may have been merged and collected.
    pub(super) anchored: Moment,
    /// Since when the manifest is known to be there.
    pub(super) manifest_since: Moment,
    /// What is known of streams that are not in the tails.
    pub(super) streams: Arc<Mutex<Streams>>,
    staged: Option<Staged>,
}

/// Events beyond the head which are in the last tail, while their slot is being put.
#[derive(Clone, Copy, Debug)]
struct Staged {
    last: Position,
    last_time: Timestamp,
}

/// A topic at one moment, for those who read.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) base: Timestamp,
    pub(super) segments: Arc<[Arc<Segment>]>,
    pub(super) tails: Vec<Arc<Tail>>,
    pub(super) head: Position,
    pub(super) sealed: bool,
}

impl View {
    /// The topic as the newest manifest has it, which was asked for at a moment; the log is still to
    /// be read.
    pub(super) fn new(manifest: Manifest, keys: &TopicKeys, asked: Moment) -> Self {
        Self {
            segments: segments(&manifest, keys, &[]),
            tails: vec![Arc::new(Tail::new(manifest.before))],
            next: manifest.log_start,
            previous: manifest.previous,
            head: manifest.before,
            sealed: manifest.sealed,
            sealed_since: manifest.sealed_since,
            last_time: manifest.last_time,
            proven: None,
            anchored: asked,
            manifest_since: Moment::now(),
            streams: Arc::default(),
            staged: None,
            manifest: Arc::new(manifest),
        }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            base: self.manifest.base,
            segments: Arc::clone(&self.segments),
            tails: self.tails.clone(),
            head: self.head,
            sealed: self.sealed,
        }
    }

    /// The tail to which events are added. There is always one.
    fn active(&self) -> Result<&Arc<Tail>, Failure> {
        self.tails.last().ok_or(Failure::Closed)
    }

    /// How many slots are behind the segments.
    pub(super) fn log_slots(&self) -> u64 {
        self.next - self.manifest.log_start
    }

    /// How many bytes of records are in memory.
    pub(super) fn log_bytes(&self) -> u64 {
        self.tails.iter().map(|tail| tail.bytes() as u64).sum()
    }

    /// The position of the last event, those that are being put included.
    pub(super) fn staged_head(&self) -> Position {
        self.staged.map_or(self.head, |staged| staged.last)
    }

    /// The time before which no event may be recorded any more.
    pub(super) fn staged_time(&self) -> Timestamp {
        self.staged
            .map_or(self.last_time, |staged| staged.last_time)
    }

    /// Adds events that are to be put into the next slot.
    pub(super) fn stage(
        &mut self,
        chunk: Bytes,
        starts: &[u32],
        views: &[RecordView<'_>],
    ) -> Result<(), Failure> {
        let damaged = |reason| Failure::unsent(format!("an event cannot be added: {reason}"));
        let time = self
            .active()?
            .push_views(chunk, starts, views)
            .map_err(damaged)?;
        self.staged = Some(Staged {
            last: self.staged_head().forward(starts.len() as u64),
            last_time: self.staged_time().max(time),
        });
        Ok(())
    }

    /// Takes back what was staged.
    pub(super) fn unstage(&mut self) {
        if self.staged.take().is_some()
            && let Some(tail) = self.tails.last()
        {
            tail.truncate(self.head);
        }
    }

    /// The header of the slot with what is staged, or with a mark.
    pub(super) fn header(&self, kind: Kind) -> Header {
        Header {
            kind,
            slot: self.next,
            before: self.head,
            count: (self.staged_head().get() - self.head.get()) as u32,
            write_id: super::keys::random(),
            previous: self.previous,
            since: Position::START,
        }
    }

    /// The next slot is there, and it is our own: what was staged is recorded.
    pub(super) fn commit(&mut self, header: &Header) {
        let count = (self.staged_head().get() - self.head.get()) as u32;
        if header.slot != self.next || header.before != self.head || header.count != count {
            // Somebody read it before we heard that it is there, or this is another view than the
            // one in which it was staged, and will read it.
            return;
        }
        if let Some(staged) = self.staged.take() {
            self.head = staged.last;
            self.last_time = staged.last_time;
        }
        self.mark(header);
        self.next += 1;
        self.previous = header.write_id;
    }

    /// `next` was not there when that was asked.
    pub(super) fn prove(&mut self, asked: Moment) {
        if self.proven.is_none_or(|proven| proven.is_before(asked)) {
            self.proven = Some(asked);
        }
        self.anchor(asked);
    }

    /// `next` was not merged into a segment when that was asked.
    pub(super) fn anchor(&mut self, asked: Moment) {
        if self.anchored.is_before(asked) {
            self.anchored = asked;
        }
    }

    /// Whether what is missing now may have been merged and collected. Half of the grace period is
    /// left for what is done before this is asked again.
    pub(super) fn may_be_collected(&self) -> bool {
        self.anchored.elapsed() > self.manifest.grace() / 2
    }

    const fn mark(&mut self, header: &Header) {
        match header.kind {
            Kind::Seal => self.sealed = true,
            Kind::Unseal => self.sealed = false,
            Kind::Events | Kind::Removed => return,
        }
        self.sealed_since = header.since;
    }

    /// Adds a slot that was read, if it is the next. `own` is the write id of what is staged.
    pub(super) fn apply(
        &mut self,
        slot: &Slot,
        own: Option<Uuid>,
        keys: &TopicKeys,
    ) -> Result<(), Failure> {
        let header = &slot.header;
        if header.slot != self.next {
            return Ok(());
        }
        let damaged = |reason: &str| Failure::corrupt(&keys.slot(header.slot), reason);
        if header.previous != self.previous {
            return Err(damaged("it does not follow the slot before it"));
        }
        if header.before != self.head {
            return Err(damaged("its events do not follow those before it"));
        }
        if header.kind == Kind::Removed {
            return Err(Failure::Gone);
        }
        if own == Some(header.write_id) {
            self.commit(header);
            if header.slot != self.next {
                return Ok(());
            }
            // It was staged in a view that this one has replaced.
        }
        let starts = slot.starts().map_err(damaged)?;
        self.unstage();
        if !starts.is_empty() {
            let base = self.manifest.base;
            let pushed = self.active()?.push(slot.body.clone(), &starts, base);
            let time = pushed.map_err(damaged)?;
            self.head = self.head.forward(starts.len() as u64);
            self.last_time = self.last_time.max(time);
        }
        self.mark(header);
        self.next += 1;
        self.previous = header.write_id;
        Ok(())
    }

    /// Goes on with a new tail, so that what is there can be merged into a segment meanwhile. Not
    /// while anything is staged.
    pub(super) fn freeze(&mut self) {
        if self.staged.is_none() {
            self.tails.push(Arc::new(Tail::new(self.head)));
        }
    }

    /// What was retired up to this manifest is deleted, and need not be named by the next one.
    pub(super) fn forget_retired(&mut self, by: u64) {
        let mut manifest = (*self.manifest).clone();
        manifest.retired.retain(|one| one.by > by);
        self.manifest = Arc::new(manifest);
    }

    /// Goes on with another manifest, if it is newer and is not ahead of this view.
    pub(super) fn adopt(&mut self, manifest: Manifest, keys: &TopicKeys) -> bool {
        if manifest.number <= self.manifest.number || manifest.log_start > self.next {
            return false;
        }
        self.segments = segments(&manifest, keys, &self.segments);
        // The last is kept: events are added to it.
        let merged = self.tails.len().saturating_sub(1);
        let merged = self.tails.iter().take(merged);
        let merged = merged
            .take_while(|tail| tail.last() <= manifest.before)
            .count();
        let mut streams = self.streams.lock();
        for tail in self.tails.drain(..merged) {
            tail.tell_streams(&mut streams);
        }
        drop(streams);
        self.manifest = Arc::new(manifest);
        self.manifest_since = Moment::now();
        true
    }
}

/// The segments of a manifest; those that are known already are the same as before.
fn segments(manifest: &Manifest, keys: &TopicKeys, known: &[Arc<Segment>]) -> Arc<[Arc<Segment>]> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let segment = |entry: &super::manifest::SegmentEntry| {
        let same = known.iter().find(|one| one.entry == *entry);
        same.map_or_else(
            || {
                Arc::new(Segment {
                    entry: entry.clone(),
                    key: keys.segment(&entry.name),
                    number: NEXT.fetch_add(1, Ordering::Relaxed),
                })
            },
            Arc::clone,
        )
    };
    manifest.segments.iter().map(segment).collect()
}

impl Snapshot {
    /// The topic as a row of parts.
    pub(super) fn parts<'a>(
        &'a self,
        topic: &'a TopicName,
        desk: &'a Desk<'a>,
        ahead: u64,
    ) -> Vec<BlobPart<'a>> {
        let segments = self.segments.iter().map(|segment| {
            BlobPart::Segment(SegmentPart::new(segment, topic, self.base, desk, ahead))
        });
        let tails = self.tails.iter().map(|tail| {
            BlobPart::Tail(TailPart {
                tail,
                topic,
                base: self.base,
            })
        });
        segments.chain(tails).collect()
    }

    /// The same for who decides, with what is known of streams now.
    pub(super) fn parts_to_decide<'a>(
        &'a self,
        topic: &'a TopicName,
        desk: &'a Desk<'a>,
        streams: &'a Mutex<Streams>,
    ) -> Vec<BlobPart<'a>> {
        let mut parts = self.parts(topic, desk, 0);
        let at = self.segments_end();
        let known = BlobPart::Streams(KnownStreams { at, streams });
        parts.insert(self.segments.len(), known);
        parts
    }

    /// Where the segments end.
    pub(super) fn segments_end(&self) -> Position {
        self.segments
            .last()
            .map_or(Position::START, |last| last.entry.last)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::BytesMut;

    use super::*;
    use crate::{
        models::{StorageId, Version},
        repository::{blob::keys::RepositoryKeys, chunk::write_records},
    };

    fn staged(view: &mut View) -> (Header, Bytes) {
        let record = RecordView {
            id: Uuid::from_u128(1),
            version: Version::new(1),
            recorded_at: Timestamp::from_micros(7),
            event_type: b"T",
            stream: b"s",
            tags: b"",
            content_type: b"",
            metadata: b"",
            payload: b"{}",
        };
        let mut block = BytesMut::new();
        let starts = write_records(&mut block, &[record], view.manifest.base);
        let chunk = block.freeze();
        view.stage(chunk.clone(), &starts, &[record]).unwrap();
        (view.header(Kind::Events), chunk)
    }

    #[test]
    fn what_was_staged_in_a_view_that_was_replaced_is_read() {
        let keys = RepositoryKeys::new(object_store::path::Path::default());
        let keys = keys.topic(StorageId::CONFIGURATION);
        let manifest = Manifest::first(Timestamp::default(), Duration::ZERO);
        let new = || View::new(manifest.clone(), &keys, Moment::now());
        let mut view = new();
        let (header, chunk) = staged(&mut view);
        assert_eq!(
            (view.head, view.staged_head()),
            (Position::START, Position::new(1))
        );
        let slot = Slot {
            header,
            body: chunk,
        };
        // The view in which it was staged: told, or read first.
        view.commit(&header);
        assert_eq!((view.head, view.next), (Position::new(1), 1));
        view.apply(&slot, Some(header.write_id), &keys).unwrap();
        view.commit(&header);
        assert_eq!((view.head, view.next), (Position::new(1), 1));
        // Another one has not got it until it is read.
        let mut other = new();
        other.commit(&header);
        assert_eq!((other.head, other.next), (Position::START, 0));
        other.apply(&slot, Some(header.write_id), &keys).unwrap();
        assert_eq!((other.head, other.next), (Position::new(1), 1));
        assert_eq!(other.tails[0].records(Position::START, other.head).len(), 1);
    }
}
