//! Walks through a segment from one record to the next, checking everything on the way.
//!
//! Recovery, verification, index building, readers in other processes and full scans all walk.

use std::{fs::File, io};

use bytes::Bytes;

use super::{
    disk,
    frame::{
        FRAME_HEADER, FrameHeader, FrameKind, MAX_RECORD, RECORD_HEADER, begins_frame, record_crc,
        u32_at,
    },
    segment::Segment,
};
use crate::{
    models::Position,
    repository::record::{Malformed, RecordView},
};

/// What a walk meets.
#[derive(Debug)]
pub(super) enum Item<'w> {
    /// A frame begins here.
    Frame(FrameHeader),
    /// A record of the frame, or of one whose beginning was not walked over.
    Record {
        /// The position of the event.
        position: Position,
        /// Where in the segment the record begins.
        offset: u64,
        /// The record without what stands before it, and the page of which it is a part.
        content: &'w [u8],
        page: &'w Bytes,
    },
}

/// Why a walk cannot go on.
#[derive(Debug)]
pub(super) enum Stop {
    /// The bytes at this offset are not what was written, or not all of it.
    Bad { offset: u64, reason: Malformed },
    /// The file could not be read.
    Io(io::Error),
}

/// A walk through one segment.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    segment: &'a Segment,
    file: &'a File,
    /// How much is read at once.
    stride: usize,
    /// What was read, and where it begins in the file.
    page: Bytes,
    page_at: u64,
    /// Where the walk is.
    at: u64,
    /// The position of the next event.
    next: Position,
    frame: Frame,
}

/// Where a walk is within a frame.
#[derive(Clone, Copy, Debug)]
enum Frame {
    /// It began in the middle of a frame.
    Unknown,
    /// This many records are left until the frame ends at this offset.
    Inside { left: u16, end: u64, start: u64 },
}

impl<'a> Walk<'a> {
    /// Begins at `at`, where the event at `next` is, or the frame that it is in.
    pub(super) fn new(
        segment: &'a Segment,
        file: &'a File,
        at: u64,
        next: Position,
        stride: usize,
    ) -> Self {
        let page = Bytes::new();
        Self {
            segment,
            file,
            stride,
            page,
            page_at: at,
            at,
            next,
            frame: Frame::Unknown,
        }
    }

    /// Begins at `at`, where a frame ends and another may begin.
    pub(super) fn at_frame(
        segment: &'a Segment,
        file: &'a File,
        at: u64,
        next: Position,
        stride: usize,
    ) -> Self {
        let mut walk = Self::new(segment, file, at, next, stride);
        walk.frame = Frame::Inside {
            left: 0,
            end: at,
            start: at,
        };
        walk
    }

    /// Where the walk is.
    pub(super) const fn offset(&self) -> u64 {
        self.at
    }

    /// Where the frame begins that is not walked through yet, or where the next one would.
    pub(super) const fn frame_start(&self) -> u64 {
        match self.frame {
            Frame::Inside { left, start, .. } if left > 0 => start,
            _ => self.at,
        }
    }

    /// Whether the walk is between two frames.
    pub(super) const fn between_frames(&self) -> bool {
        matches!(self.frame, Frame::Inside { left: 0, .. })
    }

    /// The position of the next event.
    pub(super) const fn next_position(&self) -> Position {
        self.next
    }

