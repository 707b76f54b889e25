//! The keys of a segment's tables, and postings.
//!
//! | table | key | value |
//! | --- | --- | --- |
//! | data | position | record |
//! | streams | stream, 0, position | record |
//! | ids | id | position |
//! | keys | kind, text, 0, position of the first | positions, as distances |
//!
//! In keys a position has 8 bytes, big-endian, so that keys sort as positions do. No stream, type or
//! tag has a byte 0 in it.

use super::table::Malformed;
use crate::{
    models::Position,
    repository::{index::Key, varint::Cursor},
};

/// How many positions an entry of the keys table has at most.
pub(super) const KEY_POSTINGS: usize = 2048;

pub(in crate::repository::blob) const fn data_key(position: Position) -> [u8; 8] {
    position.get().to_be_bytes()
}

pub(in crate::repository::blob) fn stream_key(stream: &[u8], position: Position) -> Vec<u8> {
    let mut key = Vec::with_capacity(stream.len() + 9);
    key.extend_from_slice(stream);
    key.push(0);
    key.extend_from_slice(&position.get().to_be_bytes());
    key
}

pub(in crate::repository::blob) fn key_key(key: Key<'_>, first: Position) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.text.len() + 10);
    out.push(key.kind as u8);
    out.extend_from_slice(key.text);
    out.push(0);
    out.extend_from_slice(&first.get().to_be_bytes());
    out
}

/// The position at the end of a key, and what stands before it, with the 0.
pub(in crate::repository::blob) fn split(key: &[u8]) -> Result<(&[u8], Position), Malformed> {
    let (text, position) = key.split_last_chunk().ok_or("a key is too short")?;
    Ok((text, Position::new(u64::from_be_bytes(*position))))
}

/// The positions of an entry of the keys table.
pub(in crate::repository::blob) fn decode_postings(
    value: &[u8],
    out: &mut Vec<Position>,
) -> Result<(), Malformed> {
    let mut rest = Cursor(value);
    let mut position = 0_u64;
    while !rest.0.is_empty() {
        position = position
            .checked_add(rest.varint()?)
            .ok_or("a position is too large")?;
        out.push(Position::new(position));
    }
    Ok(())
}

/// The position of an entry of the ids table.
pub(in crate::repository::blob) fn decode_position(value: &[u8]) -> Result<Position, Malformed> {
    let position = value.try_into().map_err(|_| "a position is cut off")?;
    Ok(Position::new(u64::from_le_bytes(position)))
}
