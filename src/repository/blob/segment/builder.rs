//! Writes segments: from records, and from segments that are merged.

use std::collections::BTreeMap;

use bytes::Bytes;
use uuid::Uuid;

use super::{
    filter::{FilterWriter, hash_id, hash_key},
    footer::Footer,
    keys::{KEY_POSTINGS, data_key, key_key, split, stream_key},
    table::{Malformed, Output, TableIndex, TableWriter},
};
use crate::{
    models::{Position, Timestamp},
    repository::{
        index::{Key, KeyKind},
        record::RecordView,
        varint::put_varint,
    },
};

/// How long blocks are, about: those of records, and those of ids and keys.
pub(super) const RECORD_BLOCK: usize = 64 << 10;
pub(super) const INDEX_BLOCK: usize = 16 << 10;

/// A segment that was written.
#[derive(Clone, Debug)]
pub(in crate::repository::blob) struct Written {
    pub(in crate::repository::blob) footer: Footer,
    pub(in crate::repository::blob) footer_length: u32,
    pub(in crate::repository::blob) length: u64,
    pub(in crate::repository::blob) least_id: Uuid,
    pub(in crate::repository::blob) greatest_id: Uuid,
}

/// The segment of these records, which have the positions after `before`. Takes time, and no more
/// memory than some three times what the records do.
pub(in crate::repository::blob) fn build(
    before: Position,
    records: &[Bytes],
    base: Timestamp,
) -> Result<(Bytes, Written), Malformed> {
    let mut by_stream = Vec::with_capacity(records.len());
    let mut ids = Vec::with_capacity(records.len());
    let mut by_key: BTreeMap<(KeyKind, &[u8]), Vec<Position>> = BTreeMap::new();
    let mut position = before;
    for record in records {
        position = position.next();
        let view = RecordView::decode(record, base)?;
        by_stream.push((view.stream, position, record));
        ids.push((view.id, position));
        let mut post = |kind, text| {
            let postings = by_key.entry((kind, text)).or_default();
            // An event with the same tag twice is found once.
            if postings.last() != Some(&position) {
                postings.push(position);
            }
        };
        post(KeyKind::Type, view.event_type);
        view.each_tag().for_each(|tag| post(KeyKind::Tag, tag));
    }
    by_stream.sort_unstable_by_key(|(stream, position, _)| (*stream, *position));
    ids.sort_unstable();
    let streams = by_stream.chunk_by(|one, other| one.0 == other.0).count();

    let hashes = ids.len() + streams + by_key.len();
    let mut writer = SegmentWriter::new(before, position, hashes as u64);
    let mut position = before;
    for record in records {
        position = position.next();
        writer.push(Table::Data, &data_key(position), record)?;
    }
    writer.end(Table::Data);
    for (stream, position, record) in &by_stream {
        writer.push(Table::Streams, &stream_key(stream, *position), record)?;
    }
    writer.end(Table::Streams);
    for (id, position) in &ids {
        writer.push(Table::Ids, id.as_bytes(), &position.get().to_le_bytes())?;
    }
    writer.end(Table::Ids);
    for ((kind, text), postings) in &by_key {
        let key = Key { kind: *kind, text };
        for chunk in postings.chunks(KEY_POSTINGS) {
            let Some(first) = chunk.first() else { continue };
            writer.push(Table::Keys, &key_key(key, *first), &encode_postings(chunk))?;
        }
    }
    writer.end(Table::Keys);
    let written = writer.finish();
    Ok((writer.out.take(), written))
}

/// Positions as distances from the one before.
fn encode_postings(chunk: &[Position]) -> Vec<u8> {
    let mut out = Vec::with_capacity(chunk.len() * 2);
    let mut before = 0;
    for position in chunk {
        put_varint(&mut out, position.get() - before);
        before = position.get();
    }
    out
}

/// The tables of a segment, in the order in which they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::repository::blob) enum Table {
    Data = 0,
    Streams = 1,
    Ids = 2,
    Keys = 3,
}

