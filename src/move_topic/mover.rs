//! The mover of a topic: its steps, and what it does when one fails.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use uuid::Uuid;

use super::{Place, SEALED_PATIENCE, abort::abort, copy::Copying, former::remove_former};
use crate::{
    context::{Context, not_found},
    models::{Error, FormerStorage, MoveOptions, MovePhase, Position, Result, TopicName},
    write_model::{ConfigurationEvent, Extra, Model, MoveStep, Moving, Topic},
};

/// The placement is sealed when no more than this is left to copy.
const FEW: u64 = 2_000;
/// So often is copied what has come meanwhile, before it is sealed in any case.
const ROUNDS: usize = 20;
/// How long the commit that ends a move is tried.
const LAST_WORD: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(250);

/// Moves one topic.
#[derive(Debug)]
pub(super) struct Mover {
    pub(super) context: Arc<Context>,
    pub(super) from: Place,
    pub(super) target: Place,
    pub(super) id: Uuid,
    pub(super) options: MoveOptions,
    /// The position up to which events are copied.
    pub(super) copied: AtomicU64,
}

/// What the configuration says of a move that its mover wants to end.
enum Standing {
    Ours,
    Completed(Arc<Topic>),
    Lost,
}

impl Mover {
    pub(super) fn new(
        context: &Arc<Context>,
        (from, target): (Place, Place),
        id: Uuid,
        options: MoveOptions,
    ) -> Self {
        Self {
            context: Arc::clone(context),
            from,
            target,
            id,
            options,
            copied: AtomicU64::default(),
        }
    }

    pub(super) fn topic(&self) -> &TopicName {
        &self.from.placement.topic
    }

    /// Does the whole move.
    pub(super) async fn run(self) -> Result<Arc<Topic>> {
        let moved = tokio::select! {
            moved = self.copy_and_seal() => moved,
            error = self.keep() => Err(error),
        };
        self.settle(moved).await
    }

    /// Finishes a move that was sealed by somebody who is gone.
    pub(super) async fn finish(self, since: Position) -> Result<Arc<Topic>> {
        let moved = tokio::select! {
            moved = async {
                let mut copying = Copying::new(&self);
                self.seal_and_complete(&mut copying, since).await
            } => moved,
            error = self.keep() => Err(error),
        };
        self.settle(moved).await
    }

    async fn copy_and_seal(&self) -> Result<()> {
        let mut copying = Copying::new(self);
        copying.prepare().await?;
        for _ in 0..ROUNDS {
            let head = copying.source_head().await?;
            copying.copy(head, MovePhase::Copying).await?;
            copying.compare(MovePhase::Comparing).await?;
            let left = copying
                .source_head()
                .await?
                .get()
                .saturating_sub(head.get());
            if left <= FEW {
                break;
            }
        }
        let model = self.step(ConfigurationEvent::MoveSealing).await?;
        let moving = self.moving(&model)?;
        let since = moving.sealing.ok_or_else(|| self.lost())?;
        self.seal_and_complete(&mut copying, since).await
    }

    /// Seals the old placement, copies what is left, and says that the topic has moved.
    async fn seal_and_complete(&self, copying: &mut Copying<'_>, since: Position) -> Result<()> {
        copying.patience = SEALED_PATIENCE;
        let head = copying.seal(since).await?;
        copying.copy(head, MovePhase::Sealed).await?;
        copying.compare(MovePhase::Sealed).await?;
        copying.check_heads(head).await?;
        self.step(ConfigurationEvent::MoveCompleted).await.map(drop)
    }

    /// Commits a step of this move, if it still is ours.
    async fn step(&self, step: impl Fn(MoveStep) -> ConfigurationEvent) -> Result<Arc<Model>> {
        let decided = self.context.decide(|model| {
            self.moving(model)?;
            let event = MoveStep {
                topic: self.topic().clone(),
                storage: self.from.placement.storage,
                mover: self.id,
                copied: Position::new(self.copied.load(Ordering::Relaxed)),
                extra: Extra::new(),
            };
            Ok((step(event), ()))
        });
        decided.await.map(|((), model)| model)
    }

