//! A run of events of one segment, with its index: in memory for the tail of a topic, in an index
//! file for the rest.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use uuid::Uuid;

use super::{
    disk,
    frame::{FRAME_HEADER, RECORD_HEADER, record_crc, u32_at},
    index_file::IndexFile,
    segment::{Files, Segment},
    walk::{Item, Stop, Walk},
};
use crate::{
    models::{Error, Position, RecordedEvent, Result, StreamState, TopicName, Version},
    repository::{
        index::{Index, Key, Span},
        paging::{PAGE_BYTES, PAGE_EVENTS},
        parts::{Part, Probe},
        record::RecordView,
    },
};

/// Records that are no further apart than this are read together.
const GAP: u64 = 8 << 10;
/// How much is read together at most, but for one record that is longer.
const RUN: u64 = 256 << 10;

/// A run of events of one segment.
#[derive(Debug)]
pub(super) struct FilePart {
    pub(super) segment: Arc<Segment>,
    pub(super) index: PartIndex,
}

/// Where the index of a part is.
#[derive(Debug)]
pub(super) enum PartIndex {
    /// In memory. The lock is held for as long as it takes to add one append, or to collect what
    /// one page needs.
    Live(RwLock<Live>),
    /// In an index file.
    Stored(Box<IndexFile>),
}

/// The index of the events that are not in an index file yet.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) index: Index,
    /// Where each event is in the segment.
    pub(super) offsets: Vec<u32>,
}

impl Live {
    pub(super) fn new(before: Position) -> Self {
        Self {
            index: Index::new(before),
            offsets: Vec::new(),
        }
    }

    /// Takes back all events after `last`.
    pub(super) fn truncate(&mut self, last: Position) {
        self.index.truncate(last);
        self.offsets.truncate(self.index.len());
    }
}

impl FilePart {
    /// An empty part after `before`.
    pub(super) fn live(segment: &Arc<Segment>, before: Position) -> Self {
        let index = PartIndex::Live(RwLock::new(Live::new(before)));
        Self {
            segment: Arc::clone(segment),
            index,
        }
    }

    pub(super) fn before(&self) -> Position {
        match &self.index {
            PartIndex::Live(live) => live.read().index.before(),
            PartIndex::Stored(index) => index.before(),
        }
    }

    pub(super) fn last(&self) -> Position {
        match &self.index {
            PartIndex::Live(live) => live.read().index.last(),
            PartIndex::Stored(index) => index.last(),
        }
    }

    /// Whether its index is in a file.
    pub(super) const fn is_stored(&self) -> bool {
        matches!(self.index, PartIndex::Stored(_))
    }

    /// Whether its index file was found damaged.
    pub(super) fn is_damaged(&self) -> bool {
        matches!(&self.index, PartIndex::Stored(index) if index.is_damaged())
    }

    /// Where in the segment an event of the part is.
    fn offset(&self, position: Position) -> Result<u64> {
        let found = match &self.index {
            PartIndex::Live(live) => {
                let live = live.read();
                let nth = position.get().saturating_sub(live.index.before().get() + 1);
                live.offsets
                    .get(nth as usize)
                    .map(|offset| u64::from(*offset))
            }
            PartIndex::Stored(index) => return index.offset(index.ordinal(position)),
        };
        found.ok_or_else(|| {
            disk::corruption(
                &self.segment.path,
                0,
                format!("the index has no position {position}"),
            )
        })
    }
}

impl FilePart {
    /// Where in the segment these events are, as far as one page goes.
    fn offsets(&self, positions: &[Position], places: &mut Vec<(Position, u64)>) -> Result<()> {
        let positions = positions.iter().take(PAGE_EVENTS);
        match &self.index {
            PartIndex::Stored(index) => index.offsets(positions, places),
            PartIndex::Live(_) => {
                for position in positions {
                    places.push((*position, self.offset(*position)?));
                }
                Ok(())
            }
        }
    }
}

/// A part as it is searched: by a reader, or by the writer, which also sees what it has not
/// written yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct PartView<'a> {
    pub(super) part: &'a FilePart,
    pub(super) topic: &'a TopicName,
    pub(super) files: &'a Files,
    /// What is beyond this offset of the segment is here, and not in the file.
    pub(super) unwritten: Option<(u64, &'a [u8])>,
}

