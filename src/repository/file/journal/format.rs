//! The bytes of a journal file: two header slots, and frames. `ARCHITECTURE.md` draws them.

use std::{fs::File, io};

use crc32c::{crc32c, crc32c_append};
use uuid::Uuid;

use super::super::{
    disk,
    frame::{put, u32_at, u64_at},
};
use crate::models::{Position, StorageId};

/// The version of the format.
const FORMAT: u32 = 1;
pub(super) const HEADER_MAGIC: [u8; 8] = *b"ANNALJNL";
pub(super) const FRAME_MAGIC: [u8; 4] = *b"JRNL";
/// How far the header slots are apart: a sector, so that no write touches both.
pub(super) const SLOT_STRIDE: u64 = 512;
pub(super) const SLOT: usize = 64;
/// Where the first frame is.
pub(super) const FRAMES: u64 = 4096;
/// Frames begin at multiples of this: a sector, so that none shares one with the frame before it.
pub(super) const ALIGN: u64 = 512;
pub(super) const FRAME_HEADER: usize = 16;
pub(super) const ENTRY_HEADER: usize = 40;
/// The most bytes of a frame's entries.
pub(super) const MAX_BODY: usize = 32 << 20;

/// Bytes that were written to a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Entry<'a> {
    pub(in super::super) storage: StorageId,
    /// The segment, by the position of its first event.
    pub(in super::super) segment: Position,
    /// Where in the segment the bytes are.
    pub(in super::super) offset: u64,
    pub(in super::super) bytes: &'a [u8],
}

/// Writes the header of a journal that begins anew as the `sequence`th.
pub(super) fn write_header(file: &File, sequence: u64) -> io::Result<()> {
    let mut bytes = [0; SLOT];
    put(&mut bytes, 0, &HEADER_MAGIC);
    put(&mut bytes, 12, &FORMAT.to_le_bytes());
    put(&mut bytes, 16, &sequence.to_le_bytes());
    let crc = crc32c(bytes.get(12..).unwrap_or_default());
    put(&mut bytes, 8, &crc.to_le_bytes());
    // A file has every second sequence.
    disk::write_at(file, (sequence / 2 % 2) * SLOT_STRIDE, &bytes)
}

/// Reads the newest header slot that is whole: the journal's sequence. A slot of another version
/// is not taken for a torn one.
pub(super) fn read_header(file: &File) -> io::Result<Result<u64, &'static str>> {
    let bytes = disk::read_at(file, 0, FRAMES as usize)?;
    let mut newest = None;
    for at in [0, SLOT_STRIDE as usize] {
        let slot = bytes.get(at..at + SLOT).unwrap_or_default();
        if slot.get(..8) != Some(&HEADER_MAGIC)
            || crc32c(slot.get(12..).unwrap_or_default()) != u32_at(slot, 8)
        {
            continue;
        }
        if u32_at(slot, 12) != FORMAT {
            return Ok(Err("the journal was written by a newer version"));
        }
        newest = newest.max(Some(u64_at(slot, 16)));
    }
    Ok(newest.ok_or("the journal has no header that is whole"))
}

/// Seeds the checksum of a frame: one of an earlier use of the file, or in another place, is not
/// taken for good.
pub(super) fn seed(sequence: u64, at: u64) -> u32 {
    crc32c_append(crc32c(&sequence.to_le_bytes()), &at.to_le_bytes())
}

/// How many bytes the entries take in a frame.
pub(super) fn body_length<'a>(entries: impl IntoIterator<Item = &'a Entry<'a>>) -> usize {
    let length = |entry: &Entry<'_>| ENTRY_HEADER + entry.bytes.len();
    entries.into_iter().map(length).sum()
}

