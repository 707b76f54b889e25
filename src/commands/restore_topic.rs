//! Brings back the topic of a name that was deleted last.

use crate::{
    context::{Context, info, not_found},
    models::{Error, Result, TopicInfo, TopicStatus},
    write_model::{ConfigurationEvent, TopicNamed},
};

pub(crate) async fn restore_topic(context: &Context, name: &str) -> Result<TopicInfo> {
    let _pass = context.enter_to("restore a topic")?;
    let ((), model) = context
        .decide(|model| {
            if let Some(topic) = model.topic(name) {
                return Err(Error::TopicAlreadyExists {
                    topic: topic.placement.topic.clone(),
                });
            }
            let topic = model.deleted(name).last().ok_or_else(|| not_found(name))?;
            Ok((
                ConfigurationEvent::TopicRestored(TopicNamed::of(&topic.placement)),
                (),
            ))
        })
        .await?;
    let topic = model.topic(name).ok_or_else(|| not_found(name))?;
    Ok(info(topic, TopicStatus::Active))
}
