//! Makes storage, lists it, and removes it so that late writers can do no harm.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use super::{
    commit::{Outcome, put_or_lose},
    compaction::successor,
    core::Core,
    failure::Failure,
    keys::number_of,
    manifest::Manifest,
    objects::{AT_ONCE, made_at},
    shared::Shared,
};
use crate::{
    models::{Placement, StorageId, StoreId, TopicName},
    repository::StorageEntry,
};

/// Says whose a storage is.
#[derive(Debug, Serialize, Deserialize)]
struct Descriptor {
    format: u32,
    store: StoreId,
    topic: TopicName,
}

const FORMAT: u32 = 1;

/// Makes the storage of a placement, if it is not there.
pub(super) async fn make(core: &Core, placement: &Placement) -> Result<(), Failure> {
    let objects = &core.shared.objects;
    let listed = objects.list(&core.keys.manifests(), None).await?;
    if !listed.is_empty() {
        return core.newest_manifest().await.map(drop);
    }
    if objects
        .size(&objects.keys.removal(core.storage))
        .await?
        .is_some()
    {
        return Err(Failure::Gone);
    }
    let descriptor = Descriptor {
        format: FORMAT,
        store: placement.store,
        topic: placement.topic.clone(),
    };
    let descriptor = serde_json::to_vec(&descriptor)
        .map_err(|_| Failure::unsent("a descriptor cannot be written as JSON"))?;
    create(
        &core.shared,
        &objects.keys.descriptor(core.storage),
        descriptor.into(),
    )
    .await?;
    let there = objects.list(core.keys.all(), None).await?;
    if let Some(one) = there
        .iter()
        .find(|one| !one.location.prefix_matches(&core.keys.manifests()))
    {
        // Another process may have made the first manifest since we looked, and gone on from it.
        if objects.list(&core.keys.manifests(), None).await?.is_empty() {
            let reason = "there is a log or a segment, and no manifest";
            return Err(Failure::corrupt(&one.location, reason));
        }
        return core.newest_manifest().await.map(drop);
    }
    let first = Manifest::first(core.shared.clock.now(), core.shared.settings.grace);
    let first = first
        .encode()
        .map_err(|_| Failure::unsent("a manifest cannot be written as JSON"))?;
    create(&core.shared, &core.keys.manifest(0), first).await
}

/// Puts an object, or leaves the one that is there.
async fn create(shared: &Shared, key: &Path, object: Bytes) -> Result<(), Failure> {
    let patience = shared.settings.outcome_timeout;
    let is_own = |there: &Bytes| *there == object;
    let payload = object.clone().into();
    match put_or_lose(&shared.objects, key, &payload, is_own, patience).await {
        Outcome::Won | Outcome::Lost => Ok(()),
        Outcome::Unknown(failure) | Outcome::NotSent(failure) => Err(failure),
    }
}

/// Every storage that was made and not removed.
pub(super) async fn list(shared: &Arc<Shared>) -> Result<Vec<StorageEntry>, Failure> {
    let objects = &shared.objects;
    let listed = objects.list(&objects.keys.storages(), None).await?;
    let storages = listed.into_iter().filter_map(|one| {
        let storage: StorageId = one.location.filename()?.parse().ok()?;
        (storage != StorageId::CONFIGURATION).then_some((storage, one.location))
    });
    let entries = storages.map(|(storage, key)| async move {
        // It may have been removed since.
        let Some(object) = objects.get(&key).await? else {
            return Ok(None);
        };
        let descriptor: Descriptor = serde_json::from_slice(&object)
            .map_err(|_| Failure::corrupt(&key, "it is not a descriptor of a storage"))?;
        Ok::<_, Failure>(Some(StorageEntry {
            storage,
            store: descriptor.store,
            topic: descriptor.topic,
        }))
    });
    let entries = stream::iter(entries).buffered(AT_ONCE);
    entries
        .try_filter_map(|entry| async { Ok(entry) })
        .try_collect()
        .await
}

/// How many storages there are, that of configuration streams left out.
pub(super) async fn count(shared: &Shared) -> Result<u64, Failure> {
    let objects = &shared.objects;
    let listed = objects.list(&objects.keys.storages(), None).await?;
    let configuration = StorageId::CONFIGURATION.to_string();
    let topics = listed
        .iter()
        .filter(|one| one.location.filename() != Some(&configuration));
    Ok(topics.count() as u64)
}

/// Erases a storage of which the log has ended with a mark, so that every writer has been stopped.
///
/// What was in the log's slots is erased, and the slots stay for the grace period: a writer that
/// stood still may still put one of them, and must find that it is there.
pub(super) async fn erase(core: &Core) -> Result<(), Failure> {
    let objects = &core.shared.objects;
    end_manifests(core).await?;
    let slots = objects.list(&core.keys.log(), None).await?;
    let slots = slots
        .into_iter()
        .filter(|one| one.size > 0)
        .map(|one| one.location);
    let erased =
        stream::iter(slots).map(|slot| async move { objects.put(&slot, Bytes::new()).await });
    erased.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    let segments = objects.list(&core.keys.segments(), None).await?;
    objects
        .delete(segments.into_iter().map(|one| one.location).collect())
        .await?;
    let manifests = objects.list(&core.keys.manifests(), None).await?;
    let older = manifests
        .iter()
        .rev()
        .skip(1)
        .map(|one| one.location.clone());
    objects.delete(older.collect()).await?;
    objects.delete(vec![core.keys.mark()]).await?;
    let removal = objects.keys.removal(core.storage);
    create(&core.shared, &removal, Bytes::from_static(b"removed\n")).await?;
    objects
        .delete(vec![objects.keys.descriptor(core.storage)])
        .await?;
    sweep(&core.shared).await
}

/// Makes a manifest the newest which says that the storage is removed.
async fn end_manifests(core: &Core) -> Result<(), Failure> {
    let objects = &core.shared.objects;
    loop {
        let listed = objects.list(&core.keys.manifests(), None).await?;
        let Some(newest) = listed
            .iter()
            .filter_map(|one| number_of(&one.location))
            .max()
        else {
            return Ok(());
        };
        let key = core.keys.manifest(newest);
        let Some(object) = objects.get(&key).await? else {
            continue;
        };
        // What is damaged is removed too.
        let manifest = Manifest::decode(&object, newest);
        if manifest.as_ref().is_ok_and(|manifest| manifest.removed) {
            return Ok(());
        }
        let mut last = Manifest::first(core.shared.clock.now(), core.shared.settings.grace);
        last.number = newest;
        let mut last = successor(&last);
        last.removed = true;
        let number = last.number;
        let object = last
            .encode()
            .map_err(|_| Failure::unsent("a manifest cannot be written as JSON"))?;
        create(&core.shared, &core.keys.manifest(number), object).await?;
    }
}

/// Deletes what is left of storages that were removed longer ago than the grace period.
async fn sweep(shared: &Shared) -> Result<(), Failure> {
    let objects = &shared.objects;
    let removals = objects.list(&objects.keys.removals(), None).await?;
    let Some(now) = removals.iter().map(made_at).max() else {
        return Ok(());
    };
    for one in removals {
        let age = made_at(&one).until(now);
        let storage = one.location.filename().and_then(|name| name.parse().ok());
        let Some(storage) = storage.filter(|_| age >= shared.settings.grace) else {
            continue;
        };
        let rest = objects
            .list(objects.keys.topic(storage).all(), None)
            .await?;
        objects
            .delete(rest.into_iter().map(|one| one.location).collect())
            .await?;
        objects.delete(vec![one.location]).await?;
    }
    Ok(())
}
