//! What the fuzz target of the journal does. Not a part of the library.

use std::{fs, path::Path};

use crc32c::{crc32c, crc32c_append};
use uuid::Uuid;

use super::{
    super::{
        frame::{put, u32_at, u64_at},
        fuzz::Directory,
        layout,
    },
    check,
    format::{ALIGN, FRAME_HEADER, FRAME_MAGIC, FRAMES, HEADER_MAGIC, SLOT, SLOT_STRIDE, seed},
    replay,
    replay::path,
};
use crate::models::{Error, Position, StorageId};

/// The segments that are there: what the corpus speaks of.
fn segments(directory: &Path) -> [std::path::PathBuf; 2] {
    [0, 7].map(|number| {
        let storage = StorageId::new(Uuid::from_u128(number));
        let storage = layout::storage_path(directory, storage);
        layout::segment_path(&storage, Position::new(1))
    })
}

/// Any bytes as the files of a journal: they are replayed, or refused. Whoever replays them again finds
/// the same and changes nothing, and who only looks changes nothing either. What is replayed to its end
/// is read to its end by who looks, too.
pub(crate) fn journal(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else {
        return;
    };
    let mut bytes = rest.to_vec();
    if mode & 1 == 1 {
        mend(&mut bytes);
    }
    let directory = Directory::new();
    for segment in segments(&directory.0) {
        let made = segment.parent().map(fs::create_dir_all);
        assert!(made.is_some_and(|made| made.is_ok()) && fs::write(&segment, b"there").is_ok());
    }
    directory.put(&path(&directory.0, 0), &bytes);
    let read = || segments(&directory.0).map(|segment| small(&segment));
    let before = read();
    let looked = check(&directory.0, "fuzz");
    assert_eq!(read(), before);
    let replayed = replay(&directory.0, "fuzz");
    let after = read();
    assert!(after == before || !matches!(looked, Ok(true)));
    match (&replayed, &looked) {
        (Ok(_), Ok(_)) | (Err(Error::RepositoryUnavailable { .. }), _) => {}
        (Err(Error::Corruption { .. }), Err(Error::Corruption { .. })) => {}
        // Where it cannot be read, it is not looked for either.
        (Ok(_), Err(Error::RepositoryUnavailable { .. })) => {}
        outcomes => assert!(before.is_empty(), "{outcomes:?}"),
    }
    let again = replay(&directory.0, "fuzz");
    assert_eq!(replayed.ok(), again.ok());
    assert_eq!(read(), after);
}

/// A file, unless something was written far behind its end.
fn small(path: &Path) -> Option<Vec<u8>> {
    let length = fs::metadata(path).ok()?.len();
    (length < 1 << 20).then(|| fs::read(path).ok())?
}

/// Gives the headers and frames the checksums that they should have.
fn mend(bytes: &mut [u8]) {
    let mut sequence = 0;
    for at in [0, SLOT_STRIDE as usize] {
        let slot = bytes.get(at..at + SLOT).unwrap_or_default();
        if slot.get(..8) == Some(&HEADER_MAGIC) {
            sequence = sequence.max(u64_at(slot, 16));
            let crc = crc32c(slot.get(12..).unwrap_or_default());
            put(bytes, at + 8, &crc.to_le_bytes());
        }
    }
    for at in (FRAMES as usize..bytes.len()).step_by(ALIGN as usize) {
        let frame = bytes.get(at..).unwrap_or_default();
        if frame.get(..4) != Some(&FRAME_MAGIC) || frame.len() < FRAME_HEADER {
            continue;
        }
        let end = FRAME_HEADER + u32_at(frame, 8) as usize;
        let Some(content) = frame.get(8..end) else {
            continue;
        };
        let crc = crc32c_append(seed(sequence, at as u64), content);
        put(bytes, at + 4, &crc.to_le_bytes());
    }
}
