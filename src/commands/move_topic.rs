//! Moves a topic to another repository, or stops that; and removes what topics have left.

use std::sync::Arc;

use crate::{
    context::{Context, info, not_found},
    models::{
        Error, MoveOptions, Placement, Result, StorageId, TopicConfig, TopicInfo, TopicName,
        TopicStatus,
    },
    move_topic,
};

use super::update_topic::update_options;

/// Moves the topic to the repository that `config` names; where it is there already, its options are
/// changed.
pub(crate) async fn move_topic(
    context: &Arc<Context>,
    config: TopicConfig,
    options: MoveOptions,
) -> Result<TopicInfo> {
    let pass = context.enter_to("move a topic")?;
    let name = TopicName::new(&config.name)?;
    context.refuse_plain_secrets(&config.connection, &config.options)?;
    // A move that was left by its mover is ended first.
    if move_topic::take_over(context, name.as_str()).await? {
        tracing::debug!(topic = %name, "a move that was left is ended");
    }
    // The topic may have moved elsewhere, or its storage may be lost, which would be made anew.
    let route = context.route_to_read(name.as_str()).await?;
    if route.topic.moving.is_some() {
        return Err(Error::TopicMoving { topic: name });
    }
    let before = &route.topic.placement;
    let placement = Placement {
        adapter: config.adapter,
        connection: config.connection,
        options: config.options,
        ..before.clone()
    };
    if context.registry.key(&placement)? == context.registry.key(before)? {
        return update_options(context, &route, placement).await;
    }
    let target = Placement {
        storage: StorageId::generate(),
        ..placement
    };
    // The move has a pass of its own.
    drop(pass);
    let moved = move_topic::move_topic(context, before.clone(), target, options).await?;
    Ok(info(&moved, TopicStatus::Active))
}

pub(crate) async fn cancel_move(context: &Arc<Context>, name: &str) -> Result<()> {
    let _pass = context.enter_to("cancel a move")?;
    move_topic::cancel_move(context, &TopicName::new(name)?).await
}

/// Removes every storage that a topic has left.
pub(crate) async fn remove_former(context: &Arc<Context>, name: &str) -> Result<Vec<Placement>> {
    let _pass = context.enter_to("remove storage")?;
    let model = context.write_model.refresh().await?;
    let topic = model.topic(name).ok_or_else(|| not_found(name))?;
    let masked = info(topic, TopicStatus::Active).former;
    for former in &topic.former {
        move_topic::remove_former(context, &topic.placement.topic, former).await?;
    }
    Ok(masked)
}
