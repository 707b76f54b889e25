//! Merges segments that follow one another into one.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use bytes::Bytes;

use super::{
    core::Core,
    desk::{Desk, Fetched, Segment, fetch},
    failure::Failure,
    manifest::SegmentEntry,
    objects::Upload,
    segment::{
        builder::{SegmentWriter, Table},
        footer::Footer,
        table::{BlockRef, Entries, check},
    },
};

/// So many neighbours of like size are merged into one.
const FAN: usize = 4;
/// The size of the smallest class; each further one is [`FAN`] times as large.
const SMALLEST: u64 = 128 << 10;
/// What would be larger is left as it is.
const MOST_BYTES: u64 = 1 << 30;
/// How much of each source is in memory for one table, about.
const AHEAD: u64 = 1 << 20;

/// The class of a segment by its size.
fn class(length: u64) -> u32 {
    let mut class = 0;
    let mut limit = SMALLEST;
    while length > limit {
        limit *= FAN as u64;
        class += 1;
    }
    class
}

/// Which of the segments are to be merged: the newest up to a class, as soon as there are enough of that
/// class among them.
pub(super) fn mergeable(segments: &[SegmentEntry]) -> Option<Range<usize>> {
    let greatest = segments.iter().map(|one| class(one.length)).max()?;
    for limit in 0..=greatest {
        let run = || {
            segments
                .iter()
                .rev()
                .take_while(|one| class(one.length) <= limit)
        };
        let of_class = run().filter(|one| class(one.length) == limit).count();
        let bytes: u64 = run().map(|one| one.length).sum();
        if of_class >= FAN && bytes <= MOST_BYTES {
            return Some(segments.len() - run().count()..segments.len());
        }
    }
    None
}

/// Writes the segment that holds what these hold. None where there is nothing to merge.
pub(super) async fn merge(
    core: &Arc<Core>,
    sources: &[Arc<Segment>],
    base_manifest: u64,
) -> Result<Option<SegmentEntry>, Failure> {
    let (Some(first), Some(last)) = (sources.first(), sources.last()) else {
        return Ok(None);
    };
    let (before, last) = (first.entry.before, last.entry.last);
    let mut footers = Vec::with_capacity(sources.len());
    for source in sources {
        footers.push(footer(core, source).await?);
    }
    let key = core.keys.new_segment(base_manifest, before, last);
    let mut upload = core.shared.objects.upload(&key).await?;
    let hashes = footers.iter().map(|footer| footer.filter.hashes()).sum();
    let mut merging = SegmentWriter::new(before, last, hashes);
    for table in Table::ALL {
        let mut streams: Vec<_> = sources
            .iter()
            .zip(&footers)
            .map(|(source, footer)| TableReader::new(source, table.of(footer).blocks.clone()))
            .collect();
        loop {
            let mut least: Option<usize> = None;
            for at in 0..streams.len() {
                fill(core, &mut streams, at).await?;
                let key = |at: usize| streams.get(at).and_then(|one| one.key());
                if key(at).is_some() && least.is_none_or(|other| key(at) < key(other)) {
                    least = Some(at);
                }
            }
            let Some(stream) = least.and_then(|at| streams.get_mut(at)) else {
                break;
            };
            let damaged = |reason| Failure::corrupt(&stream.segment.key, reason);
            if let Some((key, value)) = stream.entries.pop_front() {
                merging.push(table, &key, &value).map_err(damaged)?;
            }
            send(&mut upload, &mut merging).await?;
        }
        merging.end(table);
    }
    let written = merging.finish();
    send_all(&mut upload, &mut merging).await?;
    upload.finish().await?;
    let name = key.filename().unwrap_or_default().to_owned();
    Ok(Some(SegmentEntry::of(name, &written)))
}

/// Sends what was written, when it is enough.
async fn send(upload: &mut Upload, merging: &mut SegmentWriter) -> Result<(), Failure> {
    if merging.out.bytes.len() < AHEAD as usize {
        return Ok(());
    }
    send_all(upload, merging).await
}

