//! A sorted table within a segment: entries of a key and a value in blocks, each with a checksum,
//! and the first key of each block.
//!
//! ```text
//! block: entries of  key length varint, key, value length varint, value;  crc u32
//! ```
//! Keys are never equal. A block is as long as it has to be for one entry, and else not much longer
//! than its table's target.

use bytes::{BufMut, Bytes, BytesMut};
use crc32c::crc32c;

use crate::repository::varint::{Cursor, put_bytes, put_varint};

/// No object is larger: 1 EiB.
pub(super) const MOST_OFFSET: u64 = 1 << 60;

/// What is wrong with a block or a footer.
pub(in crate::repository::blob) use crate::repository::varint::Malformed;

/// One block of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::repository::blob) struct BlockRef {
    pub(in crate::repository::blob) first_key: Bytes,
    /// Where it begins in the object.
    pub(in crate::repository::blob) offset: u64,
    /// How long it is, its checksum included.
    pub(in crate::repository::blob) length: u32,
    pub(in crate::repository::blob) entries: u32,
}

/// The blocks of a table, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::repository::blob) struct TableIndex {
    pub(in crate::repository::blob) blocks: Vec<BlockRef>,
}

impl TableIndex {
    /// The number of the block in which the greatest key that is not greater than `key` is; 0 where
    /// there is none.
    pub(in crate::repository::blob) fn block_of(&self, key: &[u8]) -> usize {
        let after = self
            .blocks
            .partition_point(|block| block.first_key[..] <= *key);
        after.saturating_sub(1)
    }

    pub(super) fn encode(&self, out: &mut BytesMut) {
        put_varint(out, self.blocks.len() as u64);
        for block in &self.blocks {
            put_bytes(out, &block.first_key);
            put_varint(out, block.offset);
            put_varint(out, u64::from(block.length));
            put_varint(out, u64::from(block.entries));
        }
    }

    pub(super) fn decode(rest: &mut Cursor<'_>, whole: &Bytes) -> Result<Self, Malformed> {
        let count = rest.varint()?;
        let mut blocks = Vec::new();
        let number = |value: u64| u32::try_from(value).map_err(|_| "a number is too large");
        for _ in 0..count {
            let block = BlockRef {
                first_key: whole.slice_ref(rest.bytes()?),
                offset: rest.varint()?,
                length: number(rest.varint()?)?,
                entries: number(rest.varint()?)?,
            };
            if block.offset > MOST_OFFSET || block.length < 4 {
                return Err("a block is where none can be");
            }
            blocks.push(block);
        }
        Ok(Self { blocks })
    }
}

/// What was written of an object, and not yet sent.
#[derive(Debug, Default)]
pub(in crate::repository::blob) struct Output {
    pub(in crate::repository::blob) bytes: BytesMut,
    sent: u64,
}

impl Output {
    pub(super) fn offset(&self) -> u64 {
        self.sent + self.bytes.len() as u64
    }

    /// Takes what there is, to send it.
    pub(in crate::repository::blob) fn take(&mut self) -> Bytes {
        self.sent += self.bytes.len() as u64;
        self.bytes.split().freeze()
    }

    /// Writes a block and its checksum.
    pub(super) fn block(&mut self, block: &[u8]) {
        self.bytes.put_slice(block);
        self.bytes.put_u32_le(crc32c(block));
    }
}

/// Writes a table.
#[derive(Debug)]
pub(super) struct TableWriter {
    target: usize,
    block: Vec<u8>,
    first_key: Vec<u8>,
    entries: u32,
    index: TableIndex,
}

impl TableWriter {
    pub(super) fn new(target: usize) -> Self {
        Self {
            target,
            block: Vec::new(),
            first_key: Vec::new(),
            entries: 0,
            index: TableIndex::default(),
        }
    }

