//! The `memory` repository: topics that live as long as the store.
//!
//! Events are kept as records in blocks that grow at the end, so that a reader shares them without
//! copying, and a million small events cost little more than their bytes. Readers hold the lock of
//! a topic only while they collect one page. What it promises of durability (P1) is nothing: all is
//! gone when the store is.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use uuid::Uuid;

use crate::models::{
    AppendReceipt, Clock, Error, HealthStatus, Options, Placement, Position, RecordedEvent,
    RepositoryHealth, Result, StorageId, StreamId, StreamState, Timestamp, TopicName, Version,
};

use super::{
    AppendBatch, EventRepository, OpenRequest, Page, ReadPlan, RepositoryFactory, StorageEntry,
    TopicState, Verdict, Verified, decide,
    index::{Index, Key, Span},
    paging::{PAGE_BYTES, PAGE_EVENTS, Pager},
    parts::{Part, Parts},
    record::RecordView,
    sequence::{Versions, importable},
};

/// Records are written into blocks of this many bytes; a larger one gets a block of its own.
const BLOCK_BYTES: usize = 64 << 10;

/// Opens `memory` repositories. A connection is a name: the same name in the same factory is the
/// same repository, also after it was closed.
#[derive(Debug, Default)]
pub struct MemoryFactory {
    repositories: Mutex<BTreeMap<String, Arc<Shared>>>,
}

#[async_trait]
impl RepositoryFactory for MemoryFactory {
    fn normalise(&self, connection: &str, _options: &Options) -> Result<String> {
        Ok(connection.to_owned())
    }

    async fn open(&self, request: OpenRequest) -> Result<Arc<dyn EventRepository>> {
        let shared = Arc::clone(
            self.repositories
                .lock()
                .entry(request.connection)
                .or_default(),
        );
        Ok(Arc::new(MemoryRepository {
            shared,
            name: request.name,
            clock: request.clock,
            closed: watch::Sender::new(false),
            read_only: request.read_only,
        }))
    }
}

/// What all handles of one repository share.
#[derive(Debug, Default)]
struct Shared {
    topics: RwLock<Topics>,
}

#[derive(Debug, Default)]
struct Topics {
    logs: HashMap<StorageId, Arc<Log>>,
    /// Storage that was removed, so that a late call does not bring it back.
    removed: HashSet<StorageId>,
}

/// One handle of a `memory` repository.
#[derive(Debug)]
pub struct MemoryRepository {
    shared: Arc<Shared>,
    name: String,
    clock: Arc<dyn Clock>,
    closed: watch::Sender<bool>,
    read_only: bool,
}

impl MemoryRepository {
    fn check_open(&self) -> Result<()> {
        if *self.closed.borrow() {
            Err(Error::Closed)
        } else {
            Ok(())
        }
    }

    fn check_writable(&self, operation: &'static str) -> Result<()> {
        self.check_open()?;
        if self.read_only {
            Err(Error::ReadOnly { operation })
        } else {
            Ok(())
        }
    }

    /// The log of a placement. It is made on first use, because what was prepared in an earlier
    /// process is gone.
    fn log(&self, placement: &Placement) -> Result<Arc<Log>> {
        if let Some(log) = self.shared.topics.read().logs.get(&placement.storage) {
            return Ok(Arc::clone(log));
        }
        let mut topics = self.shared.topics.write();
        if topics.removed.contains(&placement.storage) {
            return Err(Error::TopicNotFound {
                topic: placement.topic.to_string(),
            });
        }
        let log = topics
            .logs
            .entry(placement.storage)
            .or_insert_with(|| Arc::new(Log::new(placement, self.clock.now())));
        Ok(Arc::clone(log))
    }
}

#[async_trait]
impl EventRepository for MemoryRepository {
    async fn prepare(&self, placement: &Placement) -> Result<()> {
        self.check_writable("make storage")?;
        if let Some(key) = placement.options.keys().next() {
            return Err(Error::InvalidConfig {
                key: format!("option `{key}`"),
                reason: "the memory adapter has no options".to_owned(),
            });
        }
        self.log(placement).map(drop)
    }

