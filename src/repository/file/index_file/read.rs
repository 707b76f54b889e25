//! Searches an index file.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use crc32c::crc32c;
use uuid::Uuid;

use super::{
    super::{
        disk,
        frame::{u16_at, u32_at, u64_at},
        segment::{Files, Segment, file_number},
    },
    filter::{Filter, line_of, passes},
    format::{BLOCK, ENTRY, Entry, FILTER_LINE, HEADER, Hashes, Header, Place, Section, home, tag},
};
use crate::{
    models::{Error, Position, Result, StreamState, Timestamp, Version},
    repository::{
        index::{Key, Span, clip},
        parts::Probe,
    },
};

/// An index file that is open.
#[derive(Debug)]
pub(in super::super) struct IndexFile {
    path: PathBuf,
    pub(super) number: u64,
    pub(super) header: Header,
    /// The checksum of each block.
    checksums: Vec<u8>,
    pub(super) hashes: Hashes,
    files: Arc<Files>,
    /// Set once a block was found damaged: the file has to be made anew.
    damaged: AtomicBool,
    filter: Filter,
}

impl IndexFile {
    /// Opens the index file of `segment`.
    ///
    /// # Errors
    /// [`Error::Corruption`] where it is not whole or belongs elsewhere, and
    /// [`Error::RepositoryUnavailable`] where it cannot be read, or is not there.
    pub(in super::super) fn open(
        path: &Path,
        segment: &Segment,
        files: &Arc<Files>,
    ) -> Result<Self> {
        let number = file_number();
        let file = files.open(number, path)?;
        let read = |at, length| {
            disk::read_at(&file, at, length).map_err(|error| files.failed("read", path, error))
        };
        let header = Header::decode(&read(0, HEADER)?)
            .map_err(|reason| disk::corruption(path, 0, reason))?;
        if header.storage != segment.storage || header.segment != segment.first {
            return Err(disk::corruption(
                path,
                0,
                "the index file belongs elsewhere",
            ));
        }
        // What the header says is not believed before the file is as long as that.
        let length = file
            .metadata()
            .map_err(|error| files.failed("read", path, error))?
            .len();
        if header.blocks() > length / BLOCK as u64 || !header.is_consistent() {
            return Err(disk::corruption(
                path,
                0,
                "the index file names something outside of it",
            ));
        }
        let table_at = BLOCK as u64 * (1 + header.blocks());
        let checksums = read(table_at, header.blocks() as usize * 4)?;
        if checksums.len() as u64 != header.blocks() * 4 || crc32c(&checksums) != header.table_crc {
            return Err(disk::corruption(
                path,
                table_at,
                "the table of checksums is damaged",
            ));
        }
        Ok(Self {
            path: path.to_owned(),
            number,
            header,
            checksums,
            hashes: Hashes::new(segment.storage),
            files: Arc::clone(files),
            damaged: AtomicBool::new(false),
            filter: Filter::default(),
        })
    }

    pub(in super::super) const fn before(&self) -> Position {
        self.header.before
    }

    pub(in super::super) const fn last(&self) -> Position {
        self.header.last
    }

    pub(in super::super) const fn covered(&self) -> u64 {
        self.header.covered
    }

    pub(in super::super) const fn sealed(&self) -> bool {
        self.header.sealed
    }

    pub(in super::super) const fn last_time(&self) -> Timestamp {
        self.header.last_time
    }

    pub(in super::super) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    /// Checks every block.
    pub(in super::super) fn verify(&self) -> Result<u64> {
        for number in 0..self.header.blocks() {
            self.read_block(number as u32)?;
        }
        Ok(self.header.data_bytes)
    }

    /// Where in the segment the event with this ordinal is.
    pub(in super::super) fn offset(&self, ordinal: u32) -> Result<u64> {
        Ok(u64::from(self.u32_in(
            Section::Offsets,
            u64::from(ordinal).wrapping_sub(1),
        )?))
    }

