//! A segment as it is searched, with what is at hand of it.

use std::{cell::RefCell, collections::HashMap, sync::Arc};

use bytes::Bytes;
use uuid::Uuid;

use super::{
    filter::{hash_id, hash_key},
    footer::Footer,
    keys::{data_key, decode_position, split, stream_key},
    postings::blocks_between,
    table::{BlockRef, Entries, Entry, Malformed},
};
use crate::{
    models::{Error, Position, RecordedEvent, Result, StreamState, Timestamp, TopicName, Version},
    repository::{
        blob::desk::{Desk, Segment, absent},
        index::{Key, KeyKind, Span},
        paging::{PAGE_BYTES, PAGE_EVENTS},
        parts::{Part, Probe},
        record::RecordView,
    },
};

/// No more than this is asked for at once, for one page of events that lie apart.
const SCATTERED_BYTES: u64 = 4 << 20;

/// A segment as it is searched.
#[derive(Debug)]
pub(in crate::repository::blob) struct SegmentPart<'a> {
    pub(super) segment: &'a Arc<Segment>,
    topic: &'a TopicName,
    base: Timestamp,
    pub(super) desk: &'a Desk<'a>,
    /// How many bytes behind what is needed a scan asks for.
    ahead: u64,
    /// Records of streams that were met on the way.
    pub(super) met: RefCell<HashMap<Position, Bytes>>,
}

impl<'a> SegmentPart<'a> {
    pub(in crate::repository::blob) fn new(
        segment: &'a Arc<Segment>,
        topic: &'a TopicName,
        base: Timestamp,
        desk: &'a Desk<'a>,
        ahead: u64,
    ) -> Self {
        Self {
            segment,
            topic,
            base,
            desk,
            ahead,
            met: RefCell::default(),
        }
    }

    fn footer(&self) -> Result<Arc<Footer>> {
        self.desk.footer(self.segment)
    }

    fn damaged(&self, offset: u64, reason: Malformed) -> Error {
        Error::Corruption {
            place: format!("object {}, byte {offset}", self.segment.key),
            reason: reason.to_owned(),
        }
    }

    /// Whether the filter lets a hash pass.
    fn may_have(&self, footer: &Footer, hash: u64) -> Result<bool> {
        let Some(block) = footer.filter.block_of(hash) else {
            return Ok(true);
        };
        let content = self.desk.block(self.segment, &block)?;
        Ok(footer.filter.may_have(hash, &content))
    }

