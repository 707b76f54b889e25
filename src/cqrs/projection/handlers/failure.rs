//! What becomes of an event that its handler refuses.

use std::{sync::Arc, time::Duration};

use super::{
    super::board::{Cause, ProjectionState},
    generations::consumer,
    input::Input,
    settings::OnFailure,
    sink::{Failure, Sink},
    worker::{Trouble, Worker},
};
use crate::{Position, RecordedEvent, parking::Parking};

/// An event could not be handled.
#[derive(Debug, thiserror::Error)]
#[error("event {position} ({event_type}) of topic {topic} was refused {tries} times")]
struct Refused {
    topic: String,
    position: Position,
    event_type: String,
    tries: u32,
    source: crate::BoxError,
}

impl<S: Sink> Worker<S> {
    /// Decides on an event that was refused, or waits until it can be tried again: whether to go on
    /// behind it.
    pub(super) async fn failed(
        &mut self,
        input: &mut Input,
        event: &RecordedEvent,
        failure: Failure,
    ) -> Result<bool, Trouble> {
        let (source, hopeless): (crate::BoxError, bool) = match failure {
            Failure::Store(error) if error.is_retryable() => {
                tracing::warn!(projection = self.board.name(), %error, "events not handled; trying again");
                self.board.state(ProjectionState::Retrying(Arc::new(error)));
                // So that it is known whether this instance still has the lease.
                self.prove(input).await?;
                self.retrying = true;
                let pause = self.pauses.pause().min(Duration::from_secs(2));
                self.pause(pause).await;
                return Ok(false);
            }
            Failure::Store(error) => return Err(error.into()),
            Failure::Unreadable(error) => (Box::new(error), true),
            Failure::Handler(error) => (error, false),
        };
        self.prove(input).await?;
        self.retrying = true;
        self.tries += 1;
        let reason = source.to_string();
        let refused: Cause = Arc::new(Refused {
            topic: event.topic.to_string(),
            position: event.position,
            event_type: event.event_type.to_string(),
            tries: self.tries,
            source,
        });
        tracing::warn!(projection = self.board.name(), error = %refused, reason, "event not handled");
        self.board
            .state(ProjectionState::Retrying(Arc::clone(&refused)));
        match self.settings.on_failure {
            OnFailure::Retry if hopeless => Err(Trouble::Stop(refused)),
            OnFailure::Stop { tries } if hopeless || self.tries >= tries => {
                Err(Trouble::Stop(refused))
            }
            OnFailure::Park { tries } if hopeless || self.tries >= tries => {
                self.park(event, input.parked, &reason).await?;
                Ok(true)
            }
            OnFailure::Retry | OnFailure::Stop { .. } | OnFailure::Park { .. } => {
                let pause = self.pauses.pause();
                self.pause(pause).await;
                Ok(false)
            }
        }
    }

    async fn park(
        &mut self,
        event: &RecordedEvent,
        again: Option<Position>,
        reason: &str,
    ) -> Result<(), Trouble> {
        let name = consumer(&self.settings.name, self.generation);
        let parking = Parking::open(&self.store, event.topic.as_str(), &name).await?;
        parking.park(event, again, (self.tries, reason)).await?;
        self.board.parked(|parked| parked + 1);
        Ok(())
    }
}