async fn send_all(upload: &mut Upload, merging: &mut SegmentWriter) -> Result<(), Failure> {
    let bytes = merging.out.take();
    if bytes.is_empty() {
        return Ok(());
    }
    upload.write(bytes).await
}

async fn footer(core: &Arc<Core>, segment: &Arc<Segment>) -> Result<Arc<Footer>, Failure> {
    let (objects, caches) = (&core.shared.objects, &core.shared.caches);
    let mut fetched = Fetched::default();
    loop {
        let desk = Desk::new(caches, &fetched);
        if let Ok(footer) = desk.footer(segment) {
            return Ok(footer);
        }
        let wanted = desk.take_wanted();
        fetched = fetch(objects, caches, wanted, true).await?;
    }
}

/// The entries of a table of one source.
struct TableReader {
    segment: Arc<Segment>,
    blocks: VecDeque<BlockRef>,
    entries: VecDeque<(Bytes, Bytes)>,
}

impl TableReader {
    fn new(segment: &Arc<Segment>, blocks: Vec<BlockRef>) -> Self {
        Self {
            segment: Arc::clone(segment),
            blocks: blocks.into(),
            entries: VecDeque::new(),
        }
    }

    fn key(&self) -> Option<&Bytes> {
        self.entries.front().map(|(key, _)| key)
    }
}

/// Reads on where a source has no entry in memory.
async fn fill(core: &Arc<Core>, streams: &mut [TableReader], at: usize) -> Result<(), Failure> {
    let Some(stream) = streams.get_mut(at) else {
        return Ok(());
    };
    if !stream.entries.is_empty() {
        return Ok(());
    }
    let Some(first) = stream.blocks.front() else {
        return Ok(());
    };
    let start = first.offset;
    let mut end = start;
    let mut count = 0;
    for block in &stream.blocks {
        // Blocks of a table lie one behind the other.
        if block.offset != end || end - start >= AHEAD {
            break;
        }
        end += u64::from(block.length);
        count += 1;
    }
    let key = &stream.segment.key;
    let got = core.shared.objects.get_range(key, start..end).await?;
    let bytes = got.ok_or_else(|| Failure::Missing {
        key: key.to_string(),
    })?;
    for block in stream.blocks.drain(..count) {
        let damaged = |reason| Failure::corrupt(key, format!("at byte {}: {reason}", block.offset));
        let at = (block.offset - start) as usize;
        let content = check(&bytes.slice(at..at + block.length as usize)).map_err(damaged)?;
        for entry in Entries::new(&content) {
            let entry = entry.map_err(damaged)?;
            let pair = (content.slice_ref(entry.key), content.slice_ref(entry.value));
            stream.entries.push_back(pair);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::Position;
    use uuid::Uuid;

    fn entries(lengths: &[u64]) -> Vec<SegmentEntry> {
        let entry = |length: &u64| SegmentEntry {
            name: String::new(),
            before: Position::START,
            last: Position::START,
            length: *length,
            footer_length: 0,
            least_id: Uuid::nil(),
            greatest_id: Uuid::nil(),
        };
        lengths.iter().map(entry).collect()
    }

    #[test]
    fn neighbours_of_like_size_are_merged_and_few_are_left() {
        assert_eq!(mergeable(&entries(&[1, 1, 1])), None);
        assert_eq!(mergeable(&entries(&[9 << 30, 1, 1, 1, 1])), Some(1..5));
        assert_eq!(mergeable(&entries(&[1 << 20, 1, 1, 1])), None);
        // What has been merged is not merged again with every small one.
        let mut lengths = Vec::new();
        let mut written = 0;
        for _ in 0..4096 {
            lengths.push(100 << 10);
            while let Some(range) = mergeable(&entries(&lengths)) {
                let merged: u64 = lengths[range.clone()].iter().sum();
                written += merged;
                lengths.splice(range, [merged]);
            }
        }
        assert!(lengths.len() < 24, "{lengths:?}");
        assert!(written < 8 * 4096 * (100 << 10), "{written}");
    }
}
