//! Handlers of any kind, that are given events one by one, at least once.

use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::{
    generations::Generations,
    sink::{Failure, Sink, Turn},
};
use crate::{Checkpoint, RecordedEvent, cqrs::Schema};

/// What is done with each event.
///
/// **At least once**: what was handled after the last checkpoint is given again where a program ends
/// without stopping it. So handling an event again has to give the same; a read model in PostgreSQL has
/// it easier, see `PostgresProjection`.
///
/// ```
/// # use annals::{RecordedEvent, cqrs::Projection};
/// # use serde::Deserialize;
/// # use std::collections::HashMap;
/// #[derive(Deserialize)]
/// enum OrderEvent {
///     OrderPlaced { customer: String },
/// }
///
/// struct Mailer;
///
/// impl Projection for Mailer {
///     type Event = OrderEvent;
///     type Error = std::io::Error;
///
///     async fn handle(&mut self, event: OrderEvent, recorded: &RecordedEvent) -> Result<(), Self::Error> {
///         let OrderEvent::OrderPlaced { customer } = event;
///         println!("to {customer}: thank you (message {})", recorded.id);
///         Ok(())
///     }
/// }
/// ```
pub trait Projection: Send + 'static {
    /// What it is given; see [`Schema`].
    type Event: DeserializeOwned + Send + 'static;
    /// Why an event could not be handled.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Handles an event. What comes of an error is told by [`OnFailure`](super::OnFailure).
    fn handle(
        &mut self,
        event: Self::Event,
        recorded: &RecordedEvent,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Makes lasting what was handled, before a checkpoint says so: for those who gather up. It is tried
    /// again until it succeeds.
    fn flush(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send {
        async { Ok(()) }
    }

    /// Has readers see this generation, which was built beside the one before and has come as far. Called
    /// again where a program ended before that was recorded.
    fn switch(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send {
        async { Ok(()) }
    }
}

/// A handler, and how its events are read.
pub(super) struct Handler<P: Projection> {
    pub(super) projection: P,
    pub(super) schema: Schema<P::Event>,
}

impl<P: Projection> Sink for Handler<P> {
    const RECORDS: bool = false;

    async fn prepare(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    async fn handle(
        &mut self,
        turn: Turn<'_>,
        stop: &watch::Receiver<bool>,
    ) -> (usize, Option<Failure>) {
        let mut done = 0;
        for recorded in turn.events {
            if *stop.borrow() {
                break;
            }
            match self.schema.decode(recorded) {
                Ok(None) => {}
                Ok(Some(event)) => {
                    if let Err(error) = self.projection.handle(event, recorded).await {
                        return (done, Some(Failure::Handler(Box::new(error))));
                    }
                }
                Err(error) => return (done, Some(Failure::Unreadable(error))),
            }
            done += 1;
        }
        (done, None)
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        let flushed = self.projection.flush().await;
        flushed.map_err(|error| Failure::Handler(Box::new(error)))
    }

    async fn switch(
        &mut self,
        generations: &Generations,
        next: &Checkpoint,
    ) -> Result<(), Failure> {
        let switched = self.projection.switch().await;
        switched.map_err(|error| Failure::Handler(Box::new(error)))?;
        generations.replace(next).await.map_err(Failure::Store)
    }
}
