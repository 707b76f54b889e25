//! The bytes of a segment file: its header, frames and records, with their checksums.
//!
//! A segment is a header and then frames; a frame is a header and then the records of one append.
//! All numbers are little-endian; checksums are CRC32C (RFC 3720, appendix B.4). `ARCHITECTURE.md`
//! draws the layout byte by byte.
//!
//! Checksums begin with a seed made from the storage, the segment and, for a record, the position,
//! so that a frame of another file, or a record in another place, is not taken for a good one.

use crc32c::{crc32c, crc32c_append};

use crate::{
    models::{Position, StorageId, Timestamp},
    repository::record::{Malformed, RecordView},
};

/// The version of the format.
pub(super) const FORMAT: u32 = 1;
/// How many bytes a segment's header has.
pub(super) const SEGMENT_HEADER: usize = 64;
/// How many bytes a frame's header has.
pub(super) const FRAME_HEADER: usize = 32;
/// How many bytes stand before a record: its length and its checksum.
pub(super) const RECORD_HEADER: usize = 8;
/// The longest record: the largest append in one event, with room for what surrounds it.
pub(super) const MAX_RECORD: usize = (16 << 20) + (64 << 10) + 4096;
/// How a frame begins. As a number it is larger than the length of any record, so that what
/// follows a record can be told: another record, or a frame.
pub(super) const MAGIC: [u8; 4] = *b"ANL\xf5";

const SEGMENT_MAGIC: [u8; 8] = *b"ANNALSEG";

/// Seeds the checksums of one segment.
pub(super) fn epoch(storage: StorageId, first: Position) -> u32 {
    crc32c_append(
        crc32c(storage.uuid().as_bytes()),
        &first.get().to_le_bytes(),
    )
}

/// What a segment's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) storage: StorageId,
    /// The position of the segment's first event.
    pub(super) first: Position,
    /// Times in the segment are kept as the distance from this one.
    pub(super) base: Timestamp,
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> [u8; SEGMENT_HEADER] {
        let mut bytes = [0; SEGMENT_HEADER];
        put(&mut bytes, 0, &SEGMENT_MAGIC);
        put(&mut bytes, 12, &FORMAT.to_le_bytes());
        put(&mut bytes, 16, self.storage.uuid().as_bytes());
        put(&mut bytes, 32, &self.first.get().to_le_bytes());
        put(&mut bytes, 40, &self.base.as_micros().to_le_bytes());
        let crc = crc32c(bytes.get(12..).unwrap_or_default());
        put(&mut bytes, 8, &crc.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let bytes = bytes
            .get(..SEGMENT_HEADER)
            .ok_or("the segment header is cut off")?;
        if bytes.get(..8) != Some(&SEGMENT_MAGIC) {
            return Err("the file does not begin as a segment does");
        }
        if crc32c(bytes.get(12..).unwrap_or_default()) != u32_at(bytes, 8) {
            return Err("the checksum of the segment header is wrong");
        }
        if u32_at(bytes, 12) != FORMAT {
            return Err("the segment was written by a newer version");
        }
        let mut storage = [0; 16];
        storage.copy_from_slice(bytes.get(16..32).unwrap_or(&[0; 16]));
        Ok(Self {
            storage: StorageId::new(uuid::Uuid::from_bytes(storage)),
            first: Position::new(u64_at(bytes, 32)),
            base: Timestamp::from_micros(u64_at(bytes, 40).cast_signed()),
        })
    }
}

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameKind {
    /// The events of one append.
    Events,
    /// From here on the topic takes no appends.
    Seal,
    /// From here on it takes them again.
    Unseal,
}

/// What a frame's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) kind: FrameKind,
    /// How many records follow.
    pub(super) count: u16,
    /// How many bytes they have together, their headers included.
    pub(super) body: u32,
    /// The position of the first event; without events, that of the next one.
    pub(super) first: Position,
    /// Everything before this offset of the segment was durable before the frame was written. A
    /// frame that is whole proves that damage before this offset is not a torn tail.
    pub(super) synced: u32,
}

