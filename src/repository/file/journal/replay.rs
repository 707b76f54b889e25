//! Writes to the segments again what the journal holds, before any topic is opened.

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use super::{
    super::{
        disk::{self, corruption, unavailable},
        layout,
    },
    format::{ALIGN, Entry, FRAMES, entries, read_frame, read_header},
};
use crate::models::{Position, Result, StorageId};

/// How many journal files there are.
pub(super) const FILES: usize = 2;

/// Where a journal file is.
pub(super) fn path(directory: &Path, nth: usize) -> PathBuf {
    directory.join(format!("journal-{nth}"))
}

/// Writes what the journal of a directory holds to the segments again and makes it durable there.
/// Tells how many entries there were, and the newest sequence. The caller has the lock, and begins
/// both files anew before anything is appended.
///
/// # Errors
/// [`Corruption`](crate::models::Error::Corruption) where the journal is damaged, and
/// [`RepositoryUnavailable`](crate::models::Error::RepositoryUnavailable) where a file cannot be
/// read, written or synced.
pub(in super::super) fn replay(directory: &Path, repository: &str) -> Result<(u64, u64)> {
    let mut segments = Segments::new(directory, true);
    let replayed = each(directory, repository, |entry| segments.write(entry))?;
    let synced = segments
        .files
        .values()
        .flatten()
        .try_for_each(File::sync_all);
    synced.map_err(|error| unavailable(repository, "sync segments in", directory, error))?;
    Ok(replayed)
}

/// Whether the segments have all that the journal holds: for those who only read, and find a
/// directory that nobody writes to.
///
/// # Errors
/// As [`replay`].
pub(in super::super) fn check(directory: &Path, repository: &str) -> Result<bool> {
    let mut segments = Segments::new(directory, false);
    let mut same = true;
    each(directory, repository, |entry| {
        same &= segments.has(entry)?;
        Ok(())
    })?;
    Ok(same)
}

/// Goes through all entries, those of the older file first. Tells how many there are, and the
/// newest sequence.
fn each(
    directory: &Path,
    repository: &str,
    mut apply: impl FnMut(&Entry<'_>) -> io::Result<()>,
) -> Result<(u64, u64)> {
    let mut files = Vec::with_capacity(FILES);
    for path in (0..FILES).map(|nth| path(directory, nth)) {
        let failed = |error| unavailable(repository, "read", &path, error);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened.map_err(failed)?,
        };
        let header = read_header(&file).map_err(failed)?;
        let sequence = header.map_err(|reason| corruption(&path, 0, reason))?;
        files.push((sequence, file, path));
    }
    files.sort_by_key(|(sequence, ..)| *sequence);
    let newest = files.last().map_or(0, |(sequence, ..)| *sequence);
    let mut count = 0;
    for (sequence, file, path) in files {
        let failed = |error| unavailable(repository, "replay", &path, error);
        let mut at = FRAMES;
        while let Some((body, next)) = read_frame(&file, sequence, at).map_err(failed)? {
            for entry in entries(&body) {
                let entry = entry.map_err(|reason| corruption(&path, at, reason))?;
                apply(&entry).map_err(failed)?;
                count += 1;
            }
            at = next;
        }
        refuse_damage(&path, &file, sequence, at).map_err(failed)??;
    }
    Ok((count, newest))
}

/// A crash tears the last frame. One that is whole behind it was written after the bad one was
/// durable: that is damage.
fn refuse_damage(path: &Path, file: &File, sequence: u64, bad: u64) -> io::Result<Result<()>> {
    let length = file.metadata()?.len();
    let mut at = bad + ALIGN;
    while at < length {
        if read_frame(file, sequence, at)?.is_some() {
            let reason = "a frame of the journal is damaged";
            return Ok(Err(corruption(path, bad, reason)));
        }
        at += ALIGN;
    }
    Ok(Ok(()))
}

/// The segments that the journal speaks of.
struct Segments<'a> {
    directory: &'a Path,
    writes: bool,
    /// None where the topic was purged.
    files: HashMap<(StorageId, Position), Option<File>>,
}

impl<'a> Segments<'a> {
    fn new(directory: &'a Path, writes: bool) -> Self {
        Self {
            directory,
            writes,
            files: HashMap::new(),
        }
    }

    fn file(&mut self, entry: &Entry<'_>) -> io::Result<Option<&File>> {
        let key = (entry.storage, entry.segment);
        if !self.files.contains_key(&key) {
            let storage = layout::storage_path(self.directory, entry.storage);
            let path = layout::segment_path(&storage, entry.segment);
            let file = match fs::File::options().read(true).write(self.writes).open(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                opened => Some(opened?),
            };
            self.files.insert(key, file);
        }
        Ok(self.files.get(&key).and_then(Option::as_ref))
    }

    fn write(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        match self.file(entry)? {
            Some(file) => disk::write_at(file, entry.offset, entry.bytes),
            None => Ok(()),
        }
    }

    fn has(&mut self, entry: &Entry<'_>) -> io::Result<bool> {
        match self.file(entry)? {
            Some(file) => Ok(disk::read_at(file, entry.offset, entry.bytes.len())? == entry.bytes),
            None => Ok(true),
        }
    }
}