    /// Adds the next entry; keys ascend.
    pub(super) fn push(&mut self, key: &[u8], value: &[u8], out: &mut Output) {
        if !self.block.is_empty() && self.block.len() + key.len() + value.len() > self.target {
            self.close(out);
        }
        if self.block.is_empty() {
            self.first_key.clear();
            self.first_key.extend_from_slice(key);
        }
        put_bytes(&mut self.block, key);
        put_bytes(&mut self.block, value);
        self.entries += 1;
    }

    fn close(&mut self, out: &mut Output) {
        self.index.blocks.push(BlockRef {
            first_key: Bytes::copy_from_slice(&self.first_key),
            offset: out.offset(),
            length: self.block.len() as u32 + 4,
            entries: self.entries,
        });
        out.block(&self.block);
        self.block.clear();
        self.entries = 0;
    }

    pub(super) fn finish(mut self, out: &mut Output) -> TableIndex {
        if !self.block.is_empty() {
            self.close(out);
        }
        self.index
    }
}

/// The content of a block whose checksum is right.
pub(in crate::repository::blob) fn check(block: &Bytes) -> Result<Bytes, Malformed> {
    let end = block.len().checked_sub(4).ok_or("a block is too short")?;
    let content = block.slice(..end);
    let expected = block.get(end..).and_then(|four| four.first_chunk());
    if expected.map(|four| u32::from_le_bytes(*four)) != Some(crc32c(&content)) {
        return Err("the checksum of a block is wrong");
    }
    Ok(content)
}

/// One entry of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::repository::blob) struct Entry<'a> {
    pub(in crate::repository::blob) key: &'a [u8],
    pub(in crate::repository::blob) value: &'a [u8],
}

/// The entries of a block's content, in order. It ends with the first that is malformed.
#[derive(Debug)]
pub(in crate::repository::blob) struct Entries<'a>(Cursor<'a>);

impl<'a> Entries<'a> {
    pub(in crate::repository::blob) const fn new(content: &'a [u8]) -> Self {
        Self(Cursor(content))
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.0.is_empty() {
            return None;
        }
        let mut read = || {
            Ok(Entry {
                key: self.0.bytes()?,
                value: self.0.bytes()?,
            })
        };
        let entry = read();
        if entry.is_err() {
            self.0 = Cursor(&[]);
        }
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_in_the_block_that_the_index_says() {
        let mut out = Output::default();
        let mut writer = TableWriter::new(100);
        let keys: Vec<_> = (0..100_u8).map(|n| [b'k', n]).collect();
        for key in &keys {
            writer.push(key, &vec![key[1]; usize::from(key[1])], &mut out);
        }
        let index = writer.finish(&mut out);
        assert!(index.blocks.len() > 10);
        let entries: u32 = index.blocks.iter().map(|block| block.entries).sum();
        assert_eq!(entries, 100);
        let mut encoded = BytesMut::new();
        index.encode(&mut encoded);
        let encoded = encoded.freeze();
        assert_eq!(
            TableIndex::decode(&mut Cursor(&encoded), &encoded).unwrap(),
            index
        );
        let object = out.take();
        for key in &keys {
            let block = &index.blocks[index.block_of(key)];
            let range = block.offset as usize..block.offset as usize + block.length as usize;
            let content = check(&object.slice(range)).unwrap();
            let found = Entries::new(&content)
                .map(Result::unwrap)
                .find(|one| one.key == key);
            assert_eq!(found.unwrap().value.len(), usize::from(key[1]));
        }
        assert_eq!(index.block_of(b"a"), 0);
    }

    #[test]
    fn a_changed_block_is_found() {
        let mut out = Output::default();
        let mut writer = TableWriter::new(100);
        writer.push(b"key", b"value", &mut out);
        drop(writer.finish(&mut out));
        let object = out.take();
        for at in 0..object.len() {
            let mut changed = object.to_vec();
            changed[at] ^= 4;
            assert!(check(&changed.into()).is_err());
            assert!(check(&object.slice(..at)).is_err());
        }
    }
}
