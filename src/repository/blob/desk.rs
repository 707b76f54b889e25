//! What of a topic's segments is at hand while something is worked out.
//!
//! Searching and deciding are plain code that does not wait. Where it needs a block that is not at
//! hand it notes that, and fails; whoever called it gets what was noted, all at once, and calls it
//! again. So the law by which appends are admitted, and the way in which pages are made, are those
//! of the other repositories.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use hashbrown::DefaultHashBuilder;
use quick_cache::{
    Weighter,
    sync::{Cache, DefaultLifecycle},
};

use super::{
    failure::Failure,
    manifest::SegmentEntry,
    objects::{AT_ONCE, Objects},
    segment::{
        footer::Footer,
        table::{BlockRef, check},
    },
};
use crate::models::{Error, Result};

/// How many bytes of blocks and footers are kept for all topics of a repository.
const CACHED_BYTES: u64 = 32 << 20;
/// Blocks that are no further apart than this are got together.
const GAP: u64 = 32 << 10;
/// No request is for more than this, but for a larger block.
const MOST_BYTES: u64 = 8 << 20;
/// Where the filter of a segment is no larger than this, it comes with the footer.
const SMALL_FILTER: u64 = 256 << 10;

/// A segment, as this process knows it.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) entry: SegmentEntry,
    pub(super) key: object_store::path::Path,
    /// Distinguishes it in caches.
    pub(super) number: u64,
}

/// Where a block is: the number of its segment, and where it begins in it.
type Place = (u64, u64);

#[derive(Clone, Debug)]
struct ByWeight;

impl Weighter<Place, Bytes> for ByWeight {
    fn weight(&self, _: &Place, block: &Bytes) -> u64 {
        block.len() as u64 + 64
    }
}

impl Weighter<u64, Arc<Footer>> for ByWeight {
    fn weight(&self, _: &u64, footer: &Arc<Footer>) -> u64 {
        footer.weight() as u64
    }
}

/// Blocks and footers that were read lately, of all topics of a repository.
#[derive(Debug)]
pub(super) struct Caches {
    blocks: Cache<Place, Bytes, ByWeight, DefaultHashBuilder>,
    footers: Cache<u64, Arc<Footer>, ByWeight, DefaultHashBuilder>,
}

impl Default for Caches {
    fn default() -> Self {
        Self {
            blocks: Cache::with(
                (CACHED_BYTES / 2 / 16_384) as usize,
                CACHED_BYTES / 2,
                ByWeight,
                DefaultHashBuilder::default(),
                DefaultLifecycle::default(),
            ),
            footers: Cache::with(
                1024,
                CACHED_BYTES / 2,
                ByWeight,
                DefaultHashBuilder::default(),
                DefaultLifecycle::default(),
            ),
        }
    }
}

/// Blocks of a segment, by where they begin and how long they are.
type WantedBlocks = (Arc<Segment>, BTreeSet<(u64, u32)>);

/// What was not at hand.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    footers: BTreeMap<u64, Arc<Segment>>,
    blocks: BTreeMap<u64, WantedBlocks>,
}

impl Wanted {
    pub(super) fn is_empty(&self) -> bool {
        self.footers.is_empty() && self.blocks.is_empty()
    }
}

/// What was fetched.
#[derive(Clone, Debug, Default)]
pub(super) struct Fetched {
    footers: HashMap<u64, Arc<Footer>>,
    blocks: HashMap<Place, Bytes>,
}

/// What is at hand for one piece of work: what it had fetched, and what is in the caches.
#[derive(Debug)]
pub(super) struct Desk<'a> {
    caches: &'a Caches,
    fetched: &'a Fetched,
    wanted: RefCell<Wanted>,
    touched: RefCell<HashSet<Place>>,
}

impl<'a> Desk<'a> {
    pub(super) fn new(caches: &'a Caches, fetched: &'a Fetched) -> Self {
        Self {
            caches,
            fetched,
            wanted: RefCell::default(),
            touched: RefCell::default(),
        }
    }

