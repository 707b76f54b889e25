//! Opens a topic: finds out how far its log goes, and tells a torn tail from damage.
//!
//! A crash can tear what was written last and not acknowledged; it is cut off. Anything else that
//! is not as it was written is damage, and refused: a bad place in a segment that is not the last,
//! or before a place that is known to have been durable. That is known from frames that are whole
//! and follow the bad place, and from the mark. What no one can tell is damage to the very last
//! group of appends where the mark was lost too.

use std::{fs, io, path::Path, sync::Arc};

use super::{
    disk,
    frame::{SEGMENT_HEADER, epoch},
    index_file::IndexFile,
    layout,
    mark::Mark,
    part::{FilePart, PartIndex},
    segment::{Files, Segment, file_number},
    tail::{Begin, Tail, Until, Walked, must_reach},
    walk::proven_durable,
};
use crate::models::{Error, Position, Result, StorageId, Timestamp, TopicName};

/// The topic that is opened.
#[derive(Debug)]
pub(super) struct Opening<'a> {
    pub(super) topic: &'a TopicName,
    pub(super) storage: StorageId,
    pub(super) path: &'a Path,
    pub(super) files: &'a Arc<Files>,
    /// Whether this process is the one that writes: only then anything is mended.
    pub(super) writes: bool,
    /// Whether another process writes now: then the log goes as far as its mark says, and what is
    /// beyond is not acknowledged.
    pub(super) others_write: bool,
}

/// What was found.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) parts: Vec<Arc<FilePart>>,
    pub(super) segment: Arc<Segment>,
    pub(super) head: Position,
    pub(super) sealed: bool,
    pub(super) last_time: Timestamp,
    /// Where in the last segment the log ends.
    pub(super) end: u64,
    pub(super) mark: Mark,
    /// What was mended, for people.
    pub(super) notes: Vec<String>,
}

