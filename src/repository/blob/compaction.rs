//! Merges the log into a segment, and segments into larger ones.
//!
//! Any process may do it at any time. What counts is the manifest: of two that are made at once, one
//! gets the next number, and what the other has made is thrown away.

use std::{sync::Arc, time::Duration};

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
const LATE: u64 = 8;
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
        let task = tokio::spawn(async move {
            let ending = End(&compacting);
            if let Err(failure) = compact(&compacting).await {
                let topic = &compacting.topic;
                tracing::warn!(%topic, %failure, "the log could not be merged");
                // Not again with every append.
                tokio::time::sleep(AFTER_FAILURE).await;
            }
            drop(ending);
        });
        *core.compaction.lock() = Some(task);
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

/// Merges the log into a segment, and small segments into larger ones.
async fn compact(core: &Arc<Core>) -> Result<(), Failure> {
    let began = Moment::now();
    let (snapshot, manifest, end) = core.with(|view| {
        let end = LogEnd {
            slot: view.next,
            previous: view.previous,
            sealed: view.sealed,
            last_time: view.last_time,
        };
        (view.snapshot(), Arc::clone(&view.manifest), end)
    })?;
    let mut next = successor(&manifest);
    next.log_start = end.slot;
    next.previous = end.previous;
    next.sealed = end.sealed;
    next.last_time = end.last_time;
    let mut made = None;
    if snapshot.head > manifest.before {
        let entry = write_segment(core, &snapshot, &manifest).await?;
        made = Some(core.keys.segment(&entry.name));
        next.before = entry.last;
        next.segments.push(entry);
    }
    if !commit(core, next, Vec::new(), made, began).await? {
        return Ok(());
    }
    loop {
        let began = Moment::now();
        let manifest = core.with(|view| Arc::clone(&view.manifest))?;
        let Some(range) = mergeable(&manifest.segments) else {
            break;
        };
        let segments = core.with(|view| Arc::clone(&view.segments))?;
        let sources = segments.get(range.clone()).unwrap_or_default();
        let Some(entry) = merge(core, sources, manifest.number).await? else {
            break;
        };
        let made = core.keys.segment(&entry.name);
        let mut next = successor(&manifest);
        let retired = next.segments.splice(range, [entry]);
        let retired = retired.map(|one| one.name).collect();
        if !commit(core, next, retired, Some(made), began).await? {
            break;
        }
    }
    collect(core).await
}

/// Where the part of the log ends that is merged.
struct LogEnd {
    slot: u64,
    previous: uuid::Uuid,
    sealed: bool,
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

/// Makes a manifest the newest, unless somebody was faster. `retired` are segments that it does not
/// name any more; what was `made` for it is thrown away where it is not to be.
pub(super) async fn commit(
    core: &Arc<Core>,
    mut next: Manifest,
    retired: Vec<String>,
    made: Option<Path>,
    began: Moment,
) -> Result<bool, Failure> {
    let shared = &core.shared;
    next.retired.push(Retired {
        by: next.number,
        log_start: next.log_start,
        segments: retired,
    });
    // What takes too long may name what others have thrown away by now.
    if began.elapsed() > shared.settings.grace / 4 {
        return Err(Failure::unsent(
            "merging took longer than a quarter of the grace period",
        ));
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
    let outcome = put_or_lose(&shared.objects, &key, &encoded.into(), is_own, patience).await;
    match outcome {
        Outcome::Won => {
            // Where numbers were thinned out, an old one can be made again: it counts for nothing.
            let newest = core.newest_manifest().await?;
            let won = newest.write_id == own;
            core.with(|view| view.adopt(newest, &core.keys))?;
            Ok(won)
        }
        Outcome::Lost => {
            core.adopt_newest().await?;
            if let Some(made) = made {
                shared.objects.delete(vec![made]).await?;
            }
            Ok(false)
        }
        // It may be there: then what was made is needed.
        Outcome::Unknown(failure) | Outcome::NotSent(failure) => Err(failure),
    }
}