    /// The next item; none at the end of the file, if it ends where a frame does.
    pub(super) fn step(&mut self) -> Result<Option<Item<'_>>, Stop> {
        self.fill(RECORD_HEADER)?;
        let head = self.ahead(RECORD_HEADER);
        if head.is_empty() && !matches!(self.frame, Frame::Inside { left: 1.., .. }) {
            return Ok(None);
        }
        match self.frame {
            Frame::Inside { left: 0, .. } => self.frame_header().map(Some),
            Frame::Unknown if begins_frame(head) => self.frame_header().map(Some),
            _ => self.record().map(Some),
        }
    }

    fn frame_header(&mut self) -> Result<Item<'_>, Stop> {
        self.fill(FRAME_HEADER)?;
        let header = FrameHeader::decode(self.ahead(FRAME_HEADER), self.segment.epoch)
            .map_err(|reason| self.bad(reason))?;
        if header.first != self.next {
            return Err(self.bad("the frame has another position than the one before it leads to"));
        }
        let start = self.at;
        self.at += FRAME_HEADER as u64;
        let end = self.at + u64::from(header.body);
        self.frame = Frame::Inside {
            left: header.count,
            end,
            start,
        };
        Ok(Item::Frame(header))
    }

    fn record(&mut self) -> Result<Item<'_>, Stop> {
        let head = self.ahead(RECORD_HEADER);
        if head.len() < RECORD_HEADER {
            return Err(self.bad("the record is cut off"));
        }
        let (length, crc) = (u32_at(head, 0) as usize, u32_at(head, 4));
        if length > MAX_RECORD {
            return Err(self.bad("the record is longer than any record can be"));
        }
        self.fill(RECORD_HEADER + length)?;
        let whole = self.ahead(RECORD_HEADER + length);
        if whole.len() < RECORD_HEADER + length {
            return Err(self.bad("the record is cut off"));
        }
        let content = whole.get(RECORD_HEADER..).unwrap_or_default();
        if record_crc(content, self.segment.epoch, self.next) != crc {
            return Err(self.bad("the checksum of the record is wrong"));
        }
        let (offset, position) = (self.at, self.next);
        let end_of_record = self.at + (RECORD_HEADER + length) as u64;
        if let Frame::Inside { left, end, start } = self.frame {
            let left = left.saturating_sub(1);
            if end_of_record > end || (left == 0 && end_of_record != end) {
                return Err(self.bad("the records do not fill their frame"));
            }
            self.frame = Frame::Inside { left, end, start };
        }
        self.at = end_of_record;
        self.next = self.next.next();
        let from = (offset - self.page_at) as usize + RECORD_HEADER;
        Ok(Item::Record {
            position,
            offset,
            content: self.page.get(from..from + length).unwrap_or_default(),
            page: &self.page,
        })
    }

    fn bad(&self, reason: Malformed) -> Stop {
        Stop::Bad {
            offset: self.at,
            reason,
        }
    }

    /// Sees to it that the next `count` bytes are in the page, if the file has them.
    fn fill(&mut self, count: usize) -> Result<(), Stop> {
        let from = (self.at - self.page_at) as usize;
        if self.page.len() < from + count {
            let bytes =
                disk::read_at(self.file, self.at, count.max(self.stride)).map_err(Stop::Io)?;
            self.page = Bytes::from(bytes);
            self.page_at = self.at;
        }
        Ok(())
    }

    /// The next `count` bytes, which were filled in before, or fewer at the end of the file.
    fn ahead(&self, count: usize) -> &[u8] {
        let from = (self.at - self.page_at) as usize;
        let rest = self.page.get(from..).unwrap_or_default();
        rest.get(..count).unwrap_or(rest)
    }
}

/// Reads the record that a walk has met.
pub(super) fn view<'r>(
    content: &'r [u8],
    segment: &Segment,
    offset: u64,
) -> Result<RecordView<'r>, Stop> {
    RecordView::decode(content, segment.base).map_err(|reason| Stop::Bad { offset, reason })
}

/// Looks in what follows `from` for frames that are whole, and tells up to where the last of them
/// proves the segment to have been durable.
pub(super) fn proven_durable(segment: &Segment, file: &File, from: u64) -> io::Result<Option<u64>> {
    const WINDOW: usize = 1 << 20;
    let mut proven = None;
    let mut at = from;
    loop {
        let bytes = disk::read_at(file, at, WINDOW + FRAME_HEADER)?;
        for (start, window) in bytes.windows(FRAME_HEADER).enumerate().take(WINDOW) {
            if begins_frame(window)
                && start as u64 + at > from
                && let Ok(header) = FrameHeader::decode(window, segment.epoch)
            {
                proven = proven.max(Some(u64::from(header.synced)));
            }
        }
        if bytes.len() < WINDOW + FRAME_HEADER {
            return Ok(proven);
        }
        at += WINDOW as u64;
    }
}

/// Whether a frame kind changes that the topic is sealed, and to what.
pub(super) const fn sealing(kind: FrameKind) -> Option<bool> {
    match kind {
        FrameKind::Events => None,
        FrameKind::Seal => Some(true),
        FrameKind::Unseal => Some(false),
    }
}
