//! The journal with real files: what it holds is written again, and nothing else is.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use uuid::Uuid;

use super::{
    super::{disk, layout, workers::Workers},
    Entry, Journal, check,
    format::{ENTRY_HEADER, FRAMES, MAX_BODY},
    replay,
    replay::path,
};
use crate::models::{Error, Position, StorageId};

/// A directory with the segments of some topics.
struct Scene {
    directory: TempDir,
    journal: Journal,
    /// Where each segment ends.
    ends: Vec<u64>,
}

impl Scene {
    fn new(topics: u128) -> Self {
        let directory = TempDir::new().unwrap();
        for topic in 0..topics {
            let segment = segment(directory.path(), topic);
            fs::create_dir_all(segment.parent().unwrap()).unwrap();
            fs::write(segment, b"").unwrap();
        }
        let journal = Journal::new(directory.path().to_owned(), Workers::default(), 0);
        Self {
            directory,
            journal,
            ends: vec![0; topics as usize],
        }
    }

    /// Writes a group of each topic, to its segment and to the journal.
    fn round(&mut self, bytes: &[u8]) -> bool {
        let mut entries = Vec::new();
        let paths: Vec<_> = (0..self.ends.len())
            .map(|topic| segment(self.directory.path(), topic as u128))
            .collect();
        for (topic, (path, end)) in paths.iter().zip(&mut self.ends).enumerate() {
            disk::write_at(&disk::open_writable(path).unwrap(), *end, bytes).unwrap();
            let entry = Entry {
                storage: storage(topic as u128),
                segment: Position::new(1),
                offset: *end,
                bytes,
            };
            entries.push((entry, path.as_path()));
            *end += bytes.len() as u64;
        }
        self.journal.write(&entries)
    }

    fn contents(&self) -> Vec<Vec<u8>> {
        (0..self.ends.len())
            .map(|topic| fs::read(segment(self.directory.path(), topic as u128)).unwrap())
            .collect()
    }

    /// Loses what was written to the segments from `offset` on.
    fn lose(&self, offset: u64) {
        for topic in 0..self.ends.len() {
            let path = segment(self.directory.path(), topic as u128);
            disk::open_writable(&path).unwrap().set_len(offset).unwrap();
        }
    }

    fn replay(&self) -> Result<(u64, u64), Error> {
        replay(self.directory.path(), "file:test")
    }
}

fn storage(topic: u128) -> StorageId {
    StorageId::new(Uuid::from_u128(topic + 1))
}

fn segment(directory: &Path, topic: u128) -> PathBuf {
    let storage = layout::storage_path(directory, storage(topic));
    layout::segment_path(&storage, Position::new(1))
}

#[test]
fn what_the_segments_have_lost_is_written_again() {
    let mut scene = Scene::new(3);
    for round in 0..20 {
        assert!(scene.round(&[round; 300]));
    }
    let before = scene.contents();
    assert!(check(scene.directory.path(), "file:test").unwrap());
    scene.lose(150);
    assert!(!check(scene.directory.path(), "file:test").unwrap());
    assert_eq!(scene.replay().unwrap(), (60, 1));
    assert_eq!(scene.contents(), before);
}

#[test]
fn a_topic_that_was_purged_is_left_alone() {
    let mut scene = Scene::new(2);
    assert!(scene.round(b"group"));
    let storage = layout::storage_path(scene.directory.path(), storage(0));
    fs::remove_dir_all(&storage).unwrap();
    assert_eq!(scene.replay().unwrap().0, 2);
    assert!(!storage.exists());
}

#[test]
fn a_journal_that_was_begun_anew_says_nothing() {
    let mut scene = Scene::new(2);
    assert!(scene.round(b"group"));
    let sequence = Journal::clear(scene.directory.path(), 1).unwrap();
    assert!(sequence > 1);
    scene.lose(0);
    assert_eq!(scene.replay().unwrap(), (0, sequence));
}

#[test]
fn a_full_file_is_used_again_once_its_segments_are_synced() {
    let mut scene = Scene::new(2);
    scene.journal = scene.journal.full_at(FRAMES + 4096);
    for round in 0..40 {
        while !scene.journal.is_checkpointed() {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(scene.round(&[round; 300]));
    }
    let lengths: Vec<_> = (0..2)
        .map(|nth| {
            fs::metadata(path(scene.directory.path(), nth))
                .unwrap()
                .len()
        })
        .collect();
    assert!(
        lengths.iter().all(|length| *length <= FRAMES + 8192),
        "{lengths:?}"
    );
    // What the file that is used now holds is there again, behind what was synced.
    let before = scene.contents();
    scene.lose(12_000 - 300);
    let (entries, sequence) = scene.replay().unwrap();
    assert!(entries > 0 && sequence > 2, "{entries} {sequence}");
    assert_eq!(scene.contents(), before);
}

#[test]
fn a_torn_last_frame_is_ignored_and_a_damaged_one_before_it_is_told() {
    let mut scene = Scene::new(2);
    for _ in 0..3 {
        assert!(scene.round(b"group"));
    }
    // Each frame takes a sector here.
    let path = path(scene.directory.path(), 1);
    let whole = fs::read(&path).unwrap();
    let with_a_flip = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        scene.replay()
    };
    let last = FRAMES as usize + 2 * 512;
    assert_eq!(with_a_flip(last + 20).unwrap().0, 4);
    fs::write(&path, &whole[..last + 30]).unwrap();
    assert_eq!(scene.replay().unwrap().0, 4);
    for frame in 0..2 {
        let error = with_a_flip(FRAMES as usize + frame * 512 + 20).unwrap_err();
        let place = format!("offset {}", FRAMES as usize + frame * 512);
        assert!(
            matches!(&error, Error::Corruption { place: found, .. } if found.ends_with(&place)),
            "{error}"
        );
    }
}

#[test]
fn a_round_that_is_too_large_for_a_frame_is_left_to_the_segments() {
    // Topics in a round may get much to write between the moment when the round was made up and
    // the one when it is their turn. A frame that is larger than a replay reads would be lost, and
    // the frames behind it taken for damage.
    let mut scene = Scene::new(2);
    assert!(scene.round(b"before"));
    assert!(!scene.round(&vec![7; MAX_BODY / 2]));
    assert!(scene.round(b"after"));
    assert_eq!(scene.replay().unwrap().0, 4);
    // One that just fits is read again.
    let mut scene = Scene::new(2);
    assert!(scene.round(&vec![7; MAX_BODY / 2 - ENTRY_HEADER]));
    let before = scene.contents();
    scene.lose(100);
    assert_eq!(scene.replay().unwrap().0, 2);
    assert!(scene.contents() == before);
}

#[test]
fn after_a_failure_it_is_not_used_any_more() {
    let mut scene = Scene::new(2);
    fs::create_dir(path(scene.directory.path(), 1)).unwrap();
    assert!(!scene.round(b"group"));
    fs::remove_dir(path(scene.directory.path(), 1)).unwrap();
    assert!(!scene.round(b"group"));
}

#[test]
fn a_file_is_not_used_again_while_its_segments_are_not_synced() {
    let mut scene = Scene::new(2);
    scene.journal = scene.journal.full_at(FRAMES);
    let begin = Instant::now();
    let mut written = 0;
    // As fast as it can: a round may find that the other file is still needed.
    while written < 20 && begin.elapsed() < Duration::from_secs(10) {
        let before = scene.ends.clone();
        if scene.round(b"group") {
            written += 1;
        } else {
            scene.ends = before;
        }
    }
    assert_eq!(written, 20);
}
