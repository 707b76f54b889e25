//! One topic in memory.

use bytes::{Bytes, BytesMut};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use super::part::MemoryPart;
use crate::{
    models::{
        AppendReceipt, Error, Placement, Position, Result, StoreId, StreamState, Timestamp,
        TopicName,
    },
    repository::{
        AppendBatch, Verdict,
        chunk::write_records,
        decide,
        import::{Rest, Written},
        index::Index,
        parts::Parts,
        record::RecordView,
        sequence::records,
    },
};

/// One topic.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) topic: TopicName,
    pub(super) store: StoreId,
    /// Times are kept as the distance from this one.
    pub(super) base: Timestamp,
    /// Held by the one append that is under way. A plain lock: an append takes microseconds.
    writer: Mutex<Writer>,
    /// What readers see. Locked for writing only while decided events are added.
    pub(super) events: RwLock<Events>,
    /// The head, for those who wait; none once the topic is removed.
    pub(super) head: watch::Sender<Option<Position>>,
}

#[derive(Debug)]
struct Writer {
    /// The end of the last block, into which records are written.
    block: BytesMut,
    last_time: Timestamp,
    sealed: bool,
    /// What was decided on before this neither seals nor unseals it any more.
    sealed_since: Position,
}

#[derive(Debug)]
pub(super) struct Events {
    pub(super) index: Index,
    /// The records of one append each, every record behind its length (4 bytes).
    appends: Vec<Bytes>,
    /// Where each event is.
    slots: Vec<Slot>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    append: u32,
    start: u32,
}

impl Log {
    pub(super) fn new(placement: &Placement, now: Timestamp) -> Self {
        Self {
            topic: placement.topic.clone(),
            store: placement.store,
            base: now,
            writer: Mutex::new(Writer {
                block: BytesMut::new(),
                last_time: Timestamp::from_micros(i64::MIN),
                sealed: false,
                sealed_since: Position::START,
            }),
            events: RwLock::new(Events {
                index: Index::new(Position::START),
                appends: Vec::new(),
                slots: Vec::new(),
            }),
            head: watch::Sender::new(Some(Position::START)),
        }
    }

    pub(super) fn gone(&self) -> Error {
        Error::TopicNotFound {
            topic: self.topic.to_string(),
        }
    }

    pub(super) fn parts<'a>(
        &'a self,
        parts: &'a [MemoryPart<'a>],
    ) -> Result<Parts<'a, MemoryPart<'a>>> {
        let head = (*self.head.borrow()).ok_or_else(|| self.gone())?;
        let sealed = self.writer.lock().sealed;
        Ok(Parts {
            topic: &self.topic,
            parts,
            head,
            sealed,
        })
    }

    pub(super) fn append(&self, batch: &AppendBatch, now: Timestamp) -> Result<AppendReceipt> {
        let mut writer = self.writer.lock();
        let parts = [MemoryPart(self)];
        let head = (*self.head.borrow()).ok_or_else(|| self.gone())?;
        let view = Parts {
            topic: &self.topic,
            parts: &parts,
            head,
            sealed: writer.sealed,
        };
        let before = match decide(&view, batch)? {
            Verdict::Duplicate(receipt) => return Ok(receipt),
            Verdict::Write(stream) => stream.version,
        };
        let now = now.max(writer.last_time);
        let (records, version) = records(&view, batch, before, now)?;
        let last = self.record(&mut writer, head, &records)?;
        Ok(AppendReceipt::new(head.next(), last, version))
    }

    pub(super) fn import(&self, rest: &Rest) -> Result<Written> {
        let mut writer = self.writer.lock();
        let head = (*self.head.borrow()).ok_or_else(|| self.gone())?;
        if writer.sealed {
            return Err(Error::TopicSealed {
                topic: self.topic.clone(),
            });
        }
        let new = rest.that_follow(head);
        if new.is_empty() {
            return Ok(Written { head, count: 0 });
        }
        let records: Vec<_> = new.iter().map(RecordView::of_recorded).collect();
        let head = self.record(&mut writer, head, &records)?;
        let count = new.len();
        Ok(Written { head, count })
    }

    /// Writes records, and makes them visible together.
    fn record(
        &self,
        writer: &mut Writer,
        head: Position,
        records: &[RecordView<'_>],
    ) -> Result<Position> {
        let last = head.forward(records.len() as u64);
        if last.get() > Index::MAX_EVENTS as u64 {
            return Err(Error::TooLarge {
                what: "memory topic in events",
                limit: Index::MAX_EVENTS as u64,
                actual: last.get(),
            });
        }
        let starts = write_records(&mut writer.block, records, self.base);
        let bytes = writer.block.split().freeze();
        let mut events = self.events.write();
        let append = events.appends.len() as u32;
        events.appends.push(bytes);
        for (record, start) in records.iter().zip(starts) {
            events.slots.push(Slot { append, start });
            events.index.push(record, || Ok(StreamState::default()))?;
            writer.last_time = writer.last_time.max(record.recorded_at);
        }
        drop(events);
        self.head.send_if_modified(|head| {
            let alive = head.is_some();
            if alive {
                *head = Some(last);
            }
            // Who subscribes from now on looks at the head before waiting for it to change.
            alive && self.head.receiver_count() > 0
        });
        Ok(last)
    }

    pub(super) fn set_sealed(&self, sealed: bool, since: Position) -> Result<Position> {
        let mut writer = self.writer.lock();
        if since >= writer.sealed_since {
            (writer.sealed, writer.sealed_since) = (sealed, since);
        }
        (*self.head.borrow()).ok_or_else(|| self.gone())
    }
}

impl Events {
    /// Where an event is: its position, the records of its append, and where among them it begins.
    pub(super) fn locate(&self, position: Position) -> Option<(Position, Bytes, u32)> {
        let slot = self
            .slots
            .get(usize::try_from(position.get()).ok()?.checked_sub(1)?)?;
        let page = self.appends.get(slot.append as usize)?;
        Some((position, page.clone(), slot.start))
    }
}