impl PartView<'_> {
    fn read(&self, offset: u64, length: usize) -> Result<Bytes> {
        if let Some((from, bytes)) = self.unwritten
            && let Some(skip) = offset.checked_sub(from)
        {
            let rest = bytes.get(skip as usize..).unwrap_or_default();
            return Ok(Bytes::copy_from_slice(rest.get(..length).unwrap_or(rest)));
        }
        let segment = &self.part.segment;
        let file = segment.file(self.files)?;
        let bytes = disk::read_at(&file, offset, length)
            .map_err(|error| self.files.failed("read", &segment.path, error))?;
        Ok(bytes.into())
    }

    /// The content of the record at `offset`, which is `from` bytes into `page`; none if it goes
    /// beyond the page.
    fn content(
        &self,
        page: &Bytes,
        from: usize,
        offset: u64,
        position: Position,
    ) -> Result<Option<Bytes>> {
        let head = page.get(from..).unwrap_or_default();
        if head.len() < RECORD_HEADER {
            return Ok(None);
        }
        let length = u32_at(head, 0) as usize;
        if length > super::frame::MAX_RECORD {
            return Err(self.damaged(offset, "the record is longer than any record can be"));
        }
        let start = from + RECORD_HEADER;
        if page.len() < start + length {
            return Ok(None);
        }
        let content = page.slice(start..start + length);
        if record_crc(&content, self.part.segment.epoch, position) != u32_at(head, 4) {
            return Err(self.damaged(offset, "the checksum of the record is wrong"));
        }
        Ok(Some(content))
    }

    /// Adds the event of a record, which is a part of `page`.
    fn push_event(
        &self,
        (page, content): (&Bytes, &[u8]),
        (topic, position): (&TopicName, Position),
        offset: u64,
        out: &mut Vec<RecordedEvent>,
    ) -> Result<()> {
        let event = RecordView::decode(content, self.part.segment.base)
            .and_then(|view| view.to_event(page, topic, position))
            .map_err(|reason| self.damaged(offset, reason))?;
        out.push(event);
        Ok(())
    }

    fn damaged(&self, offset: u64, reason: &str) -> Error {
        disk::corruption(&self.part.segment.path, offset, reason)
    }

    /// Reads one record that is longer than its page.
    fn single(&self, offset: u64, position: Position) -> Result<Bytes> {
        let head = self.read(offset, RECORD_HEADER)?;
        let length = u32_at(&head, 0) as usize;
        if head.len() < RECORD_HEADER || length > super::frame::MAX_RECORD {
            return Err(self.damaged(offset, "there is no record here"));
        }
        let page = self.read(offset, RECORD_HEADER + length)?;
        self.content(&page, 0, offset, position)?
            .ok_or_else(|| self.damaged(offset, "the record is cut off"))
    }

    /// Reads the events at `places`, of which those that are close together are read at once.
    fn read_run(&self, places: &[(Position, u64)], out: &mut Vec<RecordedEvent>) -> Result<usize> {
        let low = places.iter().map(|(_, offset)| *offset).min().unwrap_or(0);
        let high = places.iter().map(|(_, offset)| *offset).max().unwrap_or(0);
        // The length of the last record is not known yet: most are within a few hundred bytes.
        let page = self.read(low, (high - low) as usize + 1024)?;
        let mut bytes = 0;
        for (position, offset) in places {
            let from = (offset - low) as usize;
            let content = match self.content(&page, from, *offset, *position)? {
                Some(content) => content,
                None => self.single(*offset, *position)?,
            };
            bytes += content.len();
            self.push_event((&content, &content), (self.topic, *position), *offset, out)?;
        }
        Ok(bytes)
    }

    /// Whether the record of this ordinal has the id.
    fn has_id(&self, position: Position, id: Uuid) -> Result<bool> {
        let offset = self.part.offset(position)?;
        let content = self.single(offset, position)?;
        let view = RecordView::decode(&content, self.part.segment.base)
            .map_err(|reason| self.damaged(offset, reason))?;
        Ok(view.id == id)
    }
}