    /// Gives the entries of a block to `take`, until it has enough.
    pub(super) fn walk<'b>(
        &self,
        block: &BlockRef,
        content: &'b Bytes,
        mut take: impl FnMut(Entry<'b>) -> Result<bool, Malformed>,
    ) -> Result<bool> {
        for entry in Entries::new(content) {
            let more = entry.and_then(&mut take);
            if !more.map_err(|reason| self.damaged(block.offset, reason))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn event(
        &self,
        position: Position,
        record: &Bytes,
        topic: &TopicName,
    ) -> Result<RecordedEvent> {
        RecordView::decode(record, self.base)
            .and_then(|view| view.to_event(record, topic, position))
            .map_err(|reason| Error::Corruption {
                place: format!("object {}, position {position}", self.segment.key),
                reason: reason.to_owned(),
            })
    }

    /// The record at a position that was not met on the way.
    fn record(&self, footer: &Footer, position: Position) -> Result<Bytes> {
        let key = data_key(position);
        let number = footer.data.block_of(&key);
        let lost = || self.damaged(0, "an index names an event that is not there");
        let block = footer.data.blocks.get(number).ok_or_else(lost)?;
        let content = self.desk.block(self.segment, block)?;
        let mut found = None;
        self.walk(block, &content, |entry| {
            if entry.key == key {
                found = Some(content.slice_ref(entry.value));
            }
            Ok(found.is_none())
        })?;
        found.ok_or_else(lost)
    }
}

impl Part for SegmentPart<'_> {
    fn before(&self) -> Position {
        self.segment.entry.before
    }

    fn last(&self) -> Position {
        self.segment.entry.last
    }

    fn position_of(&self, id: &Probe<Uuid>) -> Result<Option<Position>> {
        let entry = &self.segment.entry;
        if id.what < entry.least_id || id.what > entry.greatest_id {
            return Ok(None);
        }
        let footer = self.footer()?;
        if !self.may_have(&footer, id.hash(hash_id))? {
            return Ok(None);
        }
        let key = id.what.as_bytes();
        let Some(block) = footer.ids.blocks.get(footer.ids.block_of(key)) else {
            return Ok(None);
        };
        let content = self.desk.block(self.segment, block)?;
        let mut found = None;
        self.walk(block, &content, |entry| {
            if entry.key == key {
                found = Some(decode_position(entry.value)?);
            }
            Ok(found.is_none())
        })?;
        Ok(found)
    }

    fn stream(&self, stream: &Probe<&[u8]>, head: Position) -> Result<Option<StreamState>> {
        let footer = self.footer()?;
        let key = Key::stream(stream.what);
        if !self.may_have(&footer, stream.hash(|_| hash_key(key)))? {
            return Ok(None);
        }
        let span = Span {
            after: self.before(),
            up_to: head.min(self.last()),
            backward: true,
        };
        let last = self.stream_postings(&footer, stream.what, &span, 1)?;
        let Some(position) = last.first() else {
            return Ok(None);
        };
        let met = self.met.borrow();
        let record = met.get(position).cloned().unwrap_or_default();
        let view = RecordView::decode(&record, self.base);
        let view = view.map_err(|reason| self.damaged(0, reason))?;
        // A stream that is deleted takes nothing but its restoration.
        let deleted = view.deletion() == Some(true);
        Ok(Some(StreamState::new(view.version, deleted)))
    }

    fn position_of_version(&self, stream: &[u8], version: Version) -> Result<Option<Position>> {
        let footer = self.footer()?;
        if !self.may_have(&footer, hash_key(Key::stream(stream)))? {
            return Ok(None);
        }
        let from = stream_key(stream, Position::START);
        let to = stream_key(stream, Position::MAX);
        let mut blocks = blocks_between(&footer.streams, &from, &to);
        // Versions ascend with positions.
        while !blocks.is_empty() {
            let middle = blocks.len() / 2;
            let Some(block) = blocks.get(middle) else {
                break;
            };
            let content = self.desk.block(self.segment, block)?;
            let (mut found, mut lesser, mut greater) = (None, false, false);
            self.walk(block, &content, |entry| {
                if entry.key < &from[..] {
                    return Ok(true);
                }
                if entry.key > &to[..] {
                    greater = true;
                    return Ok(false);
                }
                let here = RecordView::decode(entry.value, self.base)?.version;
                if here == version {
                    found = Some(split(entry.key)?.1);
                }
                lesser |= here < version;
                greater |= here > version;
                Ok(found.is_none() && !greater)
            })?;
            if found.is_some() {
                return Ok(found);
            }
            blocks = if greater && lesser {
                &[]
            } else if greater {
                blocks.get(..middle).unwrap_or_default()
            } else {
                blocks.get(middle + 1..).unwrap_or_default()
            };
        }
        Ok(None)
    }

    fn count(&self, key: Key<'_>) -> Result<usize> {
        let footer = self.footer()?;
        if !self.may_have(&footer, hash_key(key))? {
            return Ok(0);
        }
        let span = Span {
            after: self.before(),
            up_to: self.last(),
            backward: false,
        };
        // Which of several is rarest is seen in the first blocks.
        Ok(self.key_postings(&footer, key, &span, 4096)?.len())
    }

    fn fitting(&self, key: Key<'_>) -> Result<usize> {
        if key.kind != KeyKind::Stream {
            return Ok(usize::MAX);
        }
        let footer = self.footer()?;
        let from = stream_key(key.text, Position::START);
        let to = stream_key(key.text, Position::MAX);
        let blocks = blocks_between(&footer.streams, &from, &to);
        let bytes: u64 = blocks.iter().map(|block| u64::from(block.length)).sum();
        let entries: u64 = blocks.iter().map(|block| u64::from(block.entries)).sum();
        let each = bytes / entries.max(1);
        Ok(usize::try_from(PAGE_BYTES as u64 / each.max(1)).unwrap_or(usize::MAX))
    }

    fn postings(&self, key: Key<'_>, span: &Span, most: usize) -> Result<Vec<Position>> {
        let footer = self.footer()?;
        if !self.may_have(&footer, hash_key(key))? {
            return Ok(Vec::new());
        }
        match key.kind {
            KeyKind::Stream => self.stream_postings(&footer, key.text, span, most),
            KeyKind::Type | KeyKind::Tag => self.key_postings(&footer, key, span, most),
        }
    }

    fn fetch(&self, positions: &[Position], out: &mut Vec<RecordedEvent>) -> Result<()> {
        let footer = self.footer()?;
        let met = self.met.borrow();
        // What is missing is asked for together.
        let (mut missing, mut bytes, mut last) = (false, 0, usize::MAX);
        for position in positions.iter().filter(|one| !met.contains_key(one)) {
            let number = footer.data.block_of(&data_key(*position));
            let Some(block) = footer.data.blocks.get(number).filter(|_| number != last) else {
                continue;
            };
            last = number;
            if self.desk.look(self.segment, block).is_none() {
                self.desk.want(self.segment, block);
                missing = true;
            }
            bytes += u64::from(block.length);
            if bytes > SCATTERED_BYTES {
                break;
            }
        }
        if missing {
            return Err(absent());
        }
        let topic = self.topic.unshared();
        let mut bytes = 0;
        for (nth, position) in positions.iter().take(PAGE_EVENTS).enumerate() {
            let record = match met.get(position) {
                Some(record) => record.clone(),
                None => {
                    // What was not asked for above is for the next page.
                    let number = footer.data.block_of(&data_key(*position));
                    let block = footer.data.blocks.get(number);
                    let there = block.and_then(|one| self.desk.look(self.segment, one));
                    if there.is_none() && nth > 0 {
                        break;
                    }
                    self.record(&footer, *position)?
                }
            };
            out.push(self.event(*position, &record, &topic)?);
            bytes += record.len();
            if bytes >= PAGE_BYTES {
                break;
            }
        }
        Ok(())
    }

    fn scan(&self, span: &Span, out: &mut Vec<RecordedEvent>) -> Result<()> {
        let footer = self.footer()?;
        let first = span.after.next();
        let (from, to) = (data_key(first), data_key(span.up_to));
        let blocks = blocks_between(&footer.data, &from, &to);
        let topic = self.topic.unshared();
        let mut bytes = 0;
        for block in blocks {
            let Some(content) = self.desk.look(self.segment, block) else {
                // Once something is missing, what follows is asked for with it.
                let following = footer
                    .data
                    .blocks
                    .get(footer.data.block_of(&block.first_key)..);
                let mut wanted = 0;
                for block in following.unwrap_or_default() {
                    self.desk.want(self.segment, block);
                    wanted += u64::from(block.length);
                    if wanted >= self.ahead.max(1) {
                        break;
                    }
                }
                return Err(absent());
            };
            let mut failed = None;
            self.walk(block, &content, |entry| {
                let (_, position) = split(entry.key)?;
                if position < first {
                    return Ok(true);
                }
                if position > span.up_to {
                    return Ok(false);
                }
                let record = content.slice_ref(entry.value);
                match self.event(position, &record, &topic) {
                    Ok(event) => out.push(event),
                    Err(error) => failed = Some(error),
                }
                bytes += record.len();
                Ok(failed.is_none() && bytes < PAGE_BYTES && out.len() < PAGE_EVENTS)
            })?;
            if let Some(error) = failed {
                return Err(error);
            }
            if bytes >= PAGE_BYTES || out.len() >= PAGE_EVENTS {
                break;
            }
        }
        Ok(())
    }
}
