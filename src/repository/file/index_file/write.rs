//! Writes an index file.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Seek, SeekFrom, Write},
    path::Path,
};

use crc32c::{crc32c, crc32c_append};
use uuid::Uuid;

use super::{
    super::{disk, segment::Segment},
    format::{
        BLOCK, FILTER_LINE, Hashes, Header, Place, SECTIONS, Section, filter_bits, filter_lines,
        home, slots, tag,
    },
};
use crate::{
    models::Timestamp,
    repository::index::{Entry, Index},
};

/// What an index file is made of.
#[derive(Debug)]
pub(in super::super) struct Source<'a> {
    pub(in super::super) segment: &'a Segment,
    pub(in super::super) index: &'a Index,
    /// Where each event of the index is in the segment.
    pub(in super::super) offsets: &'a [u32],
    /// Where in the segment the last of them ends.
    pub(in super::super) covered: u64,
    pub(in super::super) sealed: bool,
    pub(in super::super) last_time: Timestamp,
}

/// Writes the index file of a segment, in place of the one that may be there. Durable when it
/// returns; before that, nothing of it is seen.
pub(in super::super) fn write(path: &Path, source: &Source<'_>) -> io::Result<()> {
    let temporary = path.with_extension("idx.new");
    let file = File::create(&temporary)?;
    let written = write_file(&file, source).and_then(|()| file.sync_all());
    if let Err(error) = written {
        drop(fs::remove_file(&temporary));
        return Err(error);
    }
    fs::rename(&temporary, path)?;
    path.parent().map_or(Ok(()), disk::sync_directory)
}

fn write_file(file: &File, source: &Source<'_>) -> io::Result<()> {
    let hashes = Hashes::new(source.segment.storage);
    let index = source.index;
    let mut entries: Vec<&Entry> = index
        .entries()
        .iter()
        .filter(|one| !one.postings.is_empty())
        .collect();
    entries.sort_unstable_by_key(|entry| entry.key());

    let mut data = Data::new(file)?;
    data.section(Section::Offsets, |data| {
        source
            .offsets
            .iter()
            .try_for_each(|offset| data.put(&offset.to_le_bytes()))
    })?;
    let ids = table(index.ids().iter().map(|id| hashes.of_id(*id)));
    data.section(Section::Ids, |data| {
        ids.iter()
            .try_for_each(|slot| data.put(&slot.to_le_bytes()))
    })?;
    drop(ids);
    let keys = table(entries.iter().map(|entry| hashes.of_key(entry.key())));
    data.section(Section::Keys, |data| {
        keys.iter()
            .try_for_each(|slot| data.put(&slot.to_le_bytes()))
    })?;
    drop(keys);
    data.section(Section::Entries, |data| write_entries(data, &entries))?;
    data.section(Section::Texts, |data| {
        entries.iter().try_for_each(|entry| data.put(&entry.text))
    })?;
    data.section(Section::Postings, |data| {
        let mut postings = entries.iter().flat_map(|entry| &entry.postings);
        postings.try_for_each(|ordinal| data.put(&ordinal.to_le_bytes()))
    })?;
    data.section(Section::Deletions, |data| {
        let mut deletions = entries.iter().flat_map(|entry| &entry.deletions);
        deletions
            .try_for_each(|(at, deleted)| data.put(&(at * 2 + u32::from(*deleted)).to_le_bytes()))
    })?;
    let filter = filter(index, &entries, &hashes);
    data.section(Section::Filter, |data| data.put(&filter))?;

    let (data_bytes, table_crc, sections) = data.finish()?;
    let header = Header {
        storage: source.segment.storage,
        segment: source.segment.first,
        before: index.before(),
        last: index.last(),
        covered: source.covered,
        sealed: source.sealed,
        last_time: source.last_time,
        largest_v7: largest_v7(index.ids()),
        data_bytes,
        table_crc,
        sections,
    };
    disk::write_at(file, 0, &header.encode())
}

