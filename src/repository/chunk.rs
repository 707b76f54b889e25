//! The records of one append, one behind the other, as memory and blob repositories keep them.

use bytes::BytesMut;

use super::record::RecordView;
use crate::models::Timestamp;

/// Records are written into blocks of this many bytes; a larger one gets a block of its own.
const BLOCK_BYTES: usize = 64 << 10;

/// Writes each record behind its length, and tells where they are.
pub(crate) fn write_records(
    block: &mut BytesMut,
    records: &[RecordView<'_>],
    base: Timestamp,
) -> Vec<u32> {
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

/// The record whose length is at `start`.
pub(crate) fn record_at(page: &[u8], start: u32) -> Option<&[u8]> {
    let (length, rest) = page.get(start as usize..)?.split_first_chunk::<4>()?;
    rest.get(..u32::from_le_bytes(*length) as usize)
}
