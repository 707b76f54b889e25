//! Deletes what nobody needs any more: slots and segments that were merged into others, what was made
//! for manifests that never came to be, and old manifests.
//!
//! Whoever still works by an older manifest learns of a newer one within the grace period. So what a
//! manifest was the first not to need is deleted when that manifest is older than the grace period, by
//! the clock of the store. What was made for a manifest that somebody else was faster with needs no
//! time: its name says by which manifest it was made, and the number after that is taken.

use std::{collections::HashSet, sync::Arc, time::Duration};

use object_store::{ObjectMeta, path::Path};

use super::{core::Core, failure::Failure, keys::number_of, manifest::Retired, objects::made_at};
use crate::models::Timestamp;

/// So many of the newest manifests are kept.
const KEPT_MANIFESTS: usize = 32;
/// Old manifests are kept this many to a grace period, to tell the time by.
const PER_GRACE: u32 = 16;

/// Deletes what it may, and comes again when more may be deleted.
pub(super) async fn collect(core: &Arc<Core>) -> Result<(), Failure> {
    let listed = core
        .shared
        .objects
        .list(&core.keys.manifests(), None)
        .await?;
    let now = listed.last().map(made_at);
    if let Some(now) = now {
        let orphans = orphans(core, now).await?;
        core.shared.objects.delete(orphans).await?;
        collect_at(core, &listed, now).await?;
    }
    come_again(core);
    Ok(())
}

async fn collect_at(
    core: &Arc<Core>,
    listed: &[ObjectMeta],
    now: Timestamp,
) -> Result<(), Failure> {
    let objects = &core.shared.objects;
    let manifest = core.with(|view| Arc::clone(&view.manifest))?;
    let grace = manifest.grace();
    let is_old = |time: Timestamp| time.until(now) >= grace;
    let made_by = |number: u64| {
        let found = listed
            .iter()
            .find(|one| number_of(&one.location) >= Some(number));
        found.map(made_at)
    };
    let expired = |retired: &&Retired| made_by(retired.by).is_some_and(is_old);
    let expired: Vec<&Retired> = manifest.retired.iter().filter(expired).collect();
    let mut garbage: Vec<Path> = Vec::new();
    for retired in &expired {
        let names = retired.segments.iter();
        garbage.extend(names.map(|name| core.keys.segment(name)));
    }
    if let Some(start) = expired.iter().map(|one| one.log_start).max() {
        garbage.extend(merged_slots(core, start).await?);
    }
    garbage.extend(old_manifests(listed, grace));
    if !garbage.is_empty() {
        objects.delete(garbage).await?;
    }
    if let Some(by) = expired.iter().map(|one| one.by).max() {
        core.with(|view| view.forget_retired(by))?;
    }
    Ok(())
}

/// Segments that no manifest names, nor ever will. Only to be asked by who has just made a manifest.
async fn orphans(core: &Core, now: Timestamp) -> Result<Vec<Path>, Failure> {
    let manifest = core.with(|view| Arc::clone(&view.manifest))?;
    let mut named: HashSet<&str> = HashSet::new();
    named.extend(manifest.segments.iter().map(|one| one.name.as_str()));
    let retired = manifest.retired.iter().flat_map(|one| &one.segments);
    named.extend(retired.map(String::as_str));
    let listed = core
        .shared
        .objects
        .list(&core.keys.segments(), None)
        .await?;
    let is_orphan = |one: &ObjectMeta| {
        let named = one
            .location
            .filename()
            .is_some_and(|name| named.contains(name));
        !named && made_at(one).until(now) >= manifest.grace()
    };
    let orphans = listed.into_iter().filter(is_orphan);
    Ok(orphans.map(|one| one.location).collect())
}

/// The slots before the last one that was merged. That one stays: it tells that there was a log,
/// where the manifests that say so are lost.
async fn merged_slots(core: &Core, start: u64) -> Result<Vec<Path>, Failure> {
    let objects = &core.shared.objects;
    let Some(kept) = start.checked_sub(1) else {
        return Ok(Vec::new());
    };
    let last_folder = core.keys.folder(kept);
    let mut slots = Vec::new();
    for folder in objects.folders(&core.keys.log()).await? {
        if folder > last_folder {
            break;
        }
        let listed = objects.list(&folder, None).await?;
        let merged = |one: &ObjectMeta| number_of(&one.location).is_some_and(|slot| slot < kept);
        slots.extend(listed.into_iter().filter(merged).map(|one| one.location));
    }
    Ok(slots)
}

/// Manifests that are neither among the newest, nor needed to tell the time by.
fn old_manifests(listed: &[ObjectMeta], grace: Duration) -> Vec<Path> {
    let old = listed.len().saturating_sub(KEPT_MANIFESTS);
    let apart = grace / PER_GRACE;
    let mut kept: Option<Timestamp> = None;
    let mut garbage = Vec::new();
    for one in listed.iter().take(old) {
        let made = made_at(one);
        if kept.is_some_and(|kept| kept.until(made) < apart) {
            garbage.push(one.location.clone());
        } else {
            kept = Some(made);
        }
    }
    garbage
}

/// Looks once more when what is retired now may be deleted, if the topic is still in use then.
fn come_again(core: &Arc<Core>) {
    if !core.begin_waiting_to_collect() {
        return;
    }
    let waiting = Arc::downgrade(core);
    let mut closed = core.shared.closed.subscribe();
    let Ok(grace) = core.with(|view| view.manifest.grace()) else {
        return;
    };
    tokio::spawn(async move {
        let waited = tokio::time::sleep(grace + grace / PER_GRACE);
        tokio::select! {
            () = waited => {}
            _ = closed.wait_for(|closed| *closed) => return,
        }
        let Some(core) = waiting.upgrade() else {
            return;
        };
        core.end_waiting_to_collect();
        if let Err(failure) = collect_idle(&core).await {
            tracing::debug!(topic = %core.topic, %failure, "what is old could not be deleted");
        }
    });
}

/// Collects where no manifest was made that tells the time.
async fn collect_idle(core: &Arc<Core>) -> Result<(), Failure> {
    if core.with(|view| view.manifest.retired.is_empty())? {
        return Ok(());
    }
    let objects = &core.shared.objects;
    let listed = objects.list(&core.keys.manifests(), None).await?;
    let now = objects.now().await?;
    collect_at(core, &listed, now).await
}