/// A table in which values, numbered from 1, are found by their hashes: open addressing with
/// linear probing.
fn table(hashes: impl ExactSizeIterator<Item = u64>) -> Vec<u64> {
    let count = slots(hashes.len() as u64);
    let mut table = vec![0_u64; count as usize];
    for (hash, number) in hashes.zip(1_u64..) {
        let mut at = home(hash, count) as usize;
        // The table has more slots than values, so a free one is found.
        while table.get(at).is_some_and(|slot| *slot != 0) {
            at = (at + 1) % table.len();
        }
        if let Some(slot) = table.get_mut(at) {
            *slot = tag(hash) | number;
        }
    }
    table
}

fn write_entries(data: &mut Data<'_>, entries: &[&Entry]) -> io::Result<()> {
    let (mut text, mut posting, mut deletion) = (0_u32, 0_u32, 0_u32);
    for entry in entries {
        data.put(&[entry.kind as u8, u8::from(entry.before.deleted)])?;
        data.put(&(entry.text.len() as u16).to_le_bytes())?;
        data.put(&text.to_le_bytes())?;
        data.put(&entry.before.version.get().to_le_bytes())?;
        for number in [
            posting,
            entry.postings.len() as u32,
            deletion,
            entry.deletions.len() as u32,
        ] {
            data.put(&number.to_le_bytes())?;
        }
        text += entry.text.len() as u32;
        posting += entry.postings.len() as u32;
        deletion += entry.deletions.len() as u32;
    }
    Ok(())
}

fn filter(index: &Index, entries: &[&Entry], hashes: &Hashes) -> Vec<u8> {
    let lines = filter_lines((index.ids().len() + entries.len()) as u64);
    let mut filter = vec![0; lines as usize * FILTER_LINE];
    let ids = index.ids().iter().map(|id| hashes.of_id(*id));
    for hash in ids.chain(entries.iter().map(|entry| hashes.of_key(entry.key()))) {
        let (line, bits) = filter_bits(hash, lines);
        for (byte, bit) in bits {
            if let Some(place) = filter.get_mut(line as usize * FILTER_LINE + byte) {
                *place |= bit;
            }
        }
    }
    filter
}

fn largest_v7(ids: &[Uuid]) -> Uuid {
    ids.iter()
        .copied()
        .filter(|id| id.get_version_num() == 7)
        .max()
        .unwrap_or_default()
}

/// Writes the data behind the header, and takes the checksum of each block on the way.
struct Data<'a> {
    out: BufWriter<&'a File>,
    written: u64,
    crc: u32,
    table: Vec<u8>,
    sections: [Place; SECTIONS],
}

impl<'a> Data<'a> {
    fn new(file: &'a File) -> io::Result<Self> {
        let mut out = BufWriter::with_capacity(256 << 10, file);
        out.seek(SeekFrom::Start(BLOCK as u64))?;
        Ok(Self {
            out,
            written: 0,
            crc: 0,
            table: Vec::new(),
            sections: Default::default(),
        })
    }

    fn section(
        &mut self,
        section: Section,
        write: impl FnOnce(&mut Self) -> io::Result<()>,
    ) -> io::Result<()> {
        self.pad(FILTER_LINE)?;
        let at = self.written;
        write(self)?;
        let bytes = self.written - at;
        if let Some(place) = self.sections.get_mut(section as usize) {
            *place = Place { at, bytes };
        }
        Ok(())
    }

    fn put(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        while !bytes.is_empty() {
            let room = BLOCK - (self.written % BLOCK as u64) as usize;
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.crc = if room == BLOCK {
                crc32c(now)
            } else {
                crc32c_append(self.crc, now)
            };
            self.written += now.len() as u64;
            if now.len() == room {
                self.table.extend_from_slice(&self.crc.to_le_bytes());
            }
            bytes = later;
        }
        Ok(())
    }

    fn pad(&mut self, to: usize) -> io::Result<()> {
        let over = (self.written % to as u64) as usize;
        if over == 0 {
            Ok(())
        } else {
            self.put(&vec![0; to - over])
        }
    }

    fn finish(mut self) -> io::Result<(u64, u32, [Place; SECTIONS])> {
        self.pad(BLOCK)?;
        self.out.write_all(&self.table)?;
        self.out.flush()?;
        Ok((self.written, crc32c(&self.table), self.sections))
    }
}