/// Encodes the frame that is to be at `at`, padded to the next place of a frame.
pub(super) fn encode_frame(out: &mut Vec<u8>, sequence: u64, at: u64, entries: &[Entry<'_>]) {
    out.clear();
    out.extend_from_slice(&[0; FRAME_HEADER]);
    for entry in entries {
        out.extend_from_slice(entry.storage.uuid().as_bytes());
        out.extend_from_slice(&entry.segment.get().to_le_bytes());
        out.extend_from_slice(&entry.offset.to_le_bytes());
        out.extend_from_slice(&(entry.bytes.len() as u32).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(entry.bytes);
    }
    let body = (out.len() - FRAME_HEADER) as u32;
    put(out, 0, &FRAME_MAGIC);
    put(out, 8, &body.to_le_bytes());
    put(out, 12, &(entries.len() as u32).to_le_bytes());
    let crc = crc32c_append(seed(sequence, at), out.get(8..).unwrap_or_default());
    put(out, 4, &crc.to_le_bytes());
    out.resize(out.len().next_multiple_of(ALIGN as usize), 0);
}

/// The body of the frame at `at`, if a whole one of this use of the file is there, and where the
/// next one would be.
pub(super) fn read_frame(
    file: &File,
    sequence: u64,
    at: u64,
) -> io::Result<Option<(Vec<u8>, u64)>> {
    let header = disk::read_at(file, at, FRAME_HEADER)?;
    let length = u32_at(&header, 8) as usize;
    if header.len() < FRAME_HEADER || header.get(..4) != Some(&FRAME_MAGIC) || length > MAX_BODY {
        return Ok(None);
    }
    let mut frame = disk::read_at(file, at, FRAME_HEADER + length)?;
    let crc = crc32c_append(seed(sequence, at), frame.get(8..).unwrap_or_default());
    if frame.len() < FRAME_HEADER + length || crc != u32_at(&frame, 4) {
        return Ok(None);
    }
    let next = (at + frame.len() as u64).next_multiple_of(ALIGN);
    frame.drain(..FRAME_HEADER);
    Ok(Some((frame, next)))
}

/// The entries of a frame's body; an error where it is not what [`encode_frame`] writes.
pub(super) fn entries(mut body: &[u8]) -> impl Iterator<Item = Result<Entry<'_>, &'static str>> {
    std::iter::from_fn(move || {
        if body.is_empty() {
            return None;
        }
        let entry = body
            .split_at_checked(ENTRY_HEADER)
            .and_then(|(header, rest)| {
                let (bytes, rest) = rest.split_at_checked(u32_at(header, 32) as usize)?;
                let storage = Uuid::from_slice(header.get(..16)?).ok()?;
                body = rest;
                Some(Entry {
                    storage: StorageId::new(storage),
                    segment: Position::new(u64_at(header, 16)),
                    offset: u64_at(header, 24),
                    bytes,
                })
            });
        if entry.is_none() {
            body = &[];
        }
        Some(entry.ok_or("the entries do not fill their frame"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(offset: u64, bytes: &[u8]) -> Entry<'_> {
        Entry {
            storage: StorageId::new(Uuid::from_u128(7)),
            segment: Position::new(1),
            offset,
            bytes,
        }
    }

    #[test]
    fn frames_are_read_as_they_were_written_and_only_where_and_when() {
        let file = tempfile::tempfile().unwrap();
        let written = [entry(64, b"one"), entry(67, b""), entry(67, &[9; 700])];
        let mut bytes = Vec::new();
        encode_frame(&mut bytes, 5, FRAMES, &written);
        assert_eq!(bytes.len() as u64 % ALIGN, 0);
        disk::write_at(&file, FRAMES, &bytes).unwrap();
        let (body, next) = read_frame(&file, 5, FRAMES).unwrap().unwrap();
        assert_eq!(next, FRAMES + bytes.len() as u64);
        let read: Vec<_> = entries(&body).map(Result::unwrap).collect();
        assert_eq!(read, written);
        assert!(read_frame(&file, 4, FRAMES).unwrap().is_none());
        disk::write_at(&file, FRAMES + 1024, &bytes).unwrap();
        assert!(read_frame(&file, 5, FRAMES + 1024).unwrap().is_none());
    }

    #[test]
    fn any_changed_byte_of_a_frame_is_seen() {
        let file = tempfile::tempfile().unwrap();
        let mut bytes = Vec::new();
        encode_frame(&mut bytes, 1, FRAMES, &[entry(64, b"payload")]);
        let used = FRAME_HEADER + ENTRY_HEADER + 7;
        for at in 0..used {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            disk::write_at(&file, FRAMES, &changed).unwrap();
            assert!(read_frame(&file, 1, FRAMES).unwrap().is_none(), "{at}");
        }
    }

    #[test]
    fn the_newest_whole_header_counts() {
        let file = tempfile::tempfile().unwrap();
        assert!(read_header(&file).unwrap().is_err());
        write_header(&file, 1).unwrap();
        write_header(&file, 3).unwrap();
        assert_eq!(read_header(&file).unwrap(), Ok(3));
        disk::write_at(&file, SLOT_STRIDE + 20, &[0xff]).unwrap();
        assert_eq!(read_header(&file).unwrap(), Ok(1));
    }

    #[test]
    fn a_body_that_is_not_whole_is_an_error_and_ends() {
        let mut bytes = Vec::new();
        encode_frame(&mut bytes, 1, FRAMES, &[entry(64, b"payload")]);
        let body = &bytes[FRAME_HEADER..FRAME_HEADER + ENTRY_HEADER + 7];
        for end in 1..body.len() {
            let read: Vec<_> = entries(&body[..end]).collect();
            assert!(read.len() == 1 && read[0].is_err(), "{end}");
        }
    }
}
