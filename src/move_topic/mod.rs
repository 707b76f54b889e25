//! Moves a topic from one repository to another while it is in use.
//!
//! The configuration stream has the steps, and each of them is a commit that only the mover of the
//! move can make: `MoveStarted`; then the events are copied and compared while appends go on;
//! `MoveSealing`, by the position of which the old placement is sealed; the last events;
//! `MoveCompleted`. Until then the topic is where it was, and `MoveAborted` leaves it there.
//!
//! A mover says now and then that it is still at it. One that does not is taken over: what was not
//! sealed is rolled back, what was is finished, or else rolled back. A mover that was taken over, or
//! stood still, can do no harm: its next step is refused, its seal is older than what came after it,
//! and what it copies goes to a storage that nobody reads before it is whole.

mod abort;
mod copy;
mod digest;
mod former;
mod mover;
mod takeover;
mod wait;

use std::{sync::Arc, time::Duration};

pub(crate) use abort::cancel_move;
pub(crate) use former::remove_former;
pub(crate) use takeover::{recover, take_over};
pub(crate) use wait::reroute;

use crate::{
    context::{Context, not_found},
    models::{Error, MoveOptions, Placement, Result, TopicName},
    repository::EventRepository,
    write_model::{ConfigurationEvent, Extra, MoveStarted, Topic},
};
use mover::Mover;

/// How long a move goes on trying where a repository is away, while appends go on.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same while appends wait.
const SEALED_PATIENCE: Duration = Duration::from_secs(5);

/// A placement, and the repository in which it is.
#[derive(Clone, Debug)]
struct Place {
    repository: Arc<dyn EventRepository>,
    placement: Placement,
}

impl Place {
    async fn of(context: &Context, placement: Placement) -> Result<Self> {
        let repository = match context.registry.get(&placement).await {
            Ok(repository) => repository,
            Err(error) => {
                context.discard_unused(&placement);
                return Err(error);
            }
        };
        Ok(Self {
            repository,
            placement,
        })
    }
}

/// Moves a topic from where it is to `target`, and returns it as it is then. It goes on where nobody
/// waits for it any more.
pub(crate) async fn move_topic(
    context: &Arc<Context>,
    from: Placement,
    target: Placement,
    options: MoveOptions,
) -> Result<Arc<Topic>> {
    let from = Place::of(context, from).await?;
    let target = Place::of(context, target).await?;
    let mover = Mover::new(context, (from, target), uuid::Uuid::new_v4(), options);
    // Whoever drops this future before the start is known to be recorded leaves no move behind that
    // nobody is at.
    let task = tokio::spawn(async move {
        let context = Arc::clone(&mover.context);
        // A store that is closed meanwhile waits until the move is rolled back.
        let _pass = context.enter_to("move a topic")?;
        match start(&mover).await {
            Ok(()) => mover.run().await,
            // Where it is recorded after all, it is ended.
            Err(error @ Error::OutcomeUnknown { .. }) => mover.settle(Err(error)).await,
            Err(error) => Err(error),
        }
    });
    match task.await {
        Ok(moved) => moved,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::Closed),
        },
    }
}

/// Records that the topic moves.
async fn start(mover: &Mover) -> Result<()> {
    let (name, from, target) = (
        mover.topic(),
        &mover.from.placement,
        &mover.target.placement,
    );
    let started = ConfigurationEvent::MoveStarted(MoveStarted {
        topic: name.clone(),
        storage: from.storage,
        target: target.clone(),
        mover: mover.id,
        extra: Extra::new(),
    });
    mover
        .context
        .decide(|model| {
            let topic = model
                .topic(name.as_str())
                .ok_or_else(|| not_found(name.as_str()))?;
            // It may also have moved since it was looked for.
            if topic.moving.is_some() || topic.placement.storage != from.storage {
                return Err(is_moving(name));
            }
            Ok((started.clone(), ()))
        })
        .await?;
    tracing::info!(topic = %name, to = %target.adapter, "topic moves");
    Ok(())
}

fn is_moving(name: &TopicName) -> Error {
    Error::TopicMoving {
        topic: name.clone(),
    }
}
