//! Brings back the topic of a name that was deleted last.
//!
//! Its storage was sealed when it was deleted. Where it cannot be unsealed now, whoever appends
//! first does it.

use crate::{
    context::{Context, info, not_found},
    models::{Error, Result, TopicInfo, TopicStatus},
    write_model::{ConfigurationEvent, TopicNamed},
};

pub(crate) async fn restore_topic(context: &Context, name: &str) -> Result<TopicInfo> {
    let _pass = context.enter_to("restore a topic")?;
    let ((placement, since), model) = context
        .decide(|model| {
            if let Some(topic) = model.topic(name) {
                return Err(Error::TopicAlreadyExists {
                    topic: topic.placement.topic.clone(),
                });
            }
            let topic = model.deleted(name).last().ok_or_else(|| not_found(name))?;
            Ok((
                ConfigurationEvent::TopicRestored(TopicNamed::of(&topic.placement)),
                (topic.placement.clone(), model.next()),
            ))
        })
        .await?;
    let unsealed = match context.registry.get(&placement).await {
        Ok(repository) => repository.unseal(&placement, since).await,
        Err(error) => Err(error),
    };
    if let Err(error) = unsealed {
        tracing::warn!(topic = name, %error, "restored topic not unsealed yet");
    }
    let topic = model.topic(name).ok_or_else(|| not_found(name))?;
    Ok(info(topic, TopicStatus::Active))
}
