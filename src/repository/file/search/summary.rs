//! What is in none of a topic's index files, known from one place in memory.
//!
//! Each index file has a filter, but a topic of many events has many index files, and to ask each
//! one costs a miss of the processor's cache. The summary is one blocked Bloom filter over the ids
//! and streams of many of them. It is made from their hash tables by a thread of the pool, once a
//! topic has taken some appends; a topic that is only read, or was just opened, has none.
//!
//! It may only ever err to one side: what it rules out is in none of the files that it covers. So
//! it names the files that it covers, each by a number that no other file ever has, and a file is
//! named once all that it holds was added. A file that is made anew is another file.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::RwLock;
use uuid::Uuid;

use super::super::{
    index_file::{Hashes, IndexFile, filter_bits, filter_lines},
    part::{FilePart, PartIndex},
    segment::{Files, FilterRoom},
};
use crate::{models::Result, repository::parts::Probe};

/// As many values of a file are added together.
const TOGETHER: usize = 1 << 18;
/// The least number of values for which a summary is made.
const LEAST: u64 = 1 << 10;

/// The summary of a topic, as it is now.
#[derive(Debug, Default)]
pub(super) struct Summary {
    now: RwLock<Option<Arc<Covering>>>,
    /// Whether a thread adds to it. One at a time does.
    busy: AtomicBool,
}

/// A summary, and what it covers.
#[derive(Clone, Debug)]
pub(super) struct Covering {
    bits: Arc<Bits>,
    /// The numbers of the index files all of whose ids and streams are in it.
    files: HashSet<u64>,
    largest_v7: Uuid,
    hashes: Hashes,
}

impl Covering {
    fn none(bits: Bits, hashes: Hashes) -> Self {
        Self {
            bits: Arc::new(bits),
            files: HashSet::new(),
            largest_v7: Uuid::nil(),
            hashes,
        }
    }

    /// Adds all that a file holds, if there is room and it can be read, and tells whether it did.
    fn add(&mut self, index: &IndexFile, values: u64) -> bool {
        if !self.bits.has_room_for(values) {
            return false;
        }
        let mut hashes = Vec::new();
        let told = index.each_tag(|tag| {
            hashes.push(spread(tag));
            if hashes.len() == TOGETHER {
                self.bits.add_all(&mut hashes);
            }
        });
        let added = may_fail(told).is_some();
        if added {
            self.bits.add_all(&mut hashes);
            self.bits.count(values);
            self.files.insert(index.number());
            self.largest_v7 = self.largest_v7.max(index.largest_v7());
        }
        added
    }

    /// Whether the part need not be asked for what is ruled out.
    pub(super) fn covers(&self, part: &FilePart) -> bool {
        stored(part).is_some_and(|index| self.has(index))
    }

    fn has(&self, index: &IndexFile) -> bool {
        self.files.contains(&index.number())
    }

    /// Whether no file that is covered has the id.
    pub(super) fn rules_out_id(&self, id: &Probe<Uuid>) -> bool {
        self.is_newest(id.what) || !self.bits.may_have(self.hash_of_id(id))
    }

    fn hash_of_id(&self, id: &Probe<Uuid>) -> u64 {
        spread(self.hashes.tag_of_id(id))
    }

    /// Ids of version 7 are mostly made in order.
    fn is_newest(&self, id: Uuid) -> bool {
        id.get_version_num() == 7 && id > self.largest_v7
    }

    /// Has the processor fetch what these ids are looked for in.
    pub(super) fn fetch(&self, ids: impl Iterator<Item = Probe<Uuid>>) {
        let asked = ids.filter(|id| !self.is_newest(id.what));
        let hashes: Vec<_> = asked.map(|id| self.hash_of_id(&id)).collect();
        let lines = hashes
            .iter()
            .filter_map(|hash| self.bits.each(*hash).next());
        let touched = lines.fold(0, |all, (word, _)| all ^ word.load(Ordering::Relaxed));
        std::hint::black_box(touched);
    }

    /// Whether no file that is covered has the stream.
    pub(super) fn rules_out_stream(&self, stream: &Probe<&[u8]>) -> bool {
        !self
            .bits
            .may_have(spread(self.hashes.tag_of_stream(stream)))
    }
}

impl Summary {
    pub(super) fn now(&self) -> Option<Arc<Covering>> {
        self.now.read().clone()
    }

    /// Whether a thread is to extend it now. Whoever is told so has to call [`Summary::extend`].
    pub(super) fn begin(&self) -> bool {
        !self.busy.swap(true, Ordering::Acquire)
    }