impl Table {
    pub(in crate::repository::blob) const ALL: [Self; 4] =
        [Self::Data, Self::Streams, Self::Ids, Self::Keys];

    pub(in crate::repository::blob) const fn of(self, footer: &Footer) -> &TableIndex {
        match self {
            Self::Data => &footer.data,
            Self::Streams => &footer.streams,
            Self::Ids => &footer.ids,
            Self::Keys => &footer.keys,
        }
    }

    const fn block(self) -> usize {
        match self {
            Self::Data | Self::Streams => RECORD_BLOCK,
            Self::Ids | Self::Keys => INDEX_BLOCK,
        }
    }
}

/// Writes a segment from the sorted entries of its tables. Where segments are merged, no key is in two
/// of them: each holds a position, or the id of one event.
#[derive(Debug)]
pub(in crate::repository::blob) struct SegmentWriter {
    pub(in crate::repository::blob) out: Output,
    before: Position,
    last: Position,
    writer: TableWriter,
    done: [TableIndex; 4],
    filter: FilterWriter,
    /// What the key before said of the stream, or of the kind and the text.
    name: Vec<u8>,
    least_id: Option<Uuid>,
    greatest_id: Uuid,
}

impl SegmentWriter {
    /// For the events after one position up to another, with at most so many ids, streams, types
    /// and tags together.
    pub(in crate::repository::blob) fn new(before: Position, last: Position, hashes: u64) -> Self {
        Self {
            out: Output::default(),
            before,
            last,
            writer: TableWriter::new(Table::Data.block()),
            done: Default::default(),
            filter: FilterWriter::new(hashes),
            name: Vec::new(),
            least_id: None,
            greatest_id: Uuid::nil(),
        }
    }

    /// Adds the next entry of a table.
    pub(in crate::repository::blob) fn push(
        &mut self,
        table: Table,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), Malformed> {
        match table {
            Table::Data => {}
            Table::Ids => {
                let id = Uuid::from_slice(key).map_err(|_| "an id is cut off")?;
                self.least_id.get_or_insert(id);
                self.greatest_id = id;
                self.filter.add(hash_id(id));
            }
            Table::Streams | Table::Keys => {
                let (name, _) = split(key)?;
                if name != self.name {
                    self.name.clear();
                    self.name.extend_from_slice(name);
                    self.filter.add(hash_key(key_of(table, name)?));
                }
            }
        }
        self.writer.push(key, value, &mut self.out);
        Ok(())
    }

    /// A table has no more entries.
    pub(in crate::repository::blob) fn end(&mut self, table: Table) {
        let following = Table::ALL.get(table as usize + 1).copied().unwrap_or(table);
        let writer = std::mem::replace(&mut self.writer, TableWriter::new(following.block()));
        if let Some(done) = self.done.get_mut(table as usize) {
            *done = writer.finish(&mut self.out);
        }
        self.name.clear();
    }

    /// Writes the filter and the footer. What is written is in `out`.
    pub(in crate::repository::blob) fn finish(&mut self) -> Written {
        let [data, streams, ids, keys] = std::mem::take(&mut self.done);
        let filter = std::mem::replace(&mut self.filter, FilterWriter::new(0));
        let footer = Footer {
            before: self.before,
            last: self.last,
            data,
            streams,
            ids,
            keys,
            filter: filter.finish(&mut self.out),
        };
        let footer_length = footer.encode(&mut self.out);
        Written {
            footer,
            footer_length,
            length: self.out.offset(),
            least_id: self.least_id.unwrap_or_default(),
            greatest_id: self.greatest_id,
        }
    }
}

/// The key that is looked for by what stands before the position in a key of a table.
fn key_of(table: Table, name: &[u8]) -> Result<Key<'_>, Malformed> {
    let (_, name) = name.split_last().ok_or("a key has no name")?;
    if table == Table::Streams {
        return Ok(Key::stream(name));
    }
    let (kind, text) = name.split_first().ok_or("a key has no kind")?;
    let kind = if *kind == KeyKind::Type as u8 {
        KeyKind::Type
    } else {
        KeyKind::Tag
    };
    Ok(Key { kind, text })
}