    async fn append(
        &self,
        placement: &Placement,
        batch: Arc<AppendBatch>,
    ) -> Result<AppendReceipt> {
        self.check_writable("append")?;
        self.log(placement)?.append(&batch, self.clock.now())
    }

    fn read(&self, placement: &Placement, plan: ReadPlan) -> BoxStream<'static, Result<Page>> {
        let log = self.check_open().and_then(|()| self.log(placement));
        let state = Reading {
            log,
            closed: self.closed.subscribe(),
            plan: Some(plan),
            pager: None,
        };
        stream::unfold(
            state,
            |mut state| async move { Some((state.next()?, state)) },
        )
        .boxed()
    }

    async fn state(&self, placement: &Placement, stream: Option<&StreamId>) -> Result<TopicState> {
        self.check_open()?;
        let log = self.log(placement)?;
        let parts = [MemoryPart(&log)];
        let parts = log.parts(&parts)?;
        let stream = stream
            .map(|one| parts.stream_state(one.as_str().as_bytes()))
            .transpose()?;
        Ok(TopicState {
            head: parts.head,
            sealed: parts.sealed,
            stream,
        })
    }

    async fn wait_beyond(&self, placement: &Placement, position: Position) -> Result<Position> {
        self.check_open()?;
        let log = self.log(placement)?;
        let mut head = log.head.subscribe();
        let mut closed = self.closed.subscribe();
        tokio::select! {
            found = head.wait_for(|head| head.is_none_or(|head| head > position)) => match found {
                Ok(found) => found.ok_or_else(|| log.gone()),
                Err(_) => Err(Error::Closed),
            },
            _ = closed.wait_for(|closed| *closed) => Err(Error::Closed),
        }
    }

    async fn seal(&self, placement: &Placement) -> Result<Position> {
        self.check_writable("seal a topic")?;
        self.log(placement)?.set_sealed(true)
    }

    async fn unseal(&self, placement: &Placement) -> Result<()> {
        self.check_writable("unseal a topic")?;
        self.log(placement)?.set_sealed(false).map(drop)
    }

    async fn import(&self, placement: &Placement, events: Vec<RecordedEvent>) -> Result<Position> {
        self.check_writable("import events")?;
        self.log(placement)?.import(&events)
    }

    async fn verify(&self, placement: &Placement) -> Result<Verified> {
        let mut verified = Verified {
            parts: 1,
            ..Verified::default()
        };
        let mut pages = self.read(placement, ReadPlan::all_after(Position::START));
        while let Some(page) = pages.next().await {
            for event in page?.events {
                verified.events += 1;
                verified.bytes += event.payload.len() as u64;
            }
        }
        Ok(verified)
    }

    async fn list(&self) -> Result<Vec<StorageEntry>> {
        self.check_open()?;
        let topics = self.shared.topics.read();
        let of = |(storage, log): (&StorageId, &Arc<Log>)| StorageEntry {
            storage: *storage,
            store: log.store,
            topic: log.topic.clone(),
        };
        let used = topics
            .logs
            .iter()
            .filter(|(storage, _)| **storage != StorageId::CONFIGURATION);
        Ok(used.map(of).collect())
    }

    async fn remove(&self, storage: StorageId) -> Result<()> {
        self.check_writable("remove storage")?;
        let mut topics = self.shared.topics.write();
        topics.removed.insert(storage);
        if let Some(log) = topics.logs.remove(&storage) {
            log.head.send_replace(None);
        }
        Ok(())
    }

    async fn health(&self) -> RepositoryHealth {
        let started = Instant::now();
        let status = if self.check_open().is_ok() {
            HealthStatus::Up
        } else {
            HealthStatus::Down
        };
        let topics = self.shared.topics.read().logs.len() as u64;
        RepositoryHealth::new(&self.name, status)
            .topics(topics)
            .latency(started.elapsed())
    }

    async fn close(&self) -> Result<()> {
        self.closed.send_replace(true);
        Ok(())
    }
}

/// One topic.
#[derive(Debug)]
struct Log {
    topic: TopicName,
    store: crate::models::StoreId,
    /// Times are kept as the distance from this one.
    base: Timestamp,
    /// Held by the one append that is under way. A plain lock: an append takes microseconds.
    writer: Mutex<Writer>,
    /// What readers see. Locked for writing only while decided events are added.
    events: RwLock<Events>,
    /// The head, for those who wait; none once the topic is removed.
    head: watch::Sender<Option<Position>>,
}

