//! Where things are in a repository's directory, and how entries are made and removed.
//!
//! ```text
//! DIR/lock                            locked by the process that writes
//! DIR/topics/STORAGE/topic.json       whose storage it is
//! DIR/topics/STORAGE/FIRST.log        segments, by the position of their first event (20 digits)
//! DIR/topics/STORAGE/FIRST.idx        the index of a segment
//! DIR/topics/STORAGE/mark             how far the log goes
//! ```
//! `STORAGE` is a UUID, so no name of a user ever becomes a path. A storage is made under another
//! name and renamed when it is whole; it is renamed again before it is erased.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    disk,
    frame::{SegmentHeader, epoch},
    mark::{MARK_BYTES, Mark},
};
use crate::models::{Placement, Position, StorageId, StoreId, Timestamp, TopicName};

const TOPICS: &str = "topics";
const MAKING: &str = ".new";
const ERASING: &str = ".gone";

/// What `topic.json` says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Descriptor {
    pub(super) format: u32,
    pub(super) storage: StorageId,
    pub(super) store: StoreId,
    pub(super) topic: TopicName,
}

pub(super) fn lock_path(directory: &Path) -> PathBuf {
    directory.join("lock")
}

pub(super) fn topics_path(directory: &Path) -> PathBuf {
    directory.join(TOPICS)
}

pub(super) fn storage_path(directory: &Path, storage: StorageId) -> PathBuf {
    topics_path(directory).join(storage.to_string())
}

pub(super) fn segment_path(storage: &Path, first: Position) -> PathBuf {
    storage.join(format!("{:020}.log", first.get()))
}

pub(super) fn index_path(storage: &Path, first: Position) -> PathBuf {
    storage.join(format!("{:020}.idx", first.get()))
}

pub(super) fn descriptor_path(storage: &Path) -> PathBuf {
    storage.join("topic.json")
}

pub(super) fn mark_path(storage: &Path) -> PathBuf {
    storage.join("mark")
}

/// The first positions of the segments in a storage, ascending.
pub(super) fn segments(storage: &Path) -> io::Result<Vec<Position>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(storage)? {
        let name = entry?.file_name();
        let Some(digits) = name.to_str().and_then(|name| name.strip_suffix(".log")) else {
            continue;
        };
        if digits.len() == 20
            && let Ok(first) = digits.parse()
        {
            found.push(Position::new(first));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Makes the directory and what belongs into it, if it is not there. All of it is entered durably
/// when this returns.
pub(super) fn make_repository(directory: &Path) -> io::Result<()> {
    let topics = topics_path(directory);
    // What is made is entered durably in the directory above before anything is made in it. So
    // where a process was killed on the way, only the last one that it made may not be.
    let found = topics.ancestors().find(|path| path.exists());
    if let Some(above) = found.and_then(Path::parent) {
        match disk::sync_directory(above) {
            // It may be a directory of others, that this process has not made and may not read.
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied => return Err(error),
            _ => {}
        }
    }
    let mut missing: Vec<&Path> = topics
        .ancestors()
        .take_while(|path| !path.exists())
        .collect();
    while let Some(path) = missing.pop() {
        match fs::create_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        if let Some(parent) = path.parent() {
            disk::sync_directory(parent)?;
        }
    }
    Ok(())
}

/// Makes a storage with an empty first segment. Durable when it returns; before that, nothing of
/// it is seen.
pub(super) fn make_storage(
    directory: &Path,
    placement: &Placement,
    now: Timestamp,
) -> io::Result<()> {
    let final_path = storage_path(directory, placement.storage);
    let path = topics_path(directory).join(format!("{}{MAKING}", placement.storage));
    match fs::remove_dir_all(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::create_dir(&path)?;
    let descriptor = Descriptor {
        format: super::frame::FORMAT,
        storage: placement.storage,
        store: placement.store,
        topic: placement.topic.clone(),
    };
    let text = serde_json::to_vec_pretty(&descriptor)?;
    write_new(&descriptor_path(&path), &text)?;
    let first = Position::START.next();
    make_segment(
        &path,
        &SegmentHeader {
            storage: placement.storage,
            first,
            base: now,
        },
        &[],
    )?;
    make_mark(&path, placement.storage)?;
    disk::sync_directory(&path)?;
    fs::rename(&path, &final_path)?;
    disk::sync_directory(&topics_path(directory))
}

/// Makes an empty mark.
pub(super) fn make_mark(storage_path: &Path, storage: StorageId) -> io::Result<()> {
    let first = Position::START.next();
    let end = super::frame::SEGMENT_HEADER as u64;
    let mark = Mark {
        sequence: 0,
        head: Position::START,
        segment: first,
        end,
        durable: end,
        clean: false,
    };
    let file = disk::create_new(&mark_path(storage_path))?;
    file.set_len(MARK_BYTES as u64)?;
    mark.write(&file, epoch(storage, Position::START))?;
    file.sync_all()
}

/// Makes a segment with what it begins with and its entry in the directory; both are durable when
/// it returns.
pub(super) fn make_segment(
    storage_path: &Path,
    header: &SegmentHeader,
    frames: &[u8],
) -> io::Result<fs::File> {
    let path = segment_path(storage_path, header.first);
    let made = (|| {
        let file = disk::create_new(&path)?;
        disk::write_at(&file, 0, &[&header.encode()[..], frames].concat())?;
        file.sync_all()?;
        disk::sync_directory(storage_path)?;
        Ok(file)
    })();
    if made.is_err() {
        // A segment that is not whole would be in the way of the next try. Where it cannot be
        // removed either, the next open does it.
        drop(fs::remove_file(&path));
    }
    made
}

/// What `topic.json` of a storage says, or where and why it is not what was written.
pub(super) fn read_descriptor(
    storage_path: &Path,
) -> io::Result<std::result::Result<Descriptor, (u64, String)>> {
    let text = fs::read(descriptor_path(storage_path))?;
    Ok(serde_json::from_slice(&text).map_err(|error| {
        let lines = text.split_inclusive(|byte| *byte == b'\n');
        let before: usize = lines
            .take(error.line().saturating_sub(1))
            .map(<[u8]>::len)
            .sum();
        let at = before + error.column().saturating_sub(1);
        (at as u64, error.to_string())
    }))
}

/// Every storage in the repository.
pub(super) fn storages(directory: &Path) -> io::Result<Vec<StorageId>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(topics_path(directory))? {
        let name = entry?.file_name();
        if let Some(storage) = name.to_str().and_then(|name| name.parse().ok()) {
            found.push(storage);
        }
    }
    Ok(found)
}

/// Erases a storage. Idempotent; once it is renamed it is gone for every reader.
pub(super) fn erase_storage(directory: &Path, storage: StorageId) -> io::Result<()> {
    let topics = topics_path(directory);
    let gone = topics.join(format!("{storage}{ERASING}"));
    match fs::rename(storage_path(directory, storage), &gone) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    disk::sync_directory(&topics)?;
    match fs::remove_dir_all(&gone) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => disk::sync_directory(&topics),
    }
}

/// Removes what a crash has left of storages that were being made or erased.
pub(super) fn clear_leftovers(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(topics_path(directory))? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let stem = name
            .strip_suffix(MAKING)
            .or_else(|| name.strip_suffix(ERASING));
        if stem.is_some_and(|stem| stem.parse::<StorageId>().is_ok()) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Writes a new file, durably but for its directory entry.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = disk::create_new(path)?;
    disk::write_at(&file, 0, bytes)?;
    file.sync_all()
}
