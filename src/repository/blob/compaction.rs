//! Merges the log into a segment, and segments into larger ones.
//!
//! Any process may do it at any time. What counts is the manifest: of two that are made at once, one
//! gets the next number, and what the other has made is thrown away.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use object_store::path::Path;
use tokio::time::Instant;

use super::{
    collection::collect,
    commit::{Outcome, put_or_lose},
    core::Core,
    failure::Failure,
    keys::random,
    manifest::{Manifest, Retired, SegmentEntry},
    merge::{merge, mergeable},
    segment::builder::build,
    shared::Moment,
    view::{Snapshot, View},
};

/// Where the log is so many times as long as it is to be, appends wait until it is merged.
const LATE: u64 = 4;
const AFTER_FAILURE: Duration = Duration::from_millis(500);

/// Starts to merge the log into a segment, where it is long enough and nobody does. The committer calls
/// it between two slots.
pub(super) fn compact_if_due(core: &Arc<Core>) {
    let settings = &core.shared.settings;
    let due = core.with(|view| {
        view.log_slots() >= settings.compact_slots || view.log_bytes() >= settings.compact_bytes
    });
    if due.is_ok_and(|due| due) && core.begin_compacting() {
        // Nothing is staged here, and may be as soon as this returns.
        drop(core.with(View::freeze));
        let compacting = Arc::clone(core);
        // Whoever stops it finds it from its first moment on.
        let mut running = core.compaction.lock();
        *running = Some(tokio::spawn(async move {
            let ending = End(&compacting);
            if let Err(failure) = compact(&compacting).await {
                let topic = &compacting.topic;
                tracing::warn!(%topic, %failure, "the log could not be merged");
                // Not again with every append.
                tokio::time::sleep(AFTER_FAILURE).await;
            }
            drop(ending);
        }));
    }
}

/// Says that merging has ended, however that was.
struct End<'a>(&'a Core);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.end_compacting();
    }
}

/// Waits where the log has grown much longer than it is to be.
pub(super) async fn wait_if_late(core: &Arc<Core>) -> Result<(), Failure> {
    let settings = &core.shared.settings;
    let is_late = || {
        core.with(|view| {
            view.log_slots() >= settings.compact_slots * LATE
                || view.log_bytes() >= settings.compact_bytes * LATE
        })
    };
    let deadline = Instant::now() + settings.outcome_timeout;
    while is_late()? {
        let ended = core.compacted.notified();
        compact_if_due(core);
        let waited = tokio::time::timeout_at(deadline, ended).await;
        if waited.is_err() && is_late()? {
            return Err(Failure::unsent(
                "the log has grown too long, because it cannot be merged into segments",
            ));
        }
    }
    Ok(())
}

/// Merges the log into a segment.
async fn compact(core: &Arc<Core>) -> Result<(), Failure> {
    let began = Moment::now();
    let (snapshot, manifest, end) = core.with(|view| {
        let end = LogEnd {
            slot: view.next,
            previous: view.previous,
            sealed: (view.sealed, view.sealed_since),
            last_time: view.last_time,
        };
        (view.snapshot(), Arc::clone(&view.manifest), end)
    })?;
    let mut entry = None;
    if snapshot.head > manifest.before {
        entry = Some(write_segment(core, &snapshot, &manifest).await?);
    }
    let made = entry.as_ref().map(|entry| core.keys.segment(&entry.name));
    let follow = |newest: &Manifest| {
        // Segments may have been merged meanwhile, but the log has to begin where it did.
        (newest.log_start == manifest.log_start).then(|| {
            let mut next = successor(newest);
            next.log_start = end.slot;
            next.previous = end.previous;
            (next.sealed, next.sealed_since) = end.sealed;
            next.last_time = end.last_time;
            if let Some(entry) = &entry {
                next.before = entry.last;
                next.segments.push(entry.clone());
            }
            (next, Vec::new())
        })
    };
    if commit(core, follow, made, began).await? {
        merge_if_due(core);
        collect(core).await?;
    }
    Ok(())
}

/// Starts to merge small segments into larger ones, where there are enough and nobody does. The log
/// is merged meanwhile as it grows.
fn merge_if_due(core: &Arc<Core>) {
    let due = core.with(|view| mergeable(&view.manifest.segments).is_some());
    if !due.is_ok_and(|due| due) || core.merging.swap(true, Ordering::AcqRel) {
        return;
    }
    let merging = Arc::clone(core);
    let mut running = core.merge.lock();
    *running = Some(tokio::spawn(async move {
        if let Err(failure) = merge_all(&merging).await {
            let topic = &merging.topic;
            tracing::warn!(%topic, %failure, "segments could not be merged");
        }
        merging.merging.store(false, Ordering::Release);
    }));
}

