//! Where in a segment the events of a stream, a type or a tag are.

use bytes::Bytes;

use super::{
    footer::Footer,
    keys::{decode_postings, key_key, split, stream_key},
    part::SegmentPart,
    table::{BlockRef, TableIndex},
};
use crate::{
    models::{Position, Result},
    repository::{
        blob::desk::absent,
        index::{Key, Span},
        paging::PAGE_BYTES,
    },
};

/// The blocks of a table that may have keys from `from` up to `to`.
pub(super) fn blocks_between<'t>(table: &'t TableIndex, from: &[u8], to: &[u8]) -> &'t [BlockRef] {
    let first = table.block_of(from);
    let end = table
        .blocks
        .partition_point(|block| block.first_key[..] <= *to);
    table.blocks.get(first..end).unwrap_or_default()
}

impl SegmentPart<'_> {
    /// The contents of blocks, from the front or from the back. Where one is not at hand, all of
    /// them are wanted, up to what one asks for at once.
    fn contents<'b>(
        &self,
        blocks: &'b [BlockRef],
        backward: bool,
        enough: u64,
    ) -> Result<Vec<(&'b BlockRef, Bytes)>> {
        let mut contents = Vec::new();
        let mut missing = false;
        let mut bytes = 0;
        let mut take = |block: &'b BlockRef| {
            match self.desk.look(self.segment, block) {
                Some(content) => contents.push((block, content)),
                None => {
                    self.desk.want(self.segment, block);
                    missing = true;
                }
            }
            bytes += u64::from(block.length);
            bytes < enough
        };
        if backward {
            let _all = blocks.iter().rev().all(&mut take);
        } else {
            let _all = blocks.iter().all(&mut take);
        }
        if missing { Err(absent()) } else { Ok(contents) }
    }

    pub(super) fn stream_postings(
        &self,
        footer: &Footer,
        stream: &[u8],
        span: &Span,
        most: usize,
    ) -> Result<Vec<Position>> {
        let from = stream_key(stream, span.after.next());
        let to = stream_key(stream, span.up_to);
        let blocks = blocks_between(&footer.streams, &from, &to);
        let mut found = Vec::new();
        let mut rest = blocks;
        while !rest.is_empty() && found.len() < most {
            // Who wants one event needs one block.
            let enough = if most > 1 { PAGE_BYTES as u64 } else { 1 };
            let contents = self.contents(rest, span.backward, enough)?;
            let looked = contents.len();
            for (block, content) in contents {
                let mut of_block = Vec::new();
                let mut met = self.met.borrow_mut();
                self.walk(block, &content, |entry| {
                    if entry.key >= &from[..] && entry.key <= &to[..] {
                        let (_, position) = split(entry.key)?;
                        met.insert(position, content.slice_ref(entry.value));
                        of_block.push(position);
                    }
                    Ok(entry.key <= &to[..])
                })?;
                if span.backward {
                    of_block.reverse();
                }
                found.extend(of_block);
            }
            rest = if span.backward {
                rest.get(..rest.len() - looked).unwrap_or_default()
            } else {
                rest.get(looked..).unwrap_or_default()
            };
        }
        found.truncate(most);
        if span.backward {
            found.reverse();
        }
        Ok(found)
    }

    pub(super) fn key_postings(
        &self,
        footer: &Footer,
        key: Key<'_>,
        span: &Span,
        most: usize,
    ) -> Result<Vec<Position>> {
        // The entry that holds the first position may begin before it.
        let prefix = key_key(key, Position::START);
        let from = key_key(key, span.after.next());
        let to = key_key(key, span.up_to);
        let name = prefix.get(..prefix.len() - 8).unwrap_or_default();
        let blocks = blocks_between(&footer.keys, &from, &to);
        let mut found = Vec::new();
        let mut rest = blocks;
        while !rest.is_empty() && found.len() < most {
            let contents = self.contents(rest, span.backward, 1)?;
            let looked = contents.len();
            for (block, content) in contents {
                let mut of_block = Vec::new();
                self.walk(block, &content, |entry| {
                    if split(entry.key)?.0 == name && entry.key <= &to[..] {
                        decode_postings(entry.value, &mut of_block)?;
                    }
                    Ok(entry.key <= &to[..])
                })?;
                of_block.retain(|one| *one > span.after && *one <= span.up_to);
                if span.backward {
                    of_block.reverse();
                }
                found.extend(of_block);
            }
            rest = if span.backward {
                rest.get(..rest.len() - looked).unwrap_or_default()
            } else {
                rest.get(looked..).unwrap_or_default()
            };
        }
        found.truncate(most);
        if span.backward {
            found.reverse();
        }
        Ok(found)
    }
}