    /// The footer of a segment.
    pub(super) fn footer(&self, segment: &Arc<Segment>) -> Result<Arc<Footer>> {
        let number = segment.number;
        if let Some(footer) = self.fetched.footers.get(&number) {
            return Ok(Arc::clone(footer));
        }
        if let Some(footer) = self.caches.footers.get(&number) {
            return Ok(footer);
        }
        let mut wanted = self.wanted.borrow_mut();
        wanted.footers.insert(number, Arc::clone(segment));
        Err(absent())
    }

    /// The content of a block.
    pub(super) fn block(&self, segment: &Arc<Segment>, block: &BlockRef) -> Result<Bytes> {
        match self.look(segment, block) {
            Some(content) => Ok(content),
            None => {
                self.want(segment, block);
                Err(absent())
            }
        }
    }

    /// The content of a block, if it is at hand.
    pub(super) fn look(&self, segment: &Arc<Segment>, block: &BlockRef) -> Option<Bytes> {
        let place = (segment.number, block.offset);
        if let Some(content) = self.fetched.blocks.get(&place) {
            self.touched.borrow_mut().insert(place);
            return Some(content.clone());
        }
        self.caches.blocks.get(&place)
    }

    /// Notes that a block will be needed.
    pub(super) fn want(&self, segment: &Arc<Segment>, block: &BlockRef) {
        let mut wanted = self.wanted.borrow_mut();
        let of_segment = wanted.blocks.entry(segment.number);
        let (_, blocks) = of_segment.or_insert_with(|| (Arc::clone(segment), BTreeSet::new()));
        blocks.insert((block.offset, block.length));
    }

    /// What was not at hand for the last piece of work.
    pub(super) fn take_wanted(&self) -> Wanted {
        self.wanted.take()
    }

    /// What was not at hand: where that is anything, the outcome means nothing.
    pub(super) fn into_wanted(self) -> (Wanted, HashSet<Place>) {
        (self.wanted.into_inner(), self.touched.into_inner())
    }
}

/// The error of work that cannot go on yet. Nobody sees it: what is wanted is looked at first.
pub(super) fn absent() -> Error {
    Error::Closed
}

impl Fetched {
    /// Keeps only what a test says of a place.
    pub(super) fn retain_blocks(&mut self, keep: impl Fn(&Place) -> bool) {
        self.blocks.retain(|place, _| keep(place));
    }

    pub(super) fn extend(&mut self, more: Self) {
        self.footers.extend(more.footers);
        self.blocks.extend(more.blocks);
    }
}

/// One request: a part of a segment, and the blocks that are in it.
#[derive(Debug)]
struct Request {
    segment: Arc<Segment>,
    start: u64,
    end: u64,
    blocks: Vec<(u64, u32)>,
}

/// Fetches all that is wanted. `keep` puts it into the caches too, for others.
pub(super) async fn fetch(
    objects: &Objects,
    caches: &Caches,
    wanted: Wanted,
    keep: bool,
) -> Result<Fetched, Failure> {
    let mut fetched = Fetched::default();
    let footers = wanted.footers.into_values();
    let footers = stream::iter(footers.map(|segment| fetch_footer(objects, segment)));
    let mut footers = footers.buffer_unordered(AT_ONCE);
    while let Some((number, footer, filter)) = footers.try_next().await? {
        caches.footers.insert(number, Arc::clone(&footer));
        for (place, block) in filter {
            caches.blocks.insert(place, block.clone());
            fetched.blocks.insert(place, block);
        }
        fetched.footers.insert(number, footer);
    }
    let requests = wanted.blocks.into_values().flat_map(requests);
    let blocks = stream::iter(requests.map(|request| fetch_blocks(objects, request)));
    let mut blocks = blocks.buffer_unordered(AT_ONCE);
    while let Some(some) = blocks.try_next().await? {
        let alone = some.len() == 1;
        for (place, block) in some {
            if keep {
                // A slice would keep all of what it was read with.
                let own = if alone {
                    block.clone()
                } else {
                    Bytes::copy_from_slice(&block)
                };
                caches.blocks.insert(place, own);
            }
            fetched.blocks.insert(place, block);
        }
    }
    Ok(fetched)
}

