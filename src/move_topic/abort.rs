//! The end of a move that comes to nothing: the topic stays where it was.

use uuid::Uuid;

use crate::{
    context::{Context, not_found},
    models::{Error, Placement, Position, Result, TopicName},
    write_model::{ConfigurationEvent, Extra, MoveAborted},
};

/// Records that the move of a topic is aborted at which this mover is, or whoever is, and undoes what was
/// done for it. Tells whether there is such a move.
pub(super) async fn abort(
    context: &Context,
    name: &TopicName,
    mover: Option<Uuid>,
    reason: &str,
) -> Result<bool> {
    let aborted = context.decide(|model| {
        let topic = model.topic(name.as_str());
        let (topic, moving) = topic
            .and_then(|topic| Some((topic, topic.moving.as_ref()?)))
            .filter(|(_, moving)| mover.is_none_or(|mover| mover == moving.mover))
            .ok_or_else(|| not_found(name.as_str()))?;
        let from = &topic.placement;
        let event = MoveAborted {
            topic: name.clone(),
            storage: from.storage,
            reason: reason.to_owned(),
            extra: Extra::new(),
        };
        let decided = (from.clone(), moving.target.clone(), model.next());
        Ok((ConfigurationEvent::MoveAborted(event), decided))
    });
    match aborted.await {
        Ok(((from, target, since), _)) => {
            clear(context, &from, &target, since).await;
            Ok(true)
        }
        Err(Error::TopicNotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Stops the move of a topic, whoever is at it: the topic stays where it was.
pub(crate) async fn cancel_move(context: &Context, name: &TopicName) -> Result<()> {
    if abort(context, name, None, "it was cancelled").await? {
        return Ok(());
    }
    let is_there = context.write_model.topic(name.as_str()).is_some();
    Err(if is_there {
        Error::NotMoving {
            topic: name.clone(),
        }
    } else {
        not_found(name.as_str())
    })
}

/// Opens the old placement again, and removes the new one. Where that fails, whoever appends opens it,
/// and `sweep` removes what is left.
async fn clear(context: &Context, from: &Placement, target: &Placement, since: Position) {
    let topic = &from.topic;
    let unsealed = match context.registry.get(from).await {
        Ok(repository) => repository.unseal(from, since).await,
        Err(error) => Err(error),
    };
    if let Err(error) = unsealed {
        tracing::warn!(%topic, %error, "topic that did not move is not unsealed yet");
    }
    let removed = match context.registry.get(target).await {
        Ok(repository) => repository.remove(target.storage).await,
        Err(error) => Err(error),
    };
    context.registry.forget(target.storage);
    if let Err(error) = removed {
        context.discard_unused(target);
        tracing::warn!(%topic, %error, "what was copied is not removed yet; `sweep` will");
    }
}
