//! Deletes a topic: it is hidden, and can be restored until it is purged.

use crate::{
    context::{Context, not_found},
    models::Result,
    write_model::{ConfigurationEvent, TopicNamed},
};

pub(crate) async fn delete_topic(context: &Context, name: &str) -> Result<()> {
    let _pass = context.enter_to("delete a topic")?;
    let decided = context.decide(|model| {
        let topic = model.topic(name).ok_or_else(|| not_found(name))?;
        Ok((
            ConfigurationEvent::TopicDeleted(TopicNamed::of(&topic.placement)),
            (),
        ))
    });
    decided.await.map(drop)
}