    /// Covers those of `parts` that have an index file and are not covered yet, as far as there is
    /// room. Blocks.
    pub(super) fn extend(self: &Arc<Self>, parts: &[Arc<FilePart>], files: &Files) {
        let indexes: Vec<_> = parts.iter().filter_map(|part| stored(part)).collect();
        let counted = indexes.into_iter().filter_map(|index| {
            let values = index.ids() + may_fail(index.streams())?;
            Some((index, values))
        });
        let indexes: Vec<_> = counted.collect();
        let now = self.now();
        let is_covered = |index: &IndexFile| now.as_ref().is_some_and(|now| now.has(index));
        let covered = indexes.iter().filter(|(index, _)| is_covered(index));
        let (covered, had) = covered.fold((0, 0), |(files, had), (_, values)| {
            (files + 1, had + values)
        });
        if let Some(mut next) = prepare(now, &indexes, had, files) {
            for (index, values) in &indexes {
                // Nobody waits for it any more where the topic was closed.
                if Arc::strong_count(self) == 1 {
                    break;
                }
                // Others see it once it is no worse than what they see.
                if !next.has(index) && next.add(index, *values) && next.files.len() > covered {
                    *self.now.write() = Some(Arc::new(next.clone()));
                }
            }
        }
        self.busy.store(false, Ordering::Release);
    }
}

/// What is to be added to: what there is `now`, which has `had` values of the files, or something
/// larger, which is filled anew.
fn prepare(
    now: Option<Arc<Covering>>,
    indexes: &[(&IndexFile, u64)],
    had: u64,
    files: &Files,
) -> Option<Covering> {
    let (first, _) = indexes.first()?;
    let all: u64 = indexes.iter().map(|(_, values)| values).sum();
    let fits = now
        .as_ref()
        .is_some_and(|now| now.bits.has_room_for(all - had));
    let most = now.as_ref().map_or(0, |now| now.bits.most);
    let grown = if fits {
        None
    } else {
        Bits::with_room(all, most, files)
    };
    if let Some(bits) = grown {
        return Some(Covering::none(bits, first.hashes()));
    }
    let mut next = now.as_deref()?.clone();
    // Files that were replaced are not counted.
    next.files
        .retain(|number| indexes.iter().any(|(index, _)| index.number() == *number));
    Some(next)
}

/// The answer of an index file. Whoever asks for something in it, meets the error again, and has it
/// made anew.
fn may_fail<T>(answer: Result<T>) -> Option<T> {
    answer
        .inspect_err(
            |error| tracing::warn!(%error, "an index file is not in the summary of its topic"),
        )
        .ok()
}

fn stored(part: &FilePart) -> Option<&IndexFile> {
    match &part.index {
        PartIndex::Stored(index) => Some(index),
        PartIndex::Live(_) => None,
    }
}

/// A line of the filter: what one value touches, and the processor reads at once.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Line([AtomicU64; 8]);

/// A filter to which one thread adds while others ask. They are told of what is added only by a
/// lock, so nothing here has to be in order.
#[derive(Debug)]
struct Bits {
    lines: Box<[Line]>,
    /// How many values it is made for, and has.
    most: u64,
    values: AtomicU64,
    _room: Option<FilterRoom>,
}

impl Bits {
    fn new(most: u64, room: Option<FilterRoom>) -> Self {
        let lines = filter_lines(most);
        Self {
            lines: (0..lines).map(|_| Line::default()).collect(),
            most,
            values: AtomicU64::new(0),
            _room: room,
        }
    }

    /// A filter for `values` and half as many more, or for as many as there is room, if those are
    /// well more than `now`.
    fn with_room(values: u64, now: u64, files: &Files) -> Option<Self> {
        let mut most = (values + values / 2).max(LEAST);
        while most > now + now / 4 && most >= LEAST {
            let bytes = filter_lines(most) as usize * size_of::<Line>();
            if let Some(room) = files.room_for_filter(bytes) {
                return Some(Self::new(most, Some(room)));
            }
            most = most / 4 * 3;
        }
        None
    }

    fn has_room_for(&self, more: u64) -> bool {
        self.values.load(Ordering::Relaxed) + more <= self.most
    }

    fn count(&self, values: u64) {
        self.values.fetch_add(values, Ordering::Relaxed);
    }

    fn each(&self, hash: u64) -> impl Iterator<Item = (&AtomicU64, u64)> {
        let (line, bits) = filter_bits(hash, self.lines.len() as u64);
        let line = self.lines.get(line as usize);
        bits.filter_map(move |(byte, bit)| {
            let word = line?.0.get(byte / 8)?;
            Some((word, u64::from(bit) << (byte % 8 * 8)))
        })
    }

    fn add(&self, hash: u64) {
        for (word, bit) in self.each(hash) {
            word.store(word.load(Ordering::Relaxed) | bit, Ordering::Relaxed);
        }
    }

    /// Adds hashes, which are gone then, in the order in which their lines are in memory: that takes
    /// a tenth of the time.
    fn add_all(&self, hashes: &mut Vec<u64>) {
        hashes.sort_unstable();
        hashes.drain(..).for_each(|hash| self.add(hash));
    }

    fn may_have(&self, hash: u64) -> bool {
        self.each(hash)
            .all(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
    }
}

/// A hash of 64 bits for a tag, another one for each.
const fn spread(tag: u32) -> u64 {
    let mixed = (tag as u64 + 1).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb)
}