impl Part for PartView<'_> {
    fn before(&self) -> Position {
        self.part.before()
    }

    fn last(&self) -> Position {
        self.part.last()
    }

    fn position_of(&self, id: &Probe<Uuid>) -> Result<Option<Position>> {
        let index = match &self.part.index {
            PartIndex::Live(live) => return Ok(live.read().index.position_of(id.what)),
            PartIndex::Stored(index) => index,
        };
        for ordinal in index.candidates(id)? {
            let position = index.before().forward(u64::from(ordinal));
            if self.has_id(position, id.what)? {
                return Ok(Some(position));
            }
        }
        Ok(None)
    }

    fn stream(&self, stream: &Probe<&[u8]>, head: Position) -> Result<Option<StreamState>> {
        match &self.part.index {
            PartIndex::Live(live) => Ok(live.read().index.stream(stream.what, head)),
            PartIndex::Stored(index) => index.stream(stream, index.ordinal(head)),
        }
    }

    fn position_of_version(&self, stream: &[u8], version: Version) -> Result<Option<Position>> {
        match &self.part.index {
            PartIndex::Live(live) => Ok(live.read().index.position_of_version(stream, version)),
            PartIndex::Stored(index) => {
                let ordinal = index.version(stream, version)?;
                Ok(ordinal.map(|ordinal| index.before().forward(u64::from(ordinal))))
            }
        }
    }

    fn count(&self, key: Key<'_>) -> Result<usize> {
        match &self.part.index {
            PartIndex::Live(live) => Ok(live.read().index.count(key)),
            PartIndex::Stored(index) => index.count(key),
        }
    }

    fn postings(&self, key: Key<'_>, span: &Span, most: usize) -> Result<Vec<Position>> {
        match &self.part.index {
            PartIndex::Live(live) => Ok(live.read().index.postings(key, span, most)),
            PartIndex::Stored(index) => index.postings(key, span, most),
        }
    }

    fn fetch(&self, positions: &[Position], out: &mut Vec<RecordedEvent>) -> Result<()> {
        let mut places: Vec<(Position, u64)> = Vec::with_capacity(positions.len().min(PAGE_EVENTS));
        self.part.offsets(positions, &mut places)?;
        let mut bytes = 0;
        let mut rest = &places[..];
        while !rest.is_empty() && bytes < PAGE_BYTES {
            let (run, later) = rest.split_at(close_together(rest));
            bytes += self.read_run(run, out)?;
            rest = later;
        }
        Ok(())
    }

    fn scan(&self, span: &Span, out: &mut Vec<RecordedEvent>) -> Result<()> {
        let segment = &self.part.segment;
        let first = span.after.next();
        let offset = self.part.offset(first)?;
        if self.unwritten.is_some_and(|(from, _)| offset >= from) {
            let positions: Vec<_> = (span.after.get()..span.up_to.get())
                .map(|before| Position::new(before + 1))
                .collect();
            return self.fetch(&positions, out);
        }
        let file = segment.file(self.files)?;
        // What few events need is read, and no more.
        let events = (span.up_to.get() - span.after.get()) as usize;
        let stride = (events.saturating_mul(512) + FRAME_HEADER).clamp(4 << 10, PAGE_BYTES);
        let mut walk = Walk::new(segment, &file, offset, first, stride);
        let topic = self.topic.unshared();
        let mut bytes = 0;
        while bytes < PAGE_BYTES && out.len() < PAGE_EVENTS && walk.next_position() <= span.up_to {
            let item = walk.step().map_err(|stop| self.stopped(stop))?;
            match item {
                Some(Item::Frame(_)) => {}
                Some(Item::Record {
                    position,
                    offset,
                    content,
                    page,
                }) => {
                    bytes += content.len();
                    self.push_event((page, content), (&topic, position), offset, out)?;
                }
                None => {
                    return Err(
                        self.damaged(walk.offset(), "the segment ends before its last event")
                    );
                }
            }
            if self
                .unwritten
                .is_some_and(|(from, _)| walk.offset() >= from)
            {
                break;
            }
        }
        Ok(())
    }
}

impl PartView<'_> {
    fn stopped(&self, stop: Stop) -> Error {
        match stop {
            Stop::Bad { offset, reason } => self.damaged(offset, reason),
            Stop::Io(error) => self.files.failed("read", &self.part.segment.path, error),
        }
    }
}

/// How many of the first places can be read at once.
fn close_together(places: &[(Position, u64)]) -> usize {
    let Some((_, first)) = places.first() else {
        return 0;
    };
    let mut last = *first;
    let close = places.iter().take_while(|(_, offset)| {
        let near = offset.abs_diff(last) <= GAP && offset.abs_diff(*first) <= RUN;
        last = *offset;
        near
    });
    close.count().max(1)
}