impl Opening<'_> {
    /// Opens the topic.
    pub(super) fn recover(&self) -> Result<Recovered> {
        let mark = self.read_mark()?;
        let limit = if self.others_write {
            Some(mark.ok_or_else(|| self.unmarked())?)
        } else {
            None
        };
        let mut notes = Vec::new();
        let mut segments = self.list_segments(mark, &mut notes)?;
        if let Some(mark) = limit {
            segments.retain(|segment| segment.first <= mark.segment);
        }
        let mut parts = Vec::with_capacity(segments.len() + 1);
        for (segment, next) in segments.iter().zip(segments.iter().skip(1)) {
            self.add_full(segment, next.first.previous(), &mut parts, &mut notes)?;
        }
        let Some(segment) = segments.last() else {
            return Err(disk::corruption(self.path, 0, "the storage has no segment"));
        };
        let until = limit.map_or(Until::END, |mark| Until::offset(mark.end));
        let tail = self.add_last(segment, &mut parts, until, &mut notes)?;
        match limit {
            Some(mark) => must_reach(&tail, segment, mark.head)?,
            None => self.judge(segment, &tail, mark, &mut notes)?,
        }
        let Walked {
            end,
            sealed,
            last_time,
            ..
        } = tail.walked;
        let head = tail.live.index.last();
        let index = PartIndex::Live(parking_lot::RwLock::new(tail.live));
        parts.push(Arc::new(FilePart {
            segment: Arc::clone(segment),
            index,
        }));
        let next = Mark {
            sequence: mark.map_or(0, |mark| mark.sequence) + 1,
            head,
            segment: segment.first,
            end,
            durable: end,
            clean: false,
        };
        let clean = mark.is_some_and(|mark| mark.clean && mark.head == head && mark.end == end);
        if self.writes && !clean {
            self.make_durable(segment, mark, end)?;
        }
        let segment = Arc::clone(segment);
        Ok(Recovered {
            parts,
            segment,
            head,
            sealed,
            last_time,
            end,
            mark: next,
            notes,
        })
    }

    fn failed(&self, doing: &str, path: &Path, error: io::Error) -> Error {
        self.files.failed(doing, path, error)
    }

    fn unmarked(&self) -> Error {
        Error::RepositoryUnavailable {
            repository: self.files.repository.clone(),
            reason: format!(
                "the mark of topic {} cannot be read while another process writes",
                self.topic
            ),
            source: None,
        }
    }

    fn read_mark(&self) -> Result<Option<Mark>> {
        let path = layout::mark_path(self.path);
        match fs::File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed("open", &path, error)),
            Ok(file) => Mark::read(&file, epoch(self.storage, Position::START))
                .map_err(|error| self.failed("read", &path, error)),
        }
    }

    /// Opens the segments. A last one that a crash has left without a header is removed.
    fn list_segments(
        &self,
        mark: Option<Mark>,
        notes: &mut Vec<String>,
    ) -> Result<Vec<Arc<Segment>>> {
        let firsts =
            layout::segments(self.path).map_err(|error| self.failed("read", self.path, error))?;
        if firsts.first() != Some(&Position::START.next()) {
            return Err(disk::corruption(
                self.path,
                0,
                "the first segment is missing",
            ));
        }
        let mut segments = Vec::with_capacity(firsts.len());
        for first in &firsts {
            match Segment::open(self.path, self.storage, *first, self.files) {
                Ok(segment) => segments.push(Arc::new(segment)),
                Err(Error::Corruption { .. })
                    if firsts.last() == Some(first)
                        && mark.is_none_or(|mark| mark.segment < *first)
                        && !segments.is_empty()
                        && self.is_unborn(*first)? =>
                {
                    self.remove_unborn(*first, notes)?;
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(mark) = mark
            && segments.iter().all(|segment| segment.first != mark.segment)
        {
            let path = layout::segment_path(self.path, mark.segment);
            return Err(disk::corruption(&path, 0, "the segment is missing"));
        }
        Ok(segments)
    }

    /// Whether a segment without a header has no frame either: it was never used.
    fn is_unborn(&self, first: Position) -> Result<bool> {
        let path = layout::segment_path(self.path, first);
        let segment = Segment {
            number: file_number(),
            path: path.clone(),
            first,
            storage: self.storage,
            epoch: epoch(self.storage, first),
            base: Timestamp::default(),
        };
        let file = segment.file(self.files)?;
        let frames = proven_durable(&segment, &file, 0);
        Ok(frames
            .map_err(|error| self.failed("read", &path, error))?
            .is_none())
    }

    fn remove_unborn(&self, first: Position, notes: &mut Vec<String>) -> Result<()> {
        if !self.writes {
            return Ok(());
        }
        let path = layout::segment_path(self.path, first);
        fs::remove_file(&path)
            .and_then(|()| disk::sync_directory(self.path))
            .map_err(|error| self.failed("remove", &path, error))?;
        notes.push(format!(
            "removed {}, which a crash had left without a header",
            path.display()
        ));
        Ok(())
    }

    /// Adds a segment that is followed by another one. Its index file is made where it is missing
    /// or damaged.
    fn add_full(
        &self,
        segment: &Arc<Segment>,
        last: Position,
        parts: &mut Vec<Arc<FilePart>>,
        notes: &mut Vec<String>,
    ) -> Result<()> {
        let path = layout::index_path(self.path, segment.first);
        let index = match IndexFile::open(&path, segment, self.files) {
            Ok(index) if index.last() == last => PartIndex::Stored(Box::new(index)),
            _ => self.index_anew(segment, last, parts, notes)?,
        };
        parts.push(Arc::new(FilePart {
            segment: Arc::clone(segment),
            index,
        }));
        Ok(())
    }

    /// Indexes a segment from its first event to `last`.
    fn index_anew(
        &self,
        segment: &Segment,
        last: Position,
        earlier: &mut [Arc<FilePart>],
        notes: &mut Vec<String>,
    ) -> Result<PartIndex> {
        let begin = Begin::whole(self.topic, self.files, segment, &[]);
        let tail = self.walk(&begin, earlier, Until::event(last), notes)?;
        must_reach(&tail, segment, last)?;
        notes.push(format!(
            "the index of {} was made anew",
            segment.path.display()
        ));
        let path = layout::index_path(self.path, segment.first);
        Ok(self.store(segment, tail, &path))
    }

    /// Walks behind the parts in `earlier`. Where the index file of one of them turns out to be
    /// damaged on the way, that is made anew, and the walk begins again.
    fn walk(
        &self,
        begin: &Begin<'_>,
        earlier: &mut [Arc<FilePart>],
        until: Until,
        notes: &mut Vec<String>,
    ) -> Result<Tail> {
        // A disk that damages what is made anew is not asked for ever.
        let mut left = 2 * earlier.len();
        loop {
            let walked = Begin { earlier, ..*begin }.walk(until);
            let damaged = earlier.iter().position(|part| part.is_damaged());
            let (Err(_), Some(at)) = (&walked, damaged.filter(|_| left > 0)) else {
                return walked;
            };
            left -= 1;
            let (before, rest) = earlier.split_at_mut(at);
            let Some(part) = rest.first_mut() else {
                return walked;
            };
            let segment = Arc::clone(&part.segment);
            let index = self.index_anew(&segment, part.last(), before, notes)?;
            *part = Arc::new(FilePart { segment, index });
        }
    }

    fn store(&self, segment: &Segment, tail: Tail, path: &Path) -> PartIndex {
        let source = super::index_file::Source {
            segment,
            index: &tail.live.index,
            offsets: &tail.live.offsets,
            covered: tail.walked.end,
            sealed: tail.walked.sealed,
            last_time: tail.walked.last_time,
        };
        if self.writes
            && super::index_file::write(path, &source).is_ok()
            && let Ok(index) = IndexFile::open(path, segment, self.files)
        {
            return PartIndex::Stored(Box::new(index));
        }
        PartIndex::Live(parking_lot::RwLock::new(tail.live))
    }

    /// Adds what the index file of the last segment covers, if it has one, and indexes the rest.
    fn add_last(
        &self,
        segment: &Arc<Segment>,
        parts: &mut Vec<Arc<FilePart>>,
        until: Until,
        notes: &mut Vec<String>,
    ) -> Result<Tail> {
        let mut begin = Begin::whole(self.topic, self.files, segment, &[]);
        let path = layout::index_path(self.path, segment.first);
        if let Ok(index) = IndexFile::open(&path, segment, self.files) {
            let length = fs::metadata(&segment.path)
                .map_err(|error| self.failed("read", &segment.path, error))?
                .len();
            if index.covered() > length {
                let reason = format!(
                    "the segment ends here, and {} bytes were indexed",
                    index.covered()
                );
                return Err(disk::corruption(&segment.path, length, reason));
            }
            begin.at = index.covered();
            begin.before = index.last();
            begin.sealed = index.sealed();
            begin.last_time = index.last_time();
            let index = PartIndex::Stored(Box::new(index));
            parts.push(Arc::new(FilePart {
                segment: Arc::clone(segment),
                index,
            }));
        }
        self.walk(&begin, parts, until, notes)
    }

    /// Decides whether what follows the last whole frame is a torn tail, and cuts it off.
    fn judge(
        &self,
        segment: &Segment,
        tail: &Tail,
        mark: Option<Mark>,
        notes: &mut Vec<String>,
    ) -> Result<()> {
        let file = segment.file(self.files)?;
        let failed = |error| self.failed("read", &segment.path, error);
        let length = file.metadata().map_err(failed)?.len();
        let marked = mark
            .filter(|mark| mark.segment == segment.first)
            .map(|mark| mark.durable);
        let proven = match tail.walked.stop {
            Some(_) => proven_durable(segment, &file, tail.walked.end).map_err(failed)?,
            None => None,
        };
        if proven
            .max(marked)
            .is_some_and(|durable| durable > tail.walked.end)
        {
            let (offset, reason) = tail
                .walked
                .stop
                .unwrap_or((tail.walked.end, "the segment is shorter than it was"));
            return Err(disk::corruption(&segment.path, offset, reason));
        }
        if length > tail.walked.end && self.writes {
            let cut = length - tail.walked.end;
            let path = &segment.path;
            disk::open_writable(path)
                .and_then(|file| file.set_len(tail.walked.end).and_then(|()| file.sync_all()))
                .map_err(|error| self.failed("cut off the torn tail of", path, error))?;
            let note = format!(
                "cut a torn tail of {cut} bytes, which was not acknowledged, off {} at offset {}",
                path.display(),
                tail.walked.end
            );
            tracing::warn!(topic = %self.topic, "{note}");
            notes.push(note);
        }
        Ok(())
    }

    /// Makes what was read durable before it is served. It may be in the memory of the operating
    /// system only, and after a failed sync even be taken for written there: so it is written
    /// again. So may the entries of the segment and of the storage, where a process was killed after
    /// it had made them.
    fn make_durable(&self, segment: &Segment, mark: Option<Mark>, end: u64) -> Result<()> {
        let mut at = match mark {
            Some(mark) if mark.segment == segment.first => mark.durable,
            _ => SEGMENT_HEADER as u64,
        };
        let mut again = || -> io::Result<()> {
            let file = disk::open_writable(&segment.path)?;
            while at < end {
                let length = (end - at).min(1 << 20) as usize;
                let bytes = disk::read_at(&file, at, length)?;
                disk::write_at(&file, at, &bytes)?;
                at += length as u64;
            }
            file.sync_all()?;
            disk::sync_directory(self.path)?;
            self.path.parent().map_or(Ok(()), disk::sync_directory)
        };
        again().map_err(|error| self.failed("sync", &segment.path, error))
    }
}
