//! Creates a topic: makes its storage, then records it. What a crash leaves behind in between is
//! unused storage, which `sweep` removes.

use crate::{
    context::{Context, info},
    models::{Error, Placement, Result, StorageId, TopicConfig, TopicInfo, TopicName, TopicStatus},
    write_model::{ConfigurationEvent, Extra, TopicCreated},
};

pub(crate) async fn create_topic(context: &Context, config: TopicConfig) -> Result<TopicInfo> {
    let _pass = context.enter_to("create a topic")?;
    let topic = TopicName::new(&config.name)?;
    context.refuse_plain_secrets(&config.connection, &config.options)?;
    let exists = || Error::TopicAlreadyExists {
        topic: topic.clone(),
    };
    if context.write_model.topic(topic.as_str()).is_some()
        && context
            .write_model
            .refresh()
            .await?
            .topic(topic.as_str())
            .is_some()
    {
        return Err(exists());
    }
    let placement = Placement {
        topic: topic.clone(),
        adapter: config.adapter,
        connection: config.connection,
        options: config.options,
        storage: StorageId::generate(),
        store: context.store(),
    };
    let repository = match context.registry.get(&placement).await {
        Ok(repository) => repository,
        Err(error) => {
            context.discard_unused(&placement);
            return Err(error);
        }
    };
    repository.prepare(&placement).await?;
    let created = ConfigurationEvent::TopicCreated(TopicCreated {
        placement: placement.clone(),
        created_at: context.clock.now(),
        extra: Extra::new(),
    });
    let recorded = context
        .decide(|model| match model.topic(topic.as_str()) {
            Some(_) => Err(exists()),
            None => Ok((created.clone(), ())),
        })
        .await;
    match recorded {
        Ok((_, model)) => {
            let topic = model
                .topic(topic.as_str())
                .filter(|topic| topic.placement.storage == placement.storage);
            // Another process may have deleted it at once: it was created all the same.
            let deleted = || {
                model
                    .deleted(placement.topic.as_str())
                    .iter()
                    .find(|one| one.placement == placement)
            };
            let created = topic.map(|topic| info(topic, TopicStatus::Active));
            created
                .or_else(|| deleted().map(|topic| info(topic, TopicStatus::Deleted)))
                .ok_or_else(|| crate::context::not_found(placement.topic.as_str()))
        }
        Err(error @ Error::TopicAlreadyExists { .. }) => {
            // Nobody else knows of this storage. Where it cannot be removed, `sweep` does it.
            context.registry.forget(placement.storage);
            if let Err(left) = repository.remove(placement.storage).await {
                tracing::warn!(topic = %placement.topic, error = %left, "unused storage not removed");
            }
            Err(error)
        }
        Err(error) => Err(error),
    }
}
