//! One segment file, and the files that are kept open.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use hashbrown::DefaultHashBuilder;
use quick_cache::{
    UnitWeighter,
    sync::{Cache, DefaultLifecycle},
};

use super::{
    disk,
    frame::{SEGMENT_HEADER, SegmentHeader, epoch},
    layout,
};
use crate::models::{Error, Position, Result, StorageId, Timestamp};

/// How many files are kept open for reading.
const OPEN_FILES: usize = 256;
/// How many blocks of index files are kept in memory: 64 MiB.
const CACHED_BLOCKS: usize = 16 << 10;
/// How many bytes of filters are kept in memory beside them: those of some 40 million events.
const KEPT_FILTERS: usize = 64 << 20;

/// What all topics of a repository share for reading: open files and blocks of index files, both
/// bounded.
#[derive(Debug)]
pub(super) struct Files {
    /// The repository's name, for errors.
    pub(super) repository: String,
    open: Cache<u64, Arc<File>, UnitWeighter, DefaultHashBuilder>,
    /// Blocks of index files, by file and number. They were checked when they were read.
    pub(super) blocks: Cache<(u64, u32), Bytes, UnitWeighter, DefaultHashBuilder>,
    /// How many bytes of filters are kept beside them.
    filters: Arc<AtomicUsize>,
}

/// Room for a filter that is kept in memory, given back when it is dropped.
#[derive(Debug)]
pub(super) struct FilterRoom {
    filters: Arc<AtomicUsize>,
    bytes: usize,
}

impl Drop for FilterRoom {
    fn drop(&mut self) {
        self.filters.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Files {
    pub(super) fn new(repository: String) -> Self {
        Self {
            repository,
            open: cache(OPEN_FILES),
            blocks: cache(CACHED_BLOCKS),
            filters: Arc::default(),
        }
    }

    /// The file at `path`, opened for reading, which is kept under `number`.
    pub(super) fn open(&self, number: u64, path: &Path) -> Result<Arc<File>> {
        self.open
            .get_or_insert_with(&number, || File::open(path).map(Arc::new))
            .map_err(|error| self.failed("open", path, error))
    }

    /// Room for a filter, if there is any left.
    pub(super) fn room_for_filter(&self, bytes: usize) -> Option<FilterRoom> {
        let before = self.filters.fetch_add(bytes, Ordering::Relaxed);
        let room = FilterRoom {
            filters: Arc::clone(&self.filters),
            bytes,
        };
        (before + bytes <= KEPT_FILTERS).then_some(room)
    }

    /// The error for an operation that failed on a file. A file that is gone was purged, or lost:
    /// the caller finds out which.
    pub(super) fn failed(&self, doing: &str, path: &Path, error: io::Error) -> Error {
        disk::unavailable(&self.repository, doing, path, error)
    }
}

/// A cache with a hash that is fast: its keys are numbers that nobody from outside chooses.
fn cache<K: std::hash::Hash + Eq, V: Clone>(
    entries: usize,
) -> Cache<K, V, UnitWeighter, DefaultHashBuilder> {
    Cache::with(
        entries,
        entries as u64,
        UnitWeighter,
        DefaultHashBuilder::default(),
        DefaultLifecycle::default(),
    )
}

/// A number for a file, unlike that of any other file of this process.
pub(super) fn file_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// One segment file.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    /// The position of its first event.
    pub(super) first: Position,
    pub(super) storage: StorageId,
    pub(super) epoch: u32,
    pub(super) base: Timestamp,
}

impl Segment {
    /// The segment with this header.
    pub(super) fn new(storage_path: &Path, header: &SegmentHeader) -> Self {
        Self {
            number: file_number(),
            path: layout::segment_path(storage_path, header.first),
            first: header.first,
            storage: header.storage,
            epoch: epoch(header.storage, header.first),
            base: header.base,
        }
    }

    /// Opens the segment whose first event has the position `first`, and checks its header.
    pub(super) fn open(
        storage_path: &Path,
        storage: StorageId,
        first: Position,
        files: &Files,
    ) -> Result<Self> {
        let path = layout::segment_path(storage_path, first);
        let failed = |error| files.failed("read", &path, error);
        let file = File::open(&path).map_err(failed)?;
        let bytes = disk::read_at(&file, 0, SEGMENT_HEADER).map_err(failed)?;
        let header =
            SegmentHeader::decode(&bytes).map_err(|reason| disk::corruption(&path, 0, reason))?;
        if header.first != first || header.storage != storage {
            return Err(disk::corruption(&path, 0, "the segment belongs elsewhere"));
        }
        Ok(Self::new(storage_path, &header))
    }

    /// The file, for reading.
    pub(super) fn file(&self, files: &Files) -> Result<Arc<File>> {
        files.open(self.number, &self.path)
    }
}
