//! Removes storage that no topic uses: what a crash has left of creating or purging one.

use std::time::Duration;

use crate::{
    context::Context,
    models::Result,
    repository::{EventRepository, StorageEntry},
};

/// Storage younger than this may belong to a topic that is just being created elsewhere.
pub(crate) const GRACE: Duration = Duration::from_secs(3600);

pub(crate) async fn sweep(context: &Context, grace: Duration) -> Result<Vec<StorageEntry>> {
    let _pass = context.enter_to("sweep")?;
    open_all(context).await?;
    let mut swept = Vec::new();
    let mut failure = None;
    for repository in context.registry.open_repositories() {
        // One that fails leaves the others to be swept.
        if let Err(error) = sweep_repository(context, &*repository, grace, &mut swept).await {
            tracing::warn!(%error, "repository not swept");
            failure = failure.or(Some(error));
        }
    }
    failure.map_or(Ok(swept), Err)
}

/// What `sweep` would remove.
pub(crate) async fn unused_storage(
    context: &Context,
    grace: Duration,
) -> Result<Vec<StorageEntry>> {
    let _pass = context.enter()?;
    open_all(context).await?;
    let mut unused = Vec::new();
    for repository in context.registry.open_repositories() {
        unused.extend(unused_in(context, &*repository, grace).await?);
    }
    Ok(unused)
}

/// Opens repositories that were not used since the store was opened.
async fn open_all(context: &Context) -> Result<()> {
    let model = context.write_model.refresh().await?;
    for topic in model.topics().iter().chain(model.deleted_topics()) {
        for placement in topic.former.iter().chain([&topic.placement]) {
            if let Err(error) = context.registry.get(placement).await {
                tracing::warn!(topic = %placement.topic, %error, "repository not swept");
            }
        }
    }
    for placement in model.left() {
        if let Err(error) = context.registry.get_or_open(placement).await {
            tracing::warn!(adapter = placement.adapter, %error, "repository that topics have left not swept");
            context.discard_unused(placement);
        }
    }
    Ok(())
}

async fn sweep_repository(
    context: &Context,
    repository: &dyn EventRepository,
    grace: Duration,
    swept: &mut Vec<StorageEntry>,
) -> Result<()> {
    for entry in unused_in(context, repository, grace).await? {
        repository.remove(entry.storage).await?;
        context.registry.forget(entry.storage);
        tracing::info!(storage = %entry.storage, topic = %entry.topic, "unused storage removed");
        swept.push(entry);
    }
    Ok(())
}

/// The storage of this store that no topic uses, if it is old enough.
async fn unused_in(
    context: &Context,
    repository: &dyn EventRepository,
    grace: Duration,
) -> Result<Vec<StorageEntry>> {
    let mut found = repository.list().await?;
    // Whatever was recorded before the storage was listed is in this model.
    let model = context.write_model.refresh().await?;
    found.retain(|entry| {
        let now = context.clock.now();
        let old = entry
            .storage
            .created_at()
            .is_none_or(|made| made.until(now) >= grace);
        model.store == Some(entry.store) && old && !model.uses(entry.storage)
    });
    Ok(found)
}
