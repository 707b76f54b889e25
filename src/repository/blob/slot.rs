//! A slot of the log: one object with the events of a group of appends, or a mark.
//!
//! ```text
//! "annalsLG"  kind u16  version u16  count u32   slot u64   before u64
//! write id [16]   write id of the slot before [16]   since u64
//! body length u32   body crc u32   header crc u32
//! body: for each event its length u32 and its record
//! ```
//! Numbers are little-endian, checksums are CRC32C. The events have the positions after `before`.

use bytes::Bytes;
use crc32c::{crc32c, crc32c_append};
use uuid::Uuid;

use crate::models::Position;

const MAGIC: &[u8; 8] = b"annalsLG";
const VERSION: u16 = 1;
/// How long the header is.
pub(super) const HEADER: usize = 84;

/// What a slot is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Events.
    Events = 1,
    /// From here on the topic takes no appends.
    Seal = 2,
    /// From here on it takes appends again.
    Unseal = 3,
    /// The storage is removed: there is no slot after this one.
    Removed = 4,
}

/// The header of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) slot: u64,
    /// The position before the first event.
    pub(super) before: Position,
    pub(super) count: u32,
    /// Tells this write from all others.
    pub(super) write_id: Uuid,
    /// That of the slot before.
    pub(super) previous: Uuid,
    /// Where it seals or unseals: the position in the configuration stream by which.
    pub(super) since: Position,
}

/// A slot that was read.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) header: Header,
    pub(super) body: Bytes,
}

impl Header {
    /// The bytes in front of a body that is in several pieces.
    pub(super) fn encode(&self, body: &[Bytes]) -> Bytes {
        let length: usize = body.iter().map(Bytes::len).sum();
        let checksum = body.iter().fold(0, |crc, piece| crc32c_append(crc, piece));
        let mut out = Vec::with_capacity(HEADER);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&(self.kind as u16).to_le_bytes());
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&self.slot.to_le_bytes());
        out.extend_from_slice(&self.before.get().to_le_bytes());
        out.extend_from_slice(self.write_id.as_bytes());
        out.extend_from_slice(self.previous.as_bytes());
        out.extend_from_slice(&self.since.get().to_le_bytes());
        out.extend_from_slice(&(length as u32).to_le_bytes());
        out.extend_from_slice(&checksum.to_le_bytes());
        out.extend_from_slice(&crc32c(&out).to_le_bytes());
        out.into()
    }
}

impl Slot {
    /// Reads the object of a slot, or says what is wrong with it.
    pub(super) fn decode(object: &Bytes, slot: u64) -> Result<Self, &'static str> {
        let mut rest = Fields(object);
        let magic: [u8; 8] = rest.take()?;
        let kind = u16::from_le_bytes(rest.take()?);
        let version = u16::from_le_bytes(rest.take()?);
        let count = u32::from_le_bytes(rest.take()?);
        let number = u64::from_le_bytes(rest.take()?);
        let before = Position::new(u64::from_le_bytes(rest.take()?));
        let write_id = Uuid::from_bytes(rest.take()?);
        let previous = Uuid::from_bytes(rest.take()?);
        let since = Position::new(u64::from_le_bytes(rest.take()?));
        let length = u32::from_le_bytes(rest.take()?);
        let checksum = u32::from_le_bytes(rest.take()?);
        let header_checksum = u32::from_le_bytes(rest.take()?);
        if &magic != MAGIC {
            return Err("it is not a slot of a log");
        }
        if crc32c(object.get(..HEADER - 4).unwrap_or_default()) != header_checksum {
            return Err("the checksum of its header is wrong");
        }
        if version != VERSION {
            return Err("it was written by a newer version");
        }
        let kind = match kind {
            1 => Kind::Events,
            2 => Kind::Seal,
            3 => Kind::Unseal,
            4 => Kind::Removed,
            _ => return Err("it is of a kind that this version does not know"),
        };
        if number != slot {
            return Err("it is another slot");
        }
        let body = object.slice(HEADER..);
        if body.len() != length as usize {
            return Err("it is shorter or longer than it was written");
        }
        if crc32c(&body) != checksum {
            return Err("the checksum of its events is wrong");
        }
        Ok(Self {
            header: Header {
                kind,
                slot,
                before,
                count,
                write_id,
                previous,
                since,
            },
            body,
        })
    }

    /// Where each record begins, behind its length.
    pub(super) fn starts(&self) -> Result<Vec<u32>, &'static str> {
        let mut starts = Vec::with_capacity(self.header.count as usize);
        let mut at = 0_usize;
        while at < self.body.len() {
            starts.push(at as u32);
            let length = self
                .body
                .get(at..at + 4)
                .and_then(|four| four.first_chunk());
            let length = u32::from_le_bytes(*length.ok_or("a record is cut off")?);
            at += 4 + length as usize;
        }
        if at != self.body.len() || starts.len() != self.header.count as usize {
            return Err("it has not the events that it says");
        }
        Ok(starts)
    }
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let (taken, rest) = self.0.split_first_chunk().ok_or("it is too short")?;
        self.0 = rest;
        Ok(*taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> (Header, Bytes) {
        let header = Header {
            kind: Kind::Events,
            slot: 5,
            before: Position::new(9),
            count: 2,
            write_id: Uuid::from_u128(1),
            previous: Uuid::from_u128(2),
            since: Position::new(8),
        };
        let body = [
            Bytes::from_static(&[1, 0, 0, 0, 7]),
            Bytes::from_static(&[2, 0, 0, 0, 8, 9]),
        ];
        let mut object = header.encode(&body).to_vec();
        body.iter()
            .for_each(|piece| object.extend_from_slice(piece));
        (header, object.into())
    }

    #[test]
    fn a_slot_is_read_as_it_was_written() {
        let (header, object) = written();
        let slot = Slot::decode(&object, 5).unwrap();
        assert_eq!(slot.header, header);
        assert_eq!(slot.starts().unwrap(), [0, 5]);
        assert_eq!(Slot::decode(&object, 6).unwrap_err(), "it is another slot");
    }

    #[test]
    fn any_changed_bit_and_any_other_length_is_found() {
        let (_, object) = written();
        for at in 0..object.len() {
            for bit in 0..8 {
                let mut changed = object.to_vec();
                changed[at] ^= 1 << bit;
                assert!(Slot::decode(&changed.into(), 5).is_err(), "{at}.{bit}");
            }
            assert!(Slot::decode(&object.slice(..at), 5).is_err(), "{at}");
        }
        let mut longer = object.to_vec();
        longer.push(0);
        assert!(Slot::decode(&longer.into(), 5).is_err());
    }
}
