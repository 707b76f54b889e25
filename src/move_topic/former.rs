//! What a topic has left by moving, and how it is removed.

use crate::{
    context::{Context, not_found},
    models::{Placement, Result, TopicName},
    write_model::{ConfigurationEvent, Extra, FormerRemoved, Model},
};

/// Removes a storage that a topic has left: records it, then erases it. Where somebody else has recorded
/// it, it is erased all the same.
pub(crate) async fn remove_former(
    context: &Context,
    name: &TopicName,
    former: &Placement,
) -> Result<()> {
    let is_listed = |model: &Model| {
        let topic = model.topic(name.as_str());
        topic.is_some_and(|topic| topic.former.iter().any(|one| one.storage == former.storage))
    };
    let decided = context.decide(|model| {
        let topic = model.topic(name.as_str());
        let topic = topic
            .filter(|_| is_listed(model))
            .ok_or_else(|| not_found(name.as_str()))?;
        let event = FormerRemoved {
            topic: name.clone(),
            storage: topic.placement.storage,
            former: former.storage,
            extra: Extra::new(),
        };
        Ok((ConfigurationEvent::FormerRemoved(event), ()))
    });
    if let Err(error) = decided.await {
        let now = context.write_model.current();
        if now.topic(name.as_str()).is_none() || is_listed(&now) {
            return Err(error);
        }
    }
    let repository = context.registry.get(former).await?;
    context.registry.forget(former.storage);
    repository.remove(former.storage).await
}