async fn merge_all(core: &Arc<Core>) -> Result<(), Failure> {
    loop {
        let began = Moment::now();
        let (manifest, segments) =
            core.with(|view| (Arc::clone(&view.manifest), Arc::clone(&view.segments)))?;
        let Some(range) = mergeable(&manifest.segments) else {
            return Ok(());
        };
        let sources = segments.get(range).unwrap_or_default();
        let Some(entry) = merge(core, sources, manifest.number).await? else {
            return Ok(());
        };
        let names: Vec<&str> = sources.iter().map(|one| one.entry.name.as_str()).collect();
        let made = core.keys.segment(&entry.name);
        let follow = |newest: &Manifest| {
            let first = newest
                .segments
                .iter()
                .position(|one| names.first() == Some(&&*one.name))?;
            let range = first..first + names.len();
            let there = newest.segments.get(range.clone())?;
            let same = there
                .iter()
                .zip(&names)
                .all(|(one, name)| one.name == **name);
            same.then(|| {
                let mut next = successor(newest);
                let retired = next.segments.splice(range, [entry.clone()]);
                let retired = retired.map(|one| one.name).collect();
                (next, retired)
            })
        };
        if !commit(core, follow, Some(made), began).await? {
            return Ok(());
        }
    }
}

/// Where the part of the log ends that is merged.
struct LogEnd {
    slot: u64,
    previous: uuid::Uuid,
    /// Whether it is sealed there, and since when.
    sealed: (bool, crate::models::Position),
    last_time: crate::models::Timestamp,
}

/// The manifest that follows, so far with the same in it.
pub(super) fn successor(manifest: &Manifest) -> Manifest {
    Manifest {
        number: manifest.number + 1,
        write_id: random(),
        ..manifest.clone()
    }
}

/// Writes the log behind the segments as one more.
async fn write_segment(
    core: &Arc<Core>,
    snapshot: &Snapshot,
    manifest: &Manifest,
) -> Result<SegmentEntry, Failure> {
    let (before, base) = (manifest.before, manifest.base);
    let last = snapshot.head;
    let tails = snapshot.tails.clone();
    let built = tokio::task::spawn_blocking(move || {
        let mut records: Vec<Bytes> = Vec::new();
        let mut position = before;
        for tail in &tails {
            let some = tail.records(position.max(tail.before()), last);
            position = position.forward(some.len() as u64);
            records.extend(some);
        }
        if position != last {
            return Err("the log in memory is not whole");
        }
        build(before, &records, base)
    });
    let built = built.await.map_err(|_| Failure::Closed)?;
    let (object, written) = built.map_err(|reason| Failure::corrupt(&core.keys.log(), reason))?;
    let key = core.keys.new_segment(manifest.number, before, last);
    core.shared.objects.put(&key, object).await?;
    let name = key.filename().unwrap_or_default().to_owned();
    Ok(SegmentEntry::of(name, &written))
}

/// Makes the manifest the newest that is to follow it, as `follow` says, with the segments that it
/// does not name any more. Where `follow` says that none may follow, because somebody else has done
/// the same, what was `made` for it is thrown away.
async fn commit(
    core: &Arc<Core>,
    follow: impl Fn(&Manifest) -> Option<(Manifest, Vec<String>)>,
    made: Option<Path>,
    began: Moment,
) -> Result<bool, Failure> {
    let shared = &core.shared;
    loop {
        let newest = core.with(|view| Arc::clone(&view.manifest))?;
        if made.as_ref().is_some_and(|made| names(&newest, made)) {
            // It became the newest, and others have followed it.
            return Ok(true);
        }
        let Some((mut next, retired)) = follow(&newest) else {
            if let Some(made) = made {
                shared.objects.delete(vec![made]).await?;
            }
            return Ok(false);
        };
        next.retired.push(Retired {
            by: next.number,
            log_start: next.log_start,
            segments: retired,
        });
        // What takes too long may name what others have thrown away by now.
        if began.elapsed() > newest.grace() / 4 {
            let reason = "merging took longer than a quarter of the grace period";
            return Err(Failure::unsent(reason));
        }
        let encoded = next
            .encode()
            .map_err(|_| Failure::unsent("a manifest cannot be written as JSON"))?;
        let key = core.keys.manifest(next.number);
        let (number, own) = (next.number, next.write_id);
        let is_own = |object: &Bytes| {
            Manifest::decode(object, number).is_ok_and(|manifest| manifest.write_id == own)
        };
        let patience = shared.settings.outcome_timeout;
        let payload = encoded.into();
        match put_or_lose(&shared.objects, &key, &payload, is_own, patience).await {
            Outcome::Won => {
                // Where numbers were thinned out, an old one can be made again, which counts for
                // nothing.
                let newest = core.newest_manifest().await?;
                let won = newest.number == number && newest.write_id == own;
                core.with(|view| view.adopt(newest, &core.keys))?;
                if won {
                    return Ok(true);
                }
            }
            Outcome::Lost => core.adopt_newest().await?,
            // It may be there: then what was made is needed.
            Outcome::Unknown(failure) | Outcome::NotSent(failure) => return Err(failure),
        }
    }
}

/// Whether a manifest, or one before it, names a segment.
fn names(manifest: &Manifest, segment: &Path) -> bool {
    let name = segment.filename().unwrap_or_default();
    let retired = manifest.retired.iter().flat_map(|one| &one.segments);
    let mut named = manifest.segments.iter().map(|one| &one.name).chain(retired);
    named.any(|one| one == name)
}
