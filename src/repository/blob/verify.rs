//! Reads and checks all that is stored of a topic.

use std::sync::Arc;

use uuid::Uuid;

use super::{
    core::Core,
    failure::Failure,
    segment::{
        builder::Table,
        footer::Footer,
        keys::{decode_position, decode_postings, split},
        table::{Entries, check},
    },
    view::Snapshot,
};
use crate::{
    models::{Position, Timestamp},
    repository::{Verified, record::RecordView},
};

/// How much is read at once.
const AHEAD: u64 = 4 << 20;

/// Reads everything once, and tells what it has found to be whole.
pub(super) async fn verify(core: &Arc<Core>) -> Result<Verified, Failure> {
    // Read anew, so that the log is read from the store.
    core.fresh().await?;
    let fresh = Arc::new(Core::new(
        core.topic.clone(),
        core.storage,
        Arc::clone(&core.shared),
    ));
    let snapshot = fresh.fresh().await?;
    let mut verified = Verified::default();
    for segment in snapshot.segments.iter() {
        verify_segment(&fresh, &snapshot, segment, &mut verified).await?;
    }
    let end = snapshot.segments_end();
    let mut position = end;
    for tail in &snapshot.tails {
        let records = tail.records(position.max(tail.before()), snapshot.head);
        position = position.forward(records.len() as u64);
        verified.events += records.len() as u64;
        verified.bytes += records.iter().map(|one| one.len() as u64).sum::<u64>();
    }
    if position != snapshot.head {
        return Err(Failure::corrupt(
            &core.keys.log(),
            "it has fewer events than it says",
        ));
    }
    verified.parts += fresh.with(|view| view.log_slots())?;
    Ok(verified)
}

async fn verify_segment(
    core: &Arc<Core>,
    snapshot: &Snapshot,
    segment: &super::desk::Segment,
    verified: &mut Verified,
) -> Result<(), Failure> {
    let objects = &core.shared.objects;
    let key = &segment.key;
    let missing = || Failure::Missing {
        key: key.to_string(),
    };
    let size = objects.size(key).await?.ok_or_else(missing)?;
    if size != segment.entry.length {
        return Err(Failure::corrupt(
            key,
            "it is shorter or longer than it was written",
        ));
    }
    let start = segment.entry.footer_offset();
    let end = start + u64::from(segment.entry.footer_length);
    let bytes = objects
        .get_range(key, start..end)
        .await?
        .ok_or_else(missing)?;
    let damaged = |reason| Failure::corrupt(key, format!("at byte {start}: {reason}"));
    let footer = Footer::decode(&bytes).map_err(damaged)?;
    let mut seen = Seen::new(&footer, snapshot.base);
    for table in Table::ALL {
        let blocks: Vec<_> = table.of(&footer).blocks.clone();
        verify_blocks(core, key, &blocks, |content| seen.content(table, content)).await?;
    }
    let filter: Vec<_> = footer.filter.blocks().collect();
    verify_blocks(core, key, &filter, |_| Ok(())).await?;
    seen.finish(&footer).map_err(damaged)?;
    verified.events += footer.last.get() - footer.before.get();
    verified.bytes += size;
    verified.parts += 1;
    Ok(())
}

/// Reads blocks, and gives their contents to `look`.
async fn verify_blocks(
    core: &Core,
    key: &object_store::path::Path,
    blocks: &[super::segment::table::BlockRef],
    mut look: impl FnMut(&[u8]) -> Result<(), &'static str>,
) -> Result<(), Failure> {
    let mut rest = blocks;
    while let Some(first) = rest.first() {
        let mut end = first.offset;
        let mut count = 0;
        for block in rest {
            if block.offset != end || (count > 0 && end - first.offset >= AHEAD) {
                break;
            }
            end += u64::from(block.length);
            count += 1;
        }
        let Some((some, others)) = rest.split_at_checked(count.max(1)) else {
            break;
        };
        rest = others;
        let got = core
            .shared
            .objects
            .get_range(key, first.offset..end)
            .await?;
        let bytes = got.ok_or_else(|| Failure::Missing {
            key: key.to_string(),
        })?;
        for block in some {
            let at = (block.offset - first.offset) as usize;
            let damaged =
                |reason| Failure::corrupt(key, format!("at byte {}: {reason}", block.offset));
            let block = bytes.slice(at..at + block.length as usize);
            let content = check(&block).map_err(damaged)?;
            look(&content).map_err(damaged)?;
        }
    }
    Ok(())
}

