//! Erases the topics of a name that were deleted, for good: records it, then removes the storage.

use std::sync::Arc;

use crate::{
    context::{Context, not_found},
    models::{Error, Placement, Result},
    write_model::{ConfigurationEvent, TopicNamed},
};

pub(crate) async fn purge_topic(context: &Context, name: &str) -> Result<()> {
    let _pass = context.enter_to("purge a topic")?;
    let model = context.write_model.refresh().await?;
    if let (Some(topic), true) = (model.topic(name), model.deleted(name).is_empty()) {
        return Err(Error::TopicNotDeleted {
            topic: topic.placement.topic.clone(),
        });
    }
    let mut purged = Vec::new();
    loop {
        let decided = context.decide(|model| {
            let topic = model.deleted(name).last().ok_or_else(|| not_found(name))?;
            let event = TopicNamed::of(&topic.placement);
            Ok((ConfigurationEvent::TopicPurged(event), Arc::clone(topic)))
        });
        match decided.await {
            Ok((topic, _)) => purged.push(topic),
            Err(Error::TopicNotFound { .. }) if !purged.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    let mut failure = None;
    for topic in &purged {
        for placement in topic.former.iter().chain([&topic.placement]) {
            failure = failure.or(erase(context, placement).await.err());
        }
    }
    failure.map_or(Ok(()), Err)
}

async fn erase(context: &Context, placement: &Placement) -> Result<()> {
    let repository = context.registry.get(placement).await;
    context.registry.forget(placement.storage);
    let erased = match repository {
        Ok(repository) => repository.remove(placement.storage).await,
        Err(error) => {
            // Nobody needs it any more, unless it has other topics; `sweep` tries it again.
            context.discard_unused(placement);
            Err(error)
        }
    };
    erased.map_err(|error| Error::RepositoryUnavailable {
        repository: placement.adapter.clone(),
        reason: format!(
            "the purge of topic {} is recorded, but its storage {} is still there; `sweep` will remove it",
            placement.topic, placement.storage
        ),
        source: Some(Box::new(error)),
    })
}
