//! Moves whose mover is gone: they are finished or rolled back by somebody else.

use std::sync::{Arc, Weak};

use uuid::Uuid;

use super::{Place, abort::abort, mover::Mover};
use crate::{
    context::Context,
    models::{Error, MoveOptions, Result},
    write_model::{ConfigurationEvent, Extra, MoveStep, Moving, Topic},
};

/// Looks after moves that were under way when the store was opened, until all have ended.
pub(crate) async fn recover(context: Weak<Context>) {
    loop {
        let pause = {
            let Some(context) = context.upgrade() else {
                return;
            };
            if context.gate.is_closed() {
                return;
            }
            let mut moving = context.write_model.current().topics();
            moving.retain(|topic| topic.moving.is_some());
            if moving.is_empty() {
                return;
            }
            for topic in &moving {
                let name = topic.placement.topic.as_str();
                if let Err(error) = take_over(&context, name).await {
                    tracing::warn!(topic = name, %error, "move not taken over yet");
                }
            }
            context.move_lease / 4
        };
        tokio::time::sleep(pause).await;
    }
}

/// Takes over the move of a topic, if its mover is gone, and ends it. Tells whether it did.
pub(crate) async fn take_over(context: &Arc<Context>, name: &str) -> Result<bool> {
    if context.read_only {
        return Ok(false);
    }
    let Some(current) = context.write_model.topic(name) else {
        return Ok(false);
    };
    if !is_left(context, &current) {
        return Ok(false);
    }
    // Its mover may have said since that it is at it.
    let model = context.write_model.refresh().await?;
    let Some(topic) = model.topic(name).filter(|topic| is_left(context, topic)) else {
        return Ok(false);
    };
    let Some(before) = topic.moving.clone() else {
        return Ok(false);
    };
    let _pass = context.enter_to("take over a move")?;
    let id = Uuid::new_v4();
    let taken = context.decide(|model| {
        let topic = model
            .topic(name)
            .filter(|topic| topic.moving.as_ref() == Some(&before))
            .ok_or_else(|| Error::TopicNotFound {
                topic: name.to_owned(),
            })?;
        let step = MoveStep {
            topic: topic.placement.topic.clone(),
            storage: topic.placement.storage,
            mover: id,
            copied: before.copied,
            extra: Extra::new(),
        };
        Ok((ConfigurationEvent::MoveRenewed(step), ()))
    });
    match taken.await {
        Ok(_) => {}
        // Somebody else was faster.
        Err(Error::TopicNotFound { .. }) => return Ok(false),
        // It is left again soon, if it was taken over.
        Err(error @ Error::OutcomeUnknown { .. }) => {
            tracing::warn!(topic = name, %error, "move not taken over yet");
            return Ok(false);
        }
        Err(error) => return Err(error),
    }
    tracing::info!(topic = name, "move taken over from a mover that is gone");
    let (context, topic) = (Arc::clone(context), Arc::clone(topic));
    let ended = tokio::spawn(async move { end(&context, &topic, before, id).await });
    match ended.await {
        // It was rolled back, or somebody else is at it.
        Ok(Ok(()) | Err(Error::MoveFailed { .. } | Error::TopicMoving { .. })) => Ok(true),
        // Nobody is to be told that of a call of his own.
        Ok(Err(error @ Error::OutcomeUnknown { .. })) => {
            tracing::warn!(topic = name, %error, "move not ended yet");
            Ok(false)
        }
        Ok(Err(error)) => Err(error),
        Err(_) => Err(Error::Closed),
    }
}

/// Finishes what is sealed, and rolls back what is not.
async fn end(context: &Arc<Context>, topic: &Topic, moving: Moving, id: Uuid) -> Result<()> {
    let _pass = context.enter_to("end a move")?;
    let name = &topic.placement.topic;
    let Some(since) = moving.sealing else {
        return abort(context, name, Some(id), "its mover is gone")
            .await
            .map(drop);
    };
    let places = async {
        let from = Place::of(context, topic.placement.clone()).await?;
        let target = Place::of(context, moving.target.clone()).await?;
        Ok::<_, Error>((from, target))
    };
    match places.await {
        Ok(places) => {
            let mover = Mover::new(context, places, id, MoveOptions::default());
            mover.finish(since).await.map(drop)
        }
        Err(error) => {
            let reason = format!("its mover is gone, and: {error}");
            abort(context, name, Some(id), &reason).await.map(drop)
        }
    }
}

/// Whether the topic moves, and its mover has not said for too long that it is at it.
fn is_left(context: &Context, topic: &Topic) -> bool {
    let name = &topic.placement.topic;
    let Some(moving) = &topic.moving else {
        context.watch.forget(name.as_str());
        return false;
    };
    let silence = context.watch.silence(name, moving.renewed);
    let told = moving.renewed_at.until(context.clock.now());
    told.max(silence) > context.move_lease
}