#[derive(Debug)]
struct Writer {
    /// The end of the last block, into which records are written.
    block: BytesMut,
    last_time: Timestamp,
    sealed: bool,
}

#[derive(Debug)]
struct Events {
    index: Index,
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
    fn new(placement: &Placement, now: Timestamp) -> Self {
        Self {
            topic: placement.topic.clone(),
            store: placement.store,
            base: now,
            writer: Mutex::new(Writer {
                block: BytesMut::new(),
                last_time: Timestamp::from_micros(i64::MIN),
                sealed: false,
            }),
            events: RwLock::new(Events {
                index: Index::new(Position::START),
                appends: Vec::new(),
                slots: Vec::new(),
            }),
            head: watch::Sender::new(Some(Position::START)),
        }
    }

    fn gone(&self) -> Error {
        Error::TopicNotFound {
            topic: self.topic.to_string(),
        }
    }

    fn parts<'a>(&'a self, parts: &'a [MemoryPart<'a>]) -> Result<Parts<'a, MemoryPart<'a>>> {
        let head = (*self.head.borrow()).ok_or_else(|| self.gone())?;
        let sealed = self.writer.lock().sealed;
        Ok(Parts {
            topic: &self.topic,
            parts,
            head,
            sealed,
        })
    }

    fn append(&self, batch: &AppendBatch, now: Timestamp) -> Result<AppendReceipt> {
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
            Verdict::Write => view.stream_state(batch.stream.as_str().as_bytes())?.version,
        };
        let now = now.max(writer.last_time);
        let mut versions = Versions::new(&view, &batch.stream, before);
        let mut records = Vec::with_capacity(batch.events.len());
        for event in &batch.events {
            records.push(RecordView::of_batch(
                event,
                versions.next(&event.stream)?,
                now,
            ));
        }
        let last = self.record(&mut writer, head, &records)?;
        Ok(AppendReceipt::new(head.next(), last, versions.current()))
    }

    fn import(&self, events: &[RecordedEvent]) -> Result<Position> {
        let mut writer = self.writer.lock();
        let head = (*self.head.borrow()).ok_or_else(|| self.gone())?;
        let new = importable(events, head)?;
        if new.is_empty() {
            return Ok(head);
        }
        let records: Vec<_> = new.iter().map(RecordView::of_recorded).collect();
        self.record(&mut writer, head, &records)
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
            alive
        });
        Ok(last)
    }

    fn set_sealed(&self, sealed: bool) -> Result<Position> {
        let mut writer = self.writer.lock();
        writer.sealed = sealed;
        (*self.head.borrow()).ok_or_else(|| self.gone())
    }
}

/// Writes each record behind its length, and tells where they are.
fn write_records(block: &mut BytesMut, records: &[RecordView<'_>], base: Timestamp) -> Vec<u32> {
    let needed = records.iter().map(|record| record.size_bound() + 4).sum();
    if block.capacity() - block.len() < needed {
        *block = BytesMut::with_capacity(BLOCK_BYTES.max(needed));
    }
    let mut starts = Vec::with_capacity(records.len());
    for record in records {
        let start = block.len();
        starts.push(start as u32);
        block.extend_from_slice(&[0; 4]);
        record.encode(base, block);
        let length = (block.len() - start - 4) as u32;
        if let Some(place) = block.get_mut(start..start + 4) {
            place.copy_from_slice(&length.to_le_bytes());
        }
    }
    starts
}

/// A topic as the one part that it is. Each question takes the lock for itself, so that a reader
/// never holds up the writer for longer than it takes to collect a page.
#[derive(Clone, Copy, Debug)]
struct MemoryPart<'a>(&'a Log);

