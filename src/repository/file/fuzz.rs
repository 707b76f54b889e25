//! What the fuzz targets do with the files of a topic. Any bytes may be handed in; what is checked
//! is told at each function. Not a part of the library.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crc32c::{crc32c, crc32c_append};
use uuid::Uuid;

use super::{
    frame::{
        FRAME_HEADER, FrameHeader, RECORD_HEADER, SEGMENT_HEADER, SegmentHeader, begins_frame,
        epoch, put, record_crc, u32_at, u64_at, write_frame,
    },
    index_file::{IndexFile, Source, write},
    layout,
    mark::{MARK_BYTES, Mark},
    part::Live,
    recovery::{Opening, Recovered},
    segment::{Files, Segment},
    walk::{Item, Walk, view},
};
use crate::{
    models::{Error, Position, Result, StorageId, Timestamp, TopicName, Version},
    repository::{
        index::{Index, Key, KeyKind, Span},
        parts::Probe,
        record::RecordView,
    },
};

/// A directory that goes away with its value, in memory where there is such a place.
pub(super) struct Directory(pub(super) PathBuf);

impl Directory {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() {
            memory.to_owned()
        } else {
            std::env::temp_dir()
        };
        let path = base.join(format!("annals-fuzz-{}-{number}", std::process::id()));
        assert!(fs::create_dir_all(&path).is_ok(), "a directory");
        Self(path)
    }

    pub(super) fn put(&self, path: &Path, bytes: &[u8]) {
        assert!(fs::write(self.0.join(path), bytes).is_ok(), "a file");
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn storage_at(bytes: &[u8]) -> StorageId {
    let id = bytes.get(16..).and_then(<[u8]>::first_chunk);
    StorageId::new(id.map_or(Uuid::nil(), |id| Uuid::from_bytes(*id)))
}

/// A mark that is read is written as it was read, but for what the format leaves open.
pub(crate) fn mark(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else {
        return;
    };
    let mut bytes = rest.to_vec();
    bytes.truncate(MARK_BYTES);
    if mode & 1 == 1 {
        for slot in bytes.chunks_mut(512) {
            let crc = crc32c_append(7, slot.get(8..64).unwrap_or_default());
            put(slot, 4, &crc.to_le_bytes());
        }
    }
    let newest = Mark::newest(&bytes, 7);
    let mut sequences = Vec::new();
    for slot in bytes.chunks(512) {
        let Some(mark) = Mark::decode(slot, 7) else {
            continue;
        };
        sequences.push(mark.sequence);
        let again = mark.encode(7);
        assert_eq!(Mark::decode(&again, 7), Some(mark));
        let reserved = slot.get(49..64).unwrap_or_default();
        if reserved.iter().all(|byte| *byte == 0) && slot.get(48).is_some_and(|byte| *byte < 2) {
            assert_eq!(slot.get(..64), Some(&again[..]));
        }
    }
    assert_eq!(
        newest.map(|mark| mark.sequence),
        sequences.into_iter().max()
    );
}

pub(crate) use super::journal::fuzz::journal;

/// Gives each header, frame and record the checksum that it should have, so that what lies behind
/// the checksums is reached.
fn mend_segment(bytes: &mut [u8]) {
    let crc = crc32c(bytes.get(12..SEGMENT_HEADER).unwrap_or_default());
    put(bytes, 8, &crc.to_le_bytes());
    let epoch = epoch(storage_at(bytes), Position::START.next());
    let (mut at, mut position) = (SEGMENT_HEADER, Position::START.next());
    while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() >= RECORD_HEADER) {
        if begins_frame(rest) {
            let crc = crc32c_append(epoch, rest.get(8..FRAME_HEADER).unwrap_or_default());
            put(bytes, at + 4, &crc.to_le_bytes());
            at += FRAME_HEADER;
            continue;
        }
        let length = u32_at(rest, 0) as usize;
        let Some(content) = rest.get(RECORD_HEADER..RECORD_HEADER.saturating_add(length)) else {
            return;
        };
        let crc = record_crc(content, epoch, position);
        put(bytes, at + 4, &crc.to_le_bytes());
        at += RECORD_HEADER + length;
        position = position.next();
    }
}

fn recover(directory: &Path, storage: StorageId, writes: bool) -> Result<Recovered> {
    Opening {
        topic: &TopicName::configuration(),
        storage,
        path: directory,
        files: &Arc::new(Files::new("fuzz".to_owned())),
        writes,
        others_write: false,
    }
    .recover()
}