/// Joins blocks that lie close together.
fn requests((segment, blocks): WantedBlocks) -> Vec<Request> {
    let mut requests: Vec<Request> = Vec::new();
    for (offset, length) in blocks {
        let end = offset + u64::from(length);
        match requests.last_mut() {
            Some(last) if offset <= last.end + GAP && end - last.start <= MOST_BYTES => {
                last.end = end;
                last.blocks.push((offset, length));
            }
            _ => requests.push(Request {
                segment: Arc::clone(&segment),
                start: offset,
                end,
                blocks: vec![(offset, length)],
            }),
        }
    }
    requests
}

async fn get(objects: &Objects, segment: &Segment, start: u64, end: u64) -> Result<Bytes, Failure> {
    let got = match objects.get_range(&segment.key, start..end).await {
        Ok(got) => got,
        Err(failure) => {
            // A store says of a part that is beyond the end that something is wrong, and not what.
            let size = objects.size(&segment.key).await?;
            if size.is_some_and(|size| size < end) {
                let reason = "it is shorter than it was written";
                return Err(Failure::corrupt(&segment.key, reason));
            }
            return Err(failure);
        }
    };
    got.ok_or_else(|| Failure::Missing {
        key: segment.key.to_string(),
    })
}

async fn fetch_blocks(objects: &Objects, request: Request) -> Result<Vec<(Place, Bytes)>, Failure> {
    let segment = &request.segment;
    let bytes = get(objects, segment, request.start, request.end).await?;
    let mut blocks = Vec::with_capacity(request.blocks.len());
    for (offset, length) in request.blocks {
        let start = (offset - request.start) as usize;
        let block = bytes.slice(start..start + length as usize);
        let content = check(&block).map_err(|reason| {
            Failure::corrupt(&segment.key, format!("at byte {offset}: {reason}"))
        })?;
        blocks.push(((segment.number, offset), content));
    }
    Ok(blocks)
}

type FooterAndFilter = (u64, Arc<Footer>, Vec<(Place, Bytes)>);

async fn fetch_footer(
    objects: &Objects,
    segment: Arc<Segment>,
) -> Result<FooterAndFilter, Failure> {
    let start = segment.entry.footer_offset();
    // What is in front of the footer is the filter, of which the size can be guessed.
    let events = segment.entry.last.get() - segment.entry.before.get();
    let guessed = (events * 2 + 4096).min(SMALL_FILTER);
    let from = start.saturating_sub(guessed);
    let end = start + u64::from(segment.entry.footer_length);
    let bytes = get(objects, &segment, from, end).await?;
    let damaged = |reason| Failure::corrupt(&segment.key, format!("at byte {start}: {reason}"));
    let footer = bytes.slice((start - from) as usize..);
    let footer = Footer::decode(&footer).map_err(damaged)?;
    if (footer.before, footer.last) != (segment.entry.before, segment.entry.last) {
        return Err(damaged("it has other events than the manifest says"));
    }
    let mut filter = Vec::new();
    for block in footer.filter.blocks() {
        let Some(at) = block.offset.checked_sub(from) else {
            continue;
        };
        let at = at as usize;
        let Some(bytes) = bytes.get(at..at + block.length as usize) else {
            continue;
        };
        if let Ok(content) = check(&Bytes::copy_from_slice(bytes)) {
            filter.push(((segment.number, block.offset), content));
        }
    }
    Ok((segment.number, Arc::new(footer), filter))
}