/// What was seen of a segment's tables: all of them have to tell of the same events.
struct Seen {
    base: Timestamp,
    before: Position,
    next: Position,
    last: Position,
    streams: u64,
    ids: u64,
    /// Sums by which the tables are compared: of what is in the data, and what is in the others.
    data: [u64; 2],
    others: [u64; 2],
    posted: u64,
    expected_posted: u64,
}

impl Seen {
    fn new(footer: &Footer, base: Timestamp) -> Self {
        Self {
            base,
            before: footer.before,
            next: footer.before.next(),
            last: footer.last,
            streams: 0,
            ids: 0,
            data: [0; 2],
            others: [0; 2],
            posted: 0,
            expected_posted: 0,
        }
    }

    fn content(&mut self, table: Table, content: &[u8]) -> Result<(), &'static str> {
        for entry in Entries::new(content) {
            let entry = entry?;
            let (data, streams) = (u64::from(crc32c::crc32c(entry.value)), split(entry.key));
            match table {
                Table::Data => {
                    let (_, position) = split(entry.key)?;
                    let view = RecordView::decode(entry.value, self.base)?;
                    if position != self.next {
                        return Err("positions do not follow one another");
                    }
                    self.next = position.next();
                    self.data[0] = self.data[0].wrapping_add(mix(position, data));
                    self.data[1] = self.data[1].wrapping_add(mix_id(position, view.id));
                    let mut tags: Vec<_> = view.each_tag().collect();
                    tags.sort_unstable();
                    tags.dedup();
                    self.expected_posted += 1 + tags.len() as u64;
                }
                Table::Streams => {
                    let (_, position) = streams?;
                    self.streams += 1;
                    self.others[0] = self.others[0].wrapping_add(mix(position, data));
                }
                Table::Ids => {
                    let position = decode_position(entry.value)?;
                    let id = Uuid::from_slice(entry.key).map_err(|_| "an id is cut off")?;
                    self.ids += 1;
                    self.others[1] = self.others[1].wrapping_add(mix_id(position, id));
                }
                Table::Keys => {
                    let mut positions = Vec::new();
                    decode_postings(entry.value, &mut positions)?;
                    let within = |one: &Position| *one > self.before && *one <= self.last;
                    if !positions.iter().all(within) {
                        return Err("a type or tag is at a position that is not there");
                    }
                    self.posted += positions.len() as u64;
                }
            }
        }
        Ok(())
    }

    fn finish(&self, footer: &Footer) -> Result<(), &'static str> {
        let events = footer.last.get() - footer.before.get();
        if self.next != footer.last.next() {
            return Err("it has fewer events than it says");
        }
        if self.streams != events || self.data[0] != self.others[0] {
            return Err("what is there by stream is not what is there by position");
        }
        if self.ids != events || self.data[1] != self.others[1] {
            return Err("the ids are not those of the events");
        }
        if self.posted != self.expected_posted {
            return Err("the types and tags are not those of the events");
        }
        Ok(())
    }
}

fn mix(position: Position, value: u64) -> u64 {
    let mixed = position.get().wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ value;
    mixed.wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(31)
}

fn mix_id(position: Position, id: Uuid) -> u64 {
    let (upper, lower) = id.as_u64_pair();
    mix(position, upper ^ lower.rotate_left(17))
}