    /// The move as the configuration has it, if it still is ours.
    fn moving<'a>(&self, model: &'a Model) -> Result<&'a Moving> {
        model
            .topic(self.topic().as_str())
            .filter(|topic| topic.placement.storage == self.from.placement.storage)
            .and_then(|topic| topic.moving.as_ref())
            .filter(|moving| moving.mover == self.id)
            .ok_or_else(|| self.lost())
    }

    fn lost(&self) -> Error {
        Error::MoveFailed {
            topic: self.topic().clone(),
            reason: "it was cancelled, or taken over by another process".to_owned(),
            source: None,
        }
    }

    /// Says now and then that somebody is at it. Ends when that is not so any more.
    async fn keep(&self) -> Error {
        let mut changes = self.context.write_model.changes();
        let every = self.context.move_lease / 3;
        let mut due = tokio::time::Instant::now() + every;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(due) => {
                    match self.step(ConfigurationEvent::MoveRenewed).await {
                        Err(error) if !error.is_retryable() => return error,
                        Err(error) => {
                            tracing::warn!(topic = %self.topic(), %error, "move not renewed yet");
                        }
                        Ok(_) => {}
                    }
                    due = tokio::time::Instant::now() + every;
                }
                _ = changes.changed() => {
                    let model = self.context.write_model.current();
                    // A commit of our own may have ended it.
                    if let (Err(error), Standing::Lost) = (self.moving(&model), self.standing(&model)) {
                        return error;
                    }
                }
            }
        }
    }

    fn standing(&self, model: &Model) -> Standing {
        let target = self.target.placement.storage;
        match model.topic(self.topic().as_str()) {
            _ if self.moving(model).is_ok() => Standing::Ours,
            // It may have moved on since.
            Some(topic)
                if topic.placement.storage == target
                    || topic.former.iter().any(|one| one.storage == target) =>
            {
                Standing::Completed(Arc::clone(topic))
            }
            _ => Standing::Lost,
        }
    }

    /// Ends the move: it has become what the configuration says, whatever was heard of the last step.
    pub(super) async fn settle(&self, moved: Result<()>) -> Result<Arc<Topic>> {
        let (reason, failure) = match moved {
            Ok(()) => (String::new(), None),
            Err(error) => (error.to_string(), Some(error)),
        };
        let until = tokio::time::Instant::now() + LAST_WORD;
        loop {
            match self.try_settle(&reason).await {
                Ok(Standing::Completed(topic)) => {
                    self.leave().await;
                    tracing::info!(topic = %self.topic(), "topic has moved");
                    let now = self.context.write_model.current();
                    return Ok(match self.standing(&now) {
                        Standing::Completed(topic) => topic,
                        _ => topic,
                    });
                }
                Ok(Standing::Ours | Standing::Lost) => break,
                // Whoever closes the store does not wait for a configuration that is away.
                Err(error)
                    if error.is_retryable()
                        && tokio::time::Instant::now() < until
                        && !self.context.gate.is_closed() =>
                {
                    tokio::select! {
                        () = tokio::time::sleep(PAUSE) => {}
                        () = self.context.gate.closing() => {}
                    }
                }
                Err(error) => {
                    // The next one who opens the store, or appends to the topic, rolls it back.
                    tracing::warn!(topic = %self.topic(), %error, "move not rolled back yet");
                    return Err(match error {
                        Error::Closed => error,
                        error => Error::OutcomeUnknown {
                            reason: format!(
                                "whether topic {} has moved is not known ({reason}); its configuration will tell",
                                self.topic()
                            ),
                            source: Some(Box::new(error)),
                        },
                    });
                }
            }
        }
        let Some(failure) = failure else {
            // It has moved, and was deleted since.
            return Err(not_found(self.topic().as_str()));
        };
        tracing::warn!(topic = %self.topic(), reason, "topic did not move");
        Err(match failure {
            error @ (Error::MoveFailed { .. } | Error::Closed) => error,
            error => Error::MoveFailed {
                topic: self.topic().clone(),
                reason,
                source: Some(Box::new(error)),
            },
        })
    }

    /// Aborts the move, unless it was completed or is not ours.
    async fn try_settle(&self, reason: &str) -> Result<Standing> {
        let model = self.context.write_model.refresh().await?;
        let standing = self.standing(&model);
        if !matches!(standing, Standing::Ours) {
            return Ok(standing);
        }
        match abort(&self.context, self.topic(), Some(self.id), reason).await? {
            true => Ok(Standing::Ours),
            // What was heard to have failed may have been recorded after all.
            false => Ok(self.standing(&self.context.write_model.current())),
        }
    }

    /// The topic has moved: what it has left is kept or removed.
    async fn leave(&self) {
        if self.options.former == FormerStorage::Keep {
            return;
        }
        let left = remove_former(&self.context, self.topic(), &self.from.placement);
        if let Err(error) = left.await {
            tracing::warn!(topic = %self.topic(), %error, "what the topic has left is not removed yet");
        }
    }
}
