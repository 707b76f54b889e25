//! Gives a topic another configuration: moves it where that names another repository, and else
//! changes its options, by handing them to its repository and recording them.

use std::sync::Arc;

use crate::{
    context::{Context, Route, info, not_found},
    models::{
        Error, MoveOptions, Placement, Result, StorageId, TopicConfig, TopicInfo, TopicName,
        TopicStatus,
    },
    move_topic,
    write_model::{ConfigurationEvent, Extra, TopicUpdated},
};

/// Moves the topic to the repository that `config` names; where it is there already, its options are
/// changed.
pub(crate) async fn update_topic(
    context: &Arc<Context>,
    config: TopicConfig,
    options: MoveOptions,
) -> Result<TopicInfo> {
    let pass = context.enter_to("update a topic")?;
    let name = TopicName::new(&config.name)?;
    context.refuse_plain_secrets(&config.connection, &config.options)?;
    // A move that was left by its mover is ended first, also where this store has not heard of it.
    context.write_model.refresh().await?;
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

/// Gives the topic the options of `placement`, which is in the same repository.
async fn update_options(
    context: &Context,
    route: &Route,
    placement: Placement,
) -> Result<TopicInfo> {
    let name = &placement.topic;
    route.repository.prepare(&placement).await?;
    let decided = context
        .decide(|model| {
            let topic = model
                .topic(name.as_str())
                .ok_or_else(|| not_found(name.as_str()))?;
            // It may also have moved since it was looked for.
            if topic.moving.is_some() || topic.placement.storage != placement.storage {
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
        .await;
    if decided.is_err() && !context.write_model.current().uses(placement.storage) {
        // It was removed while this stood still, and may have been made anew: nobody is to find it.
        route.repository.remove(placement.storage).await?;
    }
    let ((), model) = decided?;
    let topic = model
        .topic(name.as_str())
        .ok_or_else(|| not_found(name.as_str()))?;
    Ok(info(topic, TopicStatus::Active))
}