impl MemoryPart<'_> {
    /// Decodes events after they were collected under the lock.
    fn decode(
        &self,
        collected: Vec<(Position, Bytes, u32)>,
        out: &mut Vec<RecordedEvent>,
    ) -> Result<()> {
        let mut bytes = 0;
        for (position, page, start) in collected {
            let damaged = |reason: &str| Error::Corruption {
                place: format!("memory, topic {}, position {position}", self.0.topic),
                reason: reason.to_owned(),
            };
            let record = record_at(&page, start).ok_or_else(|| damaged("the record is cut off"))?;
            let event = RecordView::decode(record, self.0.base)
                .and_then(|view| view.to_event(&page, &self.0.topic, position))
                .map_err(damaged)?;
            out.push(event);
            bytes += record.len();
            if bytes >= PAGE_BYTES {
                break;
            }
        }
        Ok(())
    }
}

fn record_at(page: &[u8], start: u32) -> Option<&[u8]> {
    let (length, rest) = page.get(start as usize..)?.split_first_chunk::<4>()?;
    rest.get(..u32::from_le_bytes(*length) as usize)
}

impl Events {
    fn locate(&self, position: Position) -> Option<(Position, Bytes, u32)> {
        let slot = self
            .slots
            .get(usize::try_from(position.get()).ok()?.checked_sub(1)?)?;
        let page = self.appends.get(slot.append as usize)?;
        Some((position, page.clone(), slot.start))
    }
}

impl Part for MemoryPart<'_> {
    fn before(&self) -> Position {
        Position::START
    }

    fn last(&self) -> Position {
        self.0.events.read().index.last()
    }

    fn position_of(&self, id: Uuid) -> Result<Option<Position>> {
        Ok(self.0.events.read().index.position_of(id))
    }

    fn stream(&self, stream: &[u8], head: Position) -> Result<Option<StreamState>> {
        Ok(self.0.events.read().index.stream(stream, head))
    }

    fn position_of_version(&self, stream: &[u8], version: Version) -> Result<Option<Position>> {
        Ok(self
            .0
            .events
            .read()
            .index
            .position_of_version(stream, version))
    }

    fn count(&self, key: Key<'_>) -> Result<usize> {
        Ok(self.0.events.read().index.count(key))
    }

    fn postings(&self, key: Key<'_>, span: &Span, most: usize) -> Result<Vec<Position>> {
        Ok(self.0.events.read().index.postings(key, span, most))
    }

    fn fetch(&self, positions: &[Position], out: &mut Vec<RecordedEvent>) -> Result<()> {
        let events = self.0.events.read();
        let collected = positions
            .iter()
            .take(PAGE_EVENTS)
            .filter_map(|one| events.locate(*one));
        let collected = collected.collect();
        drop(events);
        self.decode(collected, out)
    }

    fn scan(&self, span: &Span, out: &mut Vec<RecordedEvent>) -> Result<()> {
        let positions =
            (span.after.get()..span.up_to.get()).map(|before| Position::new(before + 1));
        let events = self.0.events.read();
        let collected = positions
            .take(PAGE_EVENTS)
            .map_while(|one| events.locate(one))
            .collect();
        drop(events);
        self.decode(collected, out)
    }
}

/// A read under way.
struct Reading {
    log: Result<Arc<Log>>,
    closed: watch::Receiver<bool>,
    plan: Option<ReadPlan>,
    pager: Option<Pager>,
}

impl Reading {
    fn next(&mut self) -> Option<Result<Page>> {
        let page = self.page();
        if page.is_err() {
            self.plan = None;
            self.pager = None;
        }
        page.transpose()
    }

    fn page(&mut self) -> Result<Option<Page>> {
        if self.plan.is_none() && self.pager.is_none() {
            return Ok(None);
        }
        let log = match &mut self.log {
            Ok(log) => Arc::clone(log),
            failed => return std::mem::replace(failed, Err(Error::Closed)).map(|_| None),
        };
        if *self.closed.borrow() {
            return Err(Error::Closed);
        }
        let parts = [MemoryPart(&log)];
        let parts = log.parts(&parts)?;
        if let Some(plan) = self.plan.take() {
            self.pager = Some(Pager::new(plan, &parts)?);
        }
        let Some(pager) = &mut self.pager else {
            return Ok(None);
        };
        let page = pager.next(&parts)?;
        if pager.is_done() {
            self.pager = None;
        }
        Ok(page)
    }
}
