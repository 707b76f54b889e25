//! Writes the journal.

use std::{
    collections::{HashMap, hash_map::Entry::Vacant},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

use super::{
    super::{disk, workers::Workers},
    format::{Entry, FRAMES, MAX_BODY, body_length, encode_frame, write_header},
    replay::{FILES, path},
};
use crate::models::{Position, StorageId};

/// When a file is full, in bytes: as much is written again at the next open, at most twice.
const FULL: u64 = 32 << 20;

/// The segments that a file of the journal speaks of.
///
/// Each is opened anew for this: the operating system tells each opener of a file once that a write
/// of it failed, and who writes to the segment may be told first.
type Dirty = HashMap<(StorageId, Position), File>;

/// The journal of a directory that is written to.
#[derive(Debug)]
pub(in super::super) struct Journal {
    directory: PathBuf,
    workers: Workers,
    /// A file is full when it has this many bytes.
    full: u64,
    /// The file that is used, and where it ends. None until it is needed, and after a failure.
    current: Option<Current>,
    /// The sequence that was used last.
    sequence: u64,
    /// Segments of the file that was full last, until they are synced.
    checkpoint: Arc<Mutex<Checkpoint>>,
    /// After a failure it is not used any more.
    broken: bool,
    /// Kept from one frame to the next, so that it need not grow anew.
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Current {
    file: File,
    end: u64,
    dirty: Dirty,
}

/// How far the segments of the other file are.
#[derive(Debug, Default)]
enum Checkpoint {
    /// The file is free.
    #[default]
    Done,
    Running,
    /// They could not be synced: what that file says is needed at the next open.
    Failed,
}

impl Journal {
    /// A journal whose files were replayed and begun anew, up to this sequence.
    pub(in super::super) fn new(directory: PathBuf, workers: Workers, sequence: u64) -> Self {
        Self {
            directory,
            workers,
            full: FULL,
            current: None,
            sequence,
            checkpoint: Arc::default(),
            broken: false,
            buffer: Vec::new(),
        }
    }

    /// Begins the files that are there anew, after a replay or when everything is in its segment.
    /// Returns the sequence that was used.
    pub(in super::super) fn clear(directory: &Path, newest: u64) -> io::Result<u64> {
        let mut sequence = newest;
        for nth in 0..FILES {
            let path = path(directory, nth);
            match disk::open_writable(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
                Ok(file) => {
                    sequence = place(sequence, nth);
                    write_header(&file, sequence)?;
                    file.sync_all()?;
                }
            }
        }
        Ok(sequence)
    }

    /// Makes the entries durable, which were written to these segments. `false` where it cannot:
    /// the segments have to be synced then.
    pub(in super::super) fn write(&mut self, entries: &[(Entry<'_>, &Path)]) -> bool {
        if self.broken {
            return false;
        }
        match self.try_write(entries) {
            Ok(written) => written,
            Err(error) => {
                // What it holds is still needed: its files stay as they are until the next open.
                tracing::error!(%error, directory = %self.directory.display(), "the journal failed; topics are synced one by one");
                self.broken = true;
                false
            }
        }
    }

    fn try_write(&mut self, entries: &[(Entry<'_>, &Path)]) -> io::Result<bool> {
        // More may have come to the topics since the round was made up.
        if body_length(entries.iter().map(|(entry, _)| entry)) > MAX_BODY {
            return Ok(false);
        }
        if self
            .current
            .as_ref()
            .is_some_and(|current| current.end >= self.full)
        {
            match *self.checkpoint.lock() {
                Checkpoint::Done => {}
                // The other file is still needed.
                Checkpoint::Running => return Ok(false),
                Checkpoint::Failed => {
                    return Err(io::Error::other("a segment could not be synced"));
                }
            }
            self.switch()?;
        }
        if self.current.is_none() {
            self.begin()?;
        }
        let Some(current) = &mut self.current else {
            return Ok(false);
        };
        for (entry, path) in entries {
            if let Vacant(place) = current.dirty.entry((entry.storage, entry.segment)) {
                place.insert(File::open(path)?);
            }
        }
        let plain: Vec<_> = entries.iter().map(|(entry, _)| *entry).collect();
        encode_frame(&mut self.buffer, self.sequence, current.end, &plain);
        disk::write_at(&current.file, current.end, &self.buffer)?;
        current.file.sync_data()?;
        current.end += self.buffer.len() as u64;
        self.buffer.shrink_to(1 << 20);
        Ok(true)
    }

    /// Goes on in the other file, while the segments of the full one are synced.
    fn switch(&mut self) -> io::Result<()> {
        let Some(full) = self.current.take() else {
            return Ok(());
        };
        *self.checkpoint.lock() = Checkpoint::Running;
        let (checkpoint, directory) = (Arc::clone(&self.checkpoint), self.directory.clone());
        self.workers.submit(move || {
            let synced = full.dirty.values().try_for_each(File::sync_data);
            *checkpoint.lock() = match synced {
                Ok(()) => Checkpoint::Done,
                Err(error) => {
                    tracing::error!(%error, directory = %directory.display(), "a segment could not be synced; the journal keeps what it lacks");
                    Checkpoint::Failed
                }
            };
        })?;
        self.begin()
    }

    /// Begins the file whose turn it is.
    fn begin(&mut self) -> io::Result<()> {
        self.sequence += 1;
        let path = path(&self.directory, (self.sequence % FILES as u64) as usize);
        let file = match disk::open_writable(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.make(&path)?,
            Err(error) => return Err(error),
            Ok(file) => {
                write_header(&file, self.sequence)?;
                file.sync_all()?;
                file
            }
        };
        self.current = Some(Current {
            file,
            end: FRAMES,
            dirty: Dirty::default(),
        });
        Ok(())
    }

    /// Makes a file under another name, so that one without a header is never seen.
    fn make(&self, path: &Path) -> io::Result<File> {
        let made = path.with_extension("new");
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&made)?;
        file.set_len(FRAMES)?;
        write_header(&file, self.sequence)?;
        file.sync_all()?;
        fs::rename(&made, path)?;
        disk::sync_directory(&self.directory)?;
        Ok(file)
    }

    /// Begins its files anew, once all topics were closed in order and are durable in their
    /// segments, so that the next open has nothing to replay. Where a segment could not be synced,
    /// or one is being synced still, they stay as they are.
    pub(in super::super) fn finish(&self) -> io::Result<()> {
        if self.broken
            || !matches!(*self.checkpoint.lock(), Checkpoint::Done)
            || self.current.is_none()
        {
            return Ok(());
        }
        Self::clear(&self.directory, self.sequence).map(drop)
    }
}

/// The next sequence whose turn is the `nth` file.
const fn place(sequence: u64, nth: usize) -> u64 {
    let next = sequence + 1;
    if next % FILES as u64 == nth as u64 {
        next
    } else {
        next + 1
    }
}

#[cfg(test)]
impl Journal {
    /// The same with smaller files.
    pub(super) const fn full_at(mut self, bytes: u64) -> Self {
        self.full = bytes;
        self
    }

    /// Whether the segments of the file that was full last are synced.
    pub(super) fn is_checkpointed(&self) -> bool {
        matches!(*self.checkpoint.lock(), Checkpoint::Done)
    }
}
