//! Changes the options of a topic: hands them to its repository, then records them.

use crate::{
    context::{Context, Route, info, not_found},
    models::{Error, Placement, Result, TopicInfo, TopicStatus},
    write_model::{ConfigurationEvent, Extra, TopicUpdated},
};

/// Gives the topic the options of `placement`, which is in the same repository.
pub(super) async fn update_options(
    context: &Context,
    route: &Route,
    placement: Placement,
) -> Result<TopicInfo> {
    let name = &placement.topic;
    route.repository.prepare(&placement).await?;
    let ((), model) = context
        .decide(|model| {
            let topic = model
                .topic(name.as_str())
                .filter(|topic| topic.placement.storage == placement.storage)
                .ok_or_else(|| not_found(name.as_str()))?;
            if topic.moving.is_some() {
                return Err(Error::TopicMoving {
                    topic: name.clone(),
                });
            }
            let updated = TopicUpdated {
                topic: name.clone(),
                storage: placement.storage,
                connection: placement.connection.clone(),
                options: placement.options.clone(),
                extra: Extra::new(),
            };
            Ok((ConfigurationEvent::TopicUpdated(updated), ()))
        })
        .await?;
    let topic = model
        .topic(name.as_str())
        .ok_or_else(|| not_found(name.as_str()))?;
    Ok(info(topic, TopicStatus::Active))
}