    /// Where in the segment these events are.
    pub(in super::super) fn offsets<'p>(
        &self,
        positions: impl Iterator<Item = &'p Position>,
        places: &mut Vec<(Position, u64)>,
    ) -> Result<()> {
        // Events that are read together are mostly close together here too.
        const SPAN: u64 = 256;
        let mut run = (0, Bytes::new());
        let count = self.length(Section::Offsets) / 4;
        for position in positions {
            let nth = u64::from(self.ordinal(*position)).wrapping_sub(1);
            let within = |run: &(u64, Bytes)| nth >= run.0 && nth < run.0 + run.1.len() as u64 / 4;
            if !within(&run) {
                let first = nth / SPAN * SPAN;
                let length = SPAN.min(count.saturating_sub(first)) * 4;
                run = (
                    first,
                    self.bytes(Section::Offsets, first.saturating_mul(4), length as usize)?,
                );
            }
            if !within(&run) {
                return Err(self.damage(0, "the index has no such event"));
            }
            places.push((
                *position,
                u64::from(u32_at(&run.1, (nth - run.0) as usize * 4)),
            ));
        }
        Ok(())
    }

    /// The events that may have this id, by ordinal; which of them does is for the segment to say.
    pub(in super::super) fn candidates(&self, probe: &Probe<Uuid>) -> Result<Vec<u32>> {
        let id = probe.what;
        if id.get_version_num() == 7 && id > self.header.largest_v7 {
            return Ok(Vec::new());
        }
        let hash = probe.hash(|id| self.hashes.of_id(id));
        if !self.may_have(hash)? {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        self.probe(Section::Ids, hash, |number| {
            found.push(number);
            Ok(false)
        })?;
        Ok(found)
    }

    /// The state of a stream at an ordinal, if the run has events of it up to there.
    pub(in super::super) fn stream(
        &self,
        stream: &Probe<&[u8]>,
        limit: u32,
    ) -> Result<Option<StreamState>> {
        let key = Key::stream(stream.what);
        let hash = stream.hash(|text| self.hashes.of_key(Key::stream(text)));
        let Some(entry) = self.entry_at(key, hash)? else {
            return Ok(None);
        };
        let (start, count) = entry.postings;
        let events = self.first_above(start, count, limit)?;
        if events == 0 {
            return Ok(None);
        }
        let mut deleted = entry.before.deleted;
        for nth in 0..entry.deletions.1 {
            let deletion = self.u32_in(
                Section::Deletions,
                u64::from(entry.deletions.0) + u64::from(nth),
            )?;
            if deletion / 2 <= limit {
                deleted = deletion % 2 == 1;
            }
        }
        let version = Version::new(entry.before.version.get().saturating_add(u64::from(events)));
        Ok(Some(StreamState::new(version, deleted)))
    }

    /// The ordinal of the event at which a stream reached `version`, if that is in the run.
    pub(in super::super) fn version(&self, stream: &[u8], version: Version) -> Result<Option<u32>> {
        let Some(entry) = self.entry(Key::stream(stream))? else {
            return Ok(None);
        };
        let Some(nth) = version
            .get()
            .checked_sub(entry.before.version.get().saturating_add(1))
        else {
            return Ok(None);
        };
        if nth >= u64::from(entry.postings.1) {
            return Ok(None);
        }
        self.u32_in(Section::Postings, u64::from(entry.postings.0) + nth)
            .map(Some)
    }

    /// How many events have the key.
    pub(in super::super) fn count(&self, key: Key<'_>) -> Result<usize> {
        Ok(self
            .entry(key)?
            .map_or(0, |entry| entry.postings.1 as usize))
    }

    /// See [`Part::postings`](crate::repository::parts::Part::postings).
    pub(in super::super) fn postings(
        &self,
        key: Key<'_>,
        span: &Span,
        most: usize,
    ) -> Result<Vec<Position>> {
        let Some(entry) = self.entry(key)? else {
            return Ok(Vec::new());
        };
        let (start, count) = entry.postings;
        // A failed read ends the search early; the reads below then fail and say so.
        let value = |at: usize| {
            self.u32_in(Section::Postings, u64::from(start) + at as u64)
                .unwrap_or(u32::MAX)
        };
        let (after, up_to) = (self.ordinal(span.after), self.ordinal(span.up_to));
        let range = clip(count as usize, most, span.backward, value, after, up_to);
        if self.is_damaged() {
            return Err(self.damage(0, "a block is damaged"));
        }
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let at = (u64::from(start) + range.start as u64) * 4;
        let bytes = self.bytes(Section::Postings, at, range.len() * 4)?;
        let positions = bytes
            .chunks_exact(4)
            .map(|ordinal| self.header.before.forward(u64::from(u32_at(ordinal, 0))))
            .collect();
        Ok(positions)
    }

    /// How far a position is into the run; 0 for one before it.
    pub(in super::super) fn ordinal(&self, position: Position) -> u32 {
        u32::try_from(position.get().saturating_sub(self.header.before.get())).unwrap_or(u32::MAX)
    }

    /// How many of the postings are at or below `limit`.
    fn first_above(&self, start: u32, count: u32, limit: u32) -> Result<u32> {
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.u32_in(Section::Postings, u64::from(start) + u64::from(middle))? <= limit {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    fn entry(&self, key: Key<'_>) -> Result<Option<Entry>> {
        self.entry_at(key, self.hashes.of_key(key))
    }

    fn entry_at(&self, key: Key<'_>, hash: u64) -> Result<Option<Entry>> {
        if !self.may_have(hash)? {
            return Ok(None);
        }
        let mut found = None;
        self.probe(Section::Keys, hash, |number| {
            let nth = u64::from(number).wrapping_sub(1);
            let bytes = self.bytes(Section::Entries, nth.saturating_mul(ENTRY as u64), ENTRY)?;
            let length = usize::from(u16_at(&bytes, 2));
            let matches = bytes.first() == Some(&(key.kind as u8))
                && length == key.text.len()
                && *self.bytes(Section::Texts, u64::from(u32_at(&bytes, 4)), length)? == *key.text;
            if matches {
                found = Some(Entry::decode(&bytes, key.kind));
            }
            Ok(matches)
        })?;
        Ok(found)
    }

    /// Whether the filter lets a hash pass.
    fn may_have(&self, hash: u64) -> Result<bool> {
        let lines = self.length(Section::Filter) / FILTER_LINE as u64;
        let line = line_of(hash, lines);
        if let Some(answer) = self.filter.may_have(hash, line, lines) {
            return Ok(answer);
        }
        let answer = passes(
            hash,
            lines,
            &self.bytes(Section::Filter, line, FILTER_LINE)?,
        );
        if self.filter.is_asked_often() {
            self.keep_filter()?;
        }
        Ok(answer)
    }

    /// Keeps the filter in memory, if there is room for it: a topic that is asked for new ids and
    /// streams asks every filter that it has.
    fn keep_filter(&self) -> Result<()> {
        let place = self.place(Section::Filter);
        let (first, end) = (
            place.at / BLOCK as u64,
            (place.at + place.bytes).div_ceil(BLOCK as u64),
        );
        let Some(room) = self.files.room_for_filter(place.bytes as usize) else {
            return Ok(());
        };
        let mut bytes = Vec::with_capacity(((end - first) as usize) * BLOCK);
        for number in first..end {
            bytes.extend_from_slice(&self.read_block(number as u32)?);
        }
        bytes.drain(..(place.at % BLOCK as u64) as usize);
        bytes.truncate(place.bytes as usize);
        self.filter.keep(bytes, room);
        Ok(())
    }

    pub(super) fn place(&self, section: Section) -> Place {
        self.header
            .sections
            .get(section as usize)
            .copied()
            .unwrap_or_default()
    }

    /// Asks `accept` for each number in the table whose tag is that of the hash, until it says yes.
    fn probe(
        &self,
        section: Section,
        hash: u64,
        mut accept: impl FnMut(u32) -> Result<bool>,
    ) -> Result<()> {
        let slots = self.length(section) / 8;
        let mut at = home(hash, slots);
        for _ in 0..slots {
            let slot = u64_at(&self.bytes(section, at * 8, 8)?, 0);
            if slot == 0 || (slot ^ tag(hash)) >> 32 == 0 && accept(slot as u32)? {
                return Ok(());
            }
            at = (at + 1) % slots;
        }
        Ok(())
    }

    pub(super) fn length(&self, section: Section) -> u64 {
        self.place(section).bytes
    }

    fn u32_in(&self, section: Section, nth: u64) -> Result<u32> {
        Ok(u32_at(&self.bytes(section, nth.saturating_mul(4), 4)?, 0))
    }

    /// Bytes of a section, from the cache or from the file.
    pub(super) fn bytes(&self, section: Section, at: u64, length: usize) -> Result<Bytes> {
        let place = self.place(section);
        if at.saturating_add(length as u64) > place.bytes {
            return Err(self.damage(0, "the index file names something outside of it"));
        }
        let from = place.at + at;
        let (mut block, within) = ((from / BLOCK as u64) as u32, (from % BLOCK as u64) as usize);
        let first = self.block(block)?;
        if let Some(end) = within.checked_add(length).filter(|end| *end <= BLOCK) {
            return Ok(first.slice(within..end));
        }
        let mut joined = first.slice(within..).to_vec();
        while joined.len() < length {
            block += 1;
            let next = self.block(block)?;
            joined.extend(next.iter().take(length - joined.len()));
        }
        Ok(joined.into())
    }

    fn block(&self, number: u32) -> Result<Bytes> {
        self.files
            .blocks
            .get_or_insert_with(&(self.number, number), || self.read_block(number))
    }

    pub(super) fn read_block(&self, number: u32) -> Result<Bytes> {
        let at = BLOCK as u64 * (1 + u64::from(number));
        let file = self.files.open(self.number, &self.path)?;
        let bytes = disk::read_at(&file, at, BLOCK)
            .map_err(|error| self.files.failed("read", &self.path, error))?;
        let expected = self
            .checksums
            .get(number as usize * 4..)
            .map(|bytes| u32_at(bytes, 0));
        if bytes.len() != BLOCK || Some(crc32c(&bytes)) != expected {
            return Err(self.damage(at, "the checksum of a block is wrong"));
        }
        Ok(bytes.into())
    }

    fn damage(&self, at: u64, reason: &str) -> Error {
        self.damaged.store(true, Ordering::Relaxed);
        disk::corruption(&self.path, at, reason)
    }
}
