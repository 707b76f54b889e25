//! What a summary takes from an index file: the tags of its ids and streams.

use super::{
    super::frame::u64_at,
    format::{BLOCK, ENTRY, Hashes, Section},
    read::IndexFile,
};
use crate::{
    models::Result,
    repository::{index::KeyKind, parts::Probe},
};
use uuid::Uuid;

impl IndexFile {
    /// Tells the file from every other that this process has opened.
    pub(in super::super) const fn number(&self) -> u64 {
        self.number
    }

    /// How many ids it has.
    pub(in super::super) const fn ids(&self) -> u64 {
        self.last().get() - self.before().get()
    }

    /// How many streams it has: their entries come before those of all other keys.
    ///
    /// # Errors
    /// Where it cannot be read, or is damaged.
    pub(in super::super) fn streams(&self) -> Result<u64> {
        let (mut low, mut high) = (0, self.length(Section::Entries) / ENTRY as u64);
        while low < high {
            let middle = low + (high - low) / 2;
            let kind = self.bytes(Section::Entries, middle * ENTRY as u64, 1)?;
            if kind.first() == Some(&(KeyKind::Stream as u8)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Calls back with the tag of each id and each stream. Past the cache, which is for what is
    /// asked again.
    ///
    /// # Errors
    /// Where it cannot be read, or is damaged; tags were told then that are not all.
    pub(in super::super) fn each_tag(&self, mut tell: impl FnMut(u32)) -> Result<()> {
        let streams = self.streams()?;
        for (section, most) in [(Section::Ids, u64::MAX), (Section::Keys, streams)] {
            let place = self.place(section);
            let mut at = place.at;
            while at < place.at + place.bytes {
                let block = self.read_block((at / BLOCK as u64) as u32)?;
                let within = (at % BLOCK as u64) as usize;
                // A slot is never in two blocks: sections begin at multiples of 64.
                let rest = block.get(within..).unwrap_or_default();
                let bytes = rest.len().min((place.at + place.bytes - at) as usize);
                for slot in rest.get(..bytes).unwrap_or_default().chunks_exact(8) {
                    let slot = u64_at(slot, 0);
                    let number = slot & u64::from(u32::MAX);
                    if slot != 0 && number <= most {
                        tell((slot >> 32) as u32);
                    }
                }
                at += bytes as u64;
            }
        }
        Ok(())
    }

    /// The largest id of version 7.
    pub(in super::super) const fn largest_v7(&self) -> Uuid {
        self.header.largest_v7
    }

    pub(in super::super) const fn hashes(&self) -> Hashes {
        self.hashes
    }
}

impl Hashes {
    /// The tag of an id.
    pub(in super::super) fn tag_of_id(&self, id: &Probe<Uuid>) -> u32 {
        id.hash(|id| self.of_id(id)) as u32
    }

    /// The tag of a stream.
    pub(in super::super) fn tag_of_stream(&self, stream: &Probe<&[u8]>) -> u32 {
        let key = |text| crate::repository::index::Key::stream(text);
        stream.hash(|text| self.of_key(key(text))) as u32
    }
}