impl FrameHeader {
    fn encode(&self, epoch: u32) -> [u8; FRAME_HEADER] {
        let mut bytes = [0; FRAME_HEADER];
        put(&mut bytes, 0, &MAGIC);
        put(&mut bytes, 8, &self.body.to_le_bytes());
        put(&mut bytes, 12, &self.count.to_le_bytes());
        put(
            &mut bytes,
            14,
            &[match self.kind {
                FrameKind::Events => 1,
                FrameKind::Seal => 2,
                FrameKind::Unseal => 3,
            }],
        );
        put(&mut bytes, 16, &self.first.get().to_le_bytes());
        put(&mut bytes, 24, &self.synced.to_le_bytes());
        let crc = crc32c_append(epoch, bytes.get(8..).unwrap_or_default());
        put(&mut bytes, 4, &crc.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8], epoch: u32) -> Result<Self, Malformed> {
        let bytes = bytes
            .get(..FRAME_HEADER)
            .ok_or("the frame header is cut off")?;
        if bytes.get(..4) != Some(&MAGIC) {
            return Err("there is no frame here");
        }
        if crc32c_append(epoch, bytes.get(8..).unwrap_or_default()) != u32_at(bytes, 4) {
            return Err("the checksum of the frame header is wrong");
        }
        let kind = match bytes.get(14) {
            Some(1) => FrameKind::Events,
            Some(2) => FrameKind::Seal,
            Some(3) => FrameKind::Unseal,
            _ => return Err("the frame is of a kind that this version does not know"),
        };
        let count = u16_at(bytes, 12);
        let body = u32_at(bytes, 8);
        if (kind == FrameKind::Events) != (count > 0) || (count == 0) != (body == 0) {
            return Err("the frame's count and length do not fit its kind");
        }
        Ok(Self {
            kind,
            count,
            body,
            first: Position::new(u64_at(bytes, 16)),
            synced: u32_at(bytes, 24),
        })
    }
}

/// Adds a frame to `out`; `place` is told where in `out` each record begins.
pub(super) fn write_frame(
    out: &mut Vec<u8>,
    segment: (u32, Timestamp),
    mut header: FrameHeader,
    records: &[RecordView<'_>],
    mut place: impl FnMut(usize),
) {
    let (epoch, base) = segment;
    let start = out.len();
    out.extend_from_slice(&[0; FRAME_HEADER]);
    for (record, ordinal) in records.iter().zip(0..) {
        let at = out.len();
        place(at);
        out.extend_from_slice(&[0; RECORD_HEADER]);
        record.encode(base, out);
        let content = out.get(at + RECORD_HEADER..).unwrap_or_default();
        let crc = record_crc(content, epoch, header.first.forward(ordinal));
        let length = (content.len() as u32).to_le_bytes();
        if let Some(place) = out.get_mut(at..) {
            put(place, 0, &length);
            put(place, 4, &crc.to_le_bytes());
        }
    }
    header.body = (out.len() - start - FRAME_HEADER) as u32;
    header.count = records.len() as u16;
    if let Some(place) = out.get_mut(start..) {
        put(place, 0, &header.encode(epoch));
    }
}

/// The checksum of a record at a position.
pub(super) fn record_crc(content: &[u8], epoch: u32, position: Position) -> u32 {
    crc32c_append(epoch ^ (position.get() as u32), content)
}

/// Whether bytes begin a frame, and not a record.
pub(super) fn begins_frame(bytes: &[u8]) -> bool {
    bytes.get(..4) == Some(&MAGIC)
}

pub(super) fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes
        .get(at..)
        .and_then(<[u8]>::first_chunk)
        .map_or(0, |value| u16::from_le_bytes(*value))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..)
        .and_then(<[u8]>::first_chunk)
        .map_or(0, |value| u32::from_le_bytes(*value))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..)
        .and_then(<[u8]>::first_chunk)
        .map_or(0, |value| u64::from_le_bytes(*value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_they_were_written_and_every_changed_bit_is_found() {
        let header = SegmentHeader {
            storage: StorageId::CONFIGURATION,
            first: Position::new(9),
            base: Timestamp::from_micros(-7),
        };
        let bytes = header.encode();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
        let frame = FrameHeader {
            kind: FrameKind::Events,
            count: 3,
            body: 99,
            first: Position::new(5),
            synced: 64,
        };
        let framed = frame.encode(7);
        assert_eq!(FrameHeader::decode(&framed, 7), Ok(frame));
        assert!(FrameHeader::decode(&framed, 8).is_err());
        for bit in 0..SEGMENT_HEADER * 8 {
            let mut changed = bytes;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&changed).is_err(), "bit {bit}");
        }
        for bit in 0..FRAME_HEADER * 8 {
            let mut changed = framed;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(FrameHeader::decode(&changed, 7).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn no_record_is_as_long_as_the_magic_is_large() {
        assert!(u32::from_le_bytes(MAGIC) as usize > MAX_RECORD);
    }
}
