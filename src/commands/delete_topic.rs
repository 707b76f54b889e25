//! Deletes a topic: it is hidden, and can be restored until it is purged.
//!
//! Its storage is sealed too, so that a store that does not know of it yet cannot append to it.

use std::sync::Arc;

use crate::{
    context::{Context, not_found},
    models::{Error, Placement, Position, Result},
    move_topic,
    write_model::{ConfigurationEvent, TopicNamed},
};

pub(crate) async fn delete_topic(context: &Arc<Context>, name: &str) -> Result<()> {
    let _pass = context.enter_to("delete a topic")?;
    // A move that was left by its mover is ended first, also where this store has not heard of it.
    context.write_model.refresh().await?;
    if move_topic::take_over(context, name).await? {
        tracing::debug!(topic = name, "a move that was left is ended");
    }
    let decided = context.decide(|model| {
        let topic = model.topic(name).ok_or_else(|| not_found(name))?;
        if topic.moving.is_some() {
            return Err(Error::TopicMoving {
                topic: topic.placement.topic.clone(),
            });
        }
        let placement = topic.placement.clone();
        Ok((
            ConfigurationEvent::TopicDeleted(TopicNamed::of(&placement)),
            (placement, model.next()),
        ))
    });
    let ((placement, since), _) = decided.await?;
    if let Err(error) = seal(context, &placement, since).await {
        // It is deleted all the same. Where the repository is down, nobody appends to it either.
        tracing::warn!(topic = name, %error, "deleted topic not sealed");
    }
    Ok(())
}

async fn seal(context: &Context, placement: &Placement, since: Position) -> Result<()> {
    context
        .registry
        .get(placement)
        .await?
        .seal(placement, since)
        .await
        .map(drop)
}
