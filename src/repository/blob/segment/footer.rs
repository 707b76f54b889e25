//! The footer of a segment: where its tables are.
//!
//! ```text
//! segment: data | streams | ids | keys | filter | footer | footer length u32, "annalsSG"
//! footer:  "annalsSF" version u16  before, last varint  four tables  filter  crc u32
//! ```

use bytes::{BufMut, Bytes, BytesMut};
use crc32c::crc32c;

use super::{
    filter::FilterIndex,
    table::{Malformed, Output, TableIndex},
};
use crate::{
    models::Position,
    repository::varint::{Cursor, put_varint},
};

const MAGIC: &[u8; 8] = b"annalsSF";
const END: &[u8; 8] = b"annalsSG";
const VERSION: u16 = 1;

/// What a segment holds, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::repository::blob) struct Footer {
    /// The position before the first event.
    pub(in crate::repository::blob) before: Position,
    /// The position of the last event.
    pub(in crate::repository::blob) last: Position,
    /// Records by position.
    pub(in crate::repository::blob) data: TableIndex,
    /// The same records by stream and position.
    pub(in crate::repository::blob) streams: TableIndex,
    /// Positions by id.
    pub(in crate::repository::blob) ids: TableIndex,
    /// Positions by type and tag.
    pub(in crate::repository::blob) keys: TableIndex,
    /// Which ids, streams, types and tags there are.
    pub(in crate::repository::blob) filter: FilterIndex,
}

impl Footer {
    /// Writes the footer, and what is at the end of the object. Tells how long the footer is.
    pub(super) fn encode(&self, out: &mut Output) -> u32 {
        let mut bytes = BytesMut::new();
        bytes.put_slice(MAGIC);
        bytes.put_u16_le(VERSION);
        put_varint(&mut bytes, self.before.get());
        put_varint(&mut bytes, self.last.get());
        for table in [&self.data, &self.streams, &self.ids, &self.keys] {
            table.encode(&mut bytes);
        }
        self.filter.encode(&mut bytes);
        let length = bytes.len() as u32 + 4;
        out.block(&bytes);
        out.bytes.put_u32_le(length);
        out.bytes.put_slice(END);
        length
    }

    /// Reads a footer, without what follows it.
    pub(in crate::repository::blob) fn decode(bytes: &Bytes) -> Result<Self, Malformed> {
        let end = bytes
            .len()
            .checked_sub(4)
            .ok_or("the footer is too short")?;
        let content = bytes.slice(..end);
        let checksum = bytes.get(end..).and_then(|four| four.first_chunk());
        if checksum.map(|four| u32::from_le_bytes(*four)) != Some(crc32c(&content)) {
            return Err("the checksum of the footer is wrong");
        }
        let mut rest = Cursor(&content);
        if rest.take(8)? != MAGIC {
            return Err("it has no footer");
        }
        if rest.take(2)? != VERSION.to_le_bytes() {
            return Err("it was written by a newer version");
        }
        let before = Position::new(rest.varint()?);
        let last = Position::new(rest.varint()?);
        let mut table = || TableIndex::decode(&mut rest, &content);
        let (data, streams, ids, keys) = (table()?, table()?, table()?, table()?);
        Ok(Self {
            before,
            last,
            data,
            streams,
            ids,
            keys,
            filter: FilterIndex::decode(&mut rest)?,
        })
    }

    /// How many bytes it takes in memory, about.
    pub(in crate::repository::blob) fn weight(&self) -> usize {
        let of = |table: &TableIndex| {
            let of_key = |block: &super::table::BlockRef| block.first_key.len() + 56;
            table.blocks.iter().map(of_key).sum::<usize>()
        };
        256 + of(&self.data) + of(&self.streams) + of(&self.ids) + of(&self.keys)
    }
}