/// A segment without a mark beside it: it is recovered, or damage is named. What was recovered is a
/// prefix of the file that consists of whole frames, opening to read finds the same and changes
/// nothing, and opening again finds nothing more to mend. Every frame is written as it was read.
pub(crate) fn segment(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else {
        return;
    };
    let mut bytes = rest.to_vec();
    if mode & 1 == 1 {
        mend_segment(&mut bytes);
    }
    let storage = storage_at(&bytes);
    let directory = Directory::new();
    let path = layout::segment_path(&directory.0, Position::START.next());
    directory.put(&path, &bytes);
    let reading = recover(&directory.0, storage, false);
    assert_eq!(fs::read(&path).ok().as_deref(), Some(&bytes[..]));
    let found = match (recover(&directory.0, storage, true), reading) {
        (Ok(found), Ok(reading)) => {
            assert_eq!(
                (found.head, found.end, found.sealed, found.last_time),
                (reading.head, reading.end, reading.sealed, reading.last_time)
            );
            found
        }
        (Err(Error::Corruption { place, .. }), Err(Error::Corruption { .. })) => {
            assert!(place.contains("offset"), "{place}");
            assert_eq!(fs::read(&path).ok().as_deref(), Some(&bytes[..]));
            return;
        }
        (one, other) => {
            let outcomes = (one.map(|one| one.head), other.map(|other| other.head));
            assert!(outcomes.0.is_err() && outcomes.0.is_ok(), "{outcomes:?}");
            return;
        }
    };
    let left = fs::read(&path).unwrap_or_default();
    assert_eq!(bytes.get(..found.end as usize), Some(&left[..]));
    let again = recover(&directory.0, storage, true);
    assert!(
        again
            .is_ok_and(|again| (again.head, again.end) == (found.head, found.end)
                && again.notes.is_empty()),
        "what was recovered is whole"
    );
    write_again(&path, &left, &found.segment);
}

/// Reads each frame of a segment that is whole, and writes it again.
fn write_again(path: &Path, bytes: &[u8], segment: &Segment) {
    let Ok(file) = fs::File::open(path) else {
        return;
    };
    let first = segment.first;
    let mut walk = Walk::at_frame(segment, &file, SEGMENT_HEADER as u64, first, 4096);
    let mut contents: Vec<Vec<u8>> = Vec::new();
    let mut frame: Option<(usize, FrameHeader)> = None;
    loop {
        let start = walk.offset() as usize;
        match walk.step() {
            Ok(Some(Item::Frame(header))) => {
                (frame, contents) = (Some((start, header)), Vec::new());
            }
            Ok(Some(Item::Record { content, .. })) => contents.push(content.to_vec()),
            Ok(None) => return,
            Err(stop) => assert!(contents.len() > bytes.len(), "{stop:?}"),
        }
        let Some((at, header)) = frame.filter(|_| walk.between_frames()) else {
            continue;
        };
        let views: Vec<_> = contents
            .iter()
            .filter_map(|content| view(content, segment, 0).ok())
            .collect();
        assert_eq!(views.len(), usize::from(header.count));
        let mut out = Vec::new();
        let place = (segment.epoch, segment.base);
        write_frame(&mut out, place, header, &views, |_| {});
        // Longer numbers than are needed, texts that are there and empty, and reserved bytes are
        // read, and not written.
        let whole = bytes.get(at..walk.offset() as usize).unwrap_or_default();
        let reserved = u32_at(whole, 28) != 0 || whole.get(15) != Some(&0);
        assert!(out.len() <= whole.len());
        if out.len() == whole.len() && !reserved {
            assert_eq!(out, whole);
        }
    }
}

/// An index file is opened and asked everything, or refused; no answer is larger than what was
/// asked for. With the second bit of the first byte set, the data are events instead, whose index
/// file has to give the answers of the index that it was made of.
pub(crate) fn index_file(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else {
        return;
    };
    if mode & 2 == 2 {
        return index_of_events(rest);
    }
    let mut bytes = rest.to_vec();
    if mode & 1 == 1 {
        mend_index(&mut bytes);
    }
    let directory = Directory::new();
    let segment = segment_of(storage_at(&bytes), Position::new(u64_at(&bytes, 32)));
    let path = Path::new("1.idx");
    directory.put(path, &bytes);
    let files = Arc::new(Files::new("fuzz".to_owned()));
    let Ok(index) = IndexFile::open(&directory.0.join(path), &segment, &files) else {
        return;
    };
    let span = Span {
        after: index.before(),
        up_to: index.last(),
        backward: bytes.len().is_multiple_of(2),
    };
    let texts = [&b""[..], b"s", b"stream-1", b"Written", b"n:1"];
    for text in texts {
        for kind in [KeyKind::Stream, KeyKind::Type, KeyKind::Tag] {
            let key = Key { kind, text };
            let found = index.postings(key, &span, 100);
            assert!(found.is_ok_and(|found| found.len() <= 100) || index.is_damaged());
            assert!(index.count(key).is_ok() || index.is_damaged());
        }
        for limit in [0, 1, 7, u32::MAX] {
            assert!(index.stream(&Probe::new(text), limit).is_ok() || index.is_damaged());
            let version = Version::new(u64::from(limit));
            assert!(index.version(text, version).is_ok() || index.is_damaged());
        }
    }
    for number in [0, 1, u128::MAX, u64::MAX.into()] {
        assert!(
            index
                .candidates(&Probe::new(Uuid::from_u128(number)))
                .is_ok()
                || index.is_damaged()
        );
        assert!(index.offset(number as u32).is_ok() || index.is_damaged());
    }
    assert!(index.verify().is_ok() || index.is_damaged());
}

/// Gives the header, the blocks and their table the checksums that they should have.
fn mend_index(bytes: &mut [u8]) {
    let blocks = (u64_at(bytes, 88).div_ceil(4096) as usize).min(bytes.len() / 4096);
    let mut table = Vec::new();
    for block in bytes.chunks(4096).skip(1).take(blocks) {
        table.extend_from_slice(&crc32c(block).to_le_bytes());
    }
    put(bytes, 4096 * (1 + blocks), &table);
    put(bytes, 96, &crc32c(&table).to_le_bytes());
    let crc = crc32c(bytes.get(12..256).unwrap_or_default());
    put(bytes, 8, &crc.to_le_bytes());
}

fn segment_of(storage: StorageId, first: Position) -> Segment {
    let header = SegmentHeader {
        storage,
        first,
        base: Timestamp::default(),
    };
    Segment::new(Path::new("fuzz"), &header)
}

/// Three bytes for each event: by them it gets its stream, its type and its tags.
fn index_of_events(data: &[u8]) {
    const TEXTS: [&[u8]; 8] = [b"", b"a", b"b", b"aa", b"stream-1", b"\x7f", b"t:1", b"t:2"];
    let text = |byte: u8| {
        TEXTS
            .get(usize::from(byte % 8))
            .copied()
            .unwrap_or_default()
    };
    let mut live = Live::new(Position::new(41));
    for (nth, chunk) in data.chunks_exact(3).take(2000).enumerate() {
        let &[stream, kind, tag] = chunk else {
            continue;
        };
        let joined = [text(tag), b"\x1f", text(tag / 8)].concat();
        let record = RecordView {
            id: Uuid::from_u128(u128::from(tag / 64) << 64 | nth as u128),
            version: Version::default(),
            recorded_at: Timestamp::default(),
            event_type: match kind % 16 {
                14 => crate::models::STREAM_DELETED.as_bytes(),
                15 => crate::models::STREAM_RESTORED.as_bytes(),
                _ => text(kind),
            },
            stream: text(stream),
            tags: if text(tag) == text(tag / 8) {
                text(tag)
            } else {
                &joined
            },
            content_type: b"",
            metadata: b"",
            payload: b"",
        };
        assert!(live.index.push(&record, || Ok(Default::default())).is_ok());
        live.offsets.push(nth as u32 * 7);
    }
    let directory = Directory::new();
    let segment = segment_of(StorageId::CONFIGURATION, Position::new(42));
    let path = directory.0.join("42.idx");
    let source = Source {
        segment: &segment,
        index: &live.index,
        offsets: &live.offsets,
        covered: 99,
        sealed: data.len().is_multiple_of(2),
        last_time: Timestamp::from_micros(5),
    };
    assert!(write(&path, &source).is_ok());
    let files = Arc::new(Files::new("fuzz".to_owned()));
    let opened = IndexFile::open(&path, &segment, &files);
    assert!(opened.is_ok(), "{opened:?}");
    let Ok(stored) = opened else { return };
    assert_eq!(
        (stored.before(), stored.last()),
        (live.index.before(), live.index.last())
    );
    same_answers(&live.index, &stored);
    for (id, ordinal) in live.index.ids().iter().zip(1_u32..) {
        assert!(
            stored
                .candidates(&Probe::new(*id))
                .is_ok_and(|found| found.contains(&ordinal))
        );
        let offset = u64::from(ordinal - 1) * 7;
        assert_eq!(stored.offset(ordinal).ok(), Some(offset));
    }
}

fn same_answers(index: &Index, stored: &IndexFile) {
    let span = Span {
        after: index.before(),
        up_to: index.last(),
        backward: false,
    };
    for entry in index.entries() {
        let key = entry.key();
        let (one, other) = (
            index.postings(key, &span, 5000),
            stored.postings(key, &span, 5000),
        );
        assert_eq!(other.ok(), Some(one));
        assert_eq!(stored.count(key).ok(), Some(index.count(key)));
        if key.kind == KeyKind::Stream {
            for limit in [1, 5, index.len() as u32] {
                let position = index.before().forward(u64::from(limit));
                let state = index.stream(key.text, position);
                assert_eq!(
                    stored.stream(&Probe::new(key.text), limit).ok(),
                    Some(state)
                );
            }
        }
    }
    let absent = Key::stream(b"not there");
    assert_eq!(stored.count(absent).ok(), Some(0));
}
