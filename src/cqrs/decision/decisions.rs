//! Makes decisions over a topic.

use std::fmt;

use futures_util::TryStreamExt;
use serde::{Serialize, de::DeserializeOwned};

use super::{Decided, Decision, Emit, ToDecide};
use crate::{
    Append, EventFilter, EventStore, NewEvent, Position, Read, Result,
    cqrs::{
        CommandError, Envelope, Metadata, Schema,
        execution::{Execution, Recorded},
    },
};

/// Makes decisions over a topic: looks at the events that a [`Decision`] depends on, and records what
/// follows unless another such event came between.
///
/// It is a handle: cheap to clone, and safe to use from any number of tasks and processes at once.
pub struct Decisions<E> {
    execution: Execution<E>,
}

impl<E: Serialize + DeserializeOwned + Send + Sync + 'static> Decisions<E> {
    /// Decisions over this topic, which is there already.
    pub fn new(store: &EventStore, topic: impl Into<String>) -> Self {
        Self {
            execution: Execution::new(store, topic),
        }
    }

    /// Sets how events are read that were written by earlier programs.
    #[must_use]
    pub fn schema(mut self, schema: Schema<E>) -> Self {
        self.execution.schema = schema;
        self
    }

    /// Sets how often it is decided before it gives up because somebody else wrote first each time. 10,
    /// unless it is set.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.execution.attempts = attempts.max(1);
        self
    }

    /// Makes a decision: its events are recorded together, or none is.
    ///
    /// Idempotency keys are as those of [`Aggregates::execute`](super::super::Aggregates::execute).
    ///
    /// # Errors
    /// [`CommandError::Rejected`] with the reason of the decision; [`CommandError::Contended`] after too
    /// many attempts; [`CommandError::Store`] with those of
    /// [`append_events`](EventStore::append_events), of reads, and of the [schema](Schema::decode).
    pub async fn execute<D: Decision<Event = E>>(
        &self,
        decision: impl ToDecide<Decision = D>,
    ) -> Result<Decided<E>, CommandError<D::Error>> {
        let Envelope {
            command: decision,
            key,
            metadata,
        } = decision.into_envelope();
        let key = key.as_deref();
        let filter = decision.filter();
        let mut state = D::State::default();
        let mut looked_to = Position::START;
        let mut decisions = 0;
        loop {
            decisions += 1;
            looked_to = self.look(&decision, &filter, looked_to, &mut state).await?;
            let emitted = match decision.decide(&state) {
                Ok(emitted) if !emitted.is_empty() => emitted,
                nothing => {
                    if let Some(earlier) = self.execution.earlier(key, None).await? {
                        return Ok(Decided {
                            events: earlier.events,
                            receipt: Some(earlier.receipt),
                        });
                    }
                    let events = nothing.map_err(CommandError::Rejected)?;
                    return Ok(Decided {
                        events: events.into_iter().map(|emit| emit.event).collect(),
                        receipt: None,
                    });
                }
            };
            let append = Append::new(self.encode(&emitted, &metadata)?);
            let append = append.unless(filter.clone(), looked_to);
            let events = emitted.into_iter().map(|emit| emit.event).collect();
            match self.execution.record(append, key, None).await? {
                Recorded::Now(receipt) => {
                    return Ok(Decided {
                        events,
                        receipt: Some(receipt),
                    });
                }
                Recorded::Earlier(earlier) => {
                    return Ok(Decided {
                        events: earlier.events,
                        receipt: Some(earlier.receipt),
                    });
                }
                Recorded::Conflict(source) if decisions >= self.execution.attempts => {
                    return Err(CommandError::Contended {
                        attempts: decisions,
                        source,
                    });
                }
                Recorded::Conflict(_) => {}
            }
        }
    }

    /// What the events say that a decision depends on, without making it.
    ///
    /// # Errors
    /// Those of reads, and of the [schema](Schema::decode).
    pub async fn state<D: Decision<Event = E>>(&self, decision: &D) -> Result<D::State> {
        let mut state = D::State::default();
        let filter = decision.filter();
        self.look(decision, &filter, Position::START, &mut state)
            .await?;
        Ok(state)
    }

    /// Reads what came after a position, and tells up to where it has looked.
    async fn look<D: Decision<Event = E>>(
        &self,
        decision: &D,
        filter: &EventFilter,
        after: Position,
        state: &mut D::State,
    ) -> Result<Position> {
        let execution = &self.execution;
        let read = Read::all().filter(filter.clone()).after(after);
        let mut events = execution.store.read_events(&execution.topic, read);
        while let Some(event) = events.try_next().await? {
            if let Some(event) = execution.decode(&event)? {
                decision.apply(state, &event);
            }
        }
        Ok(events.looked_to().max(after))
    }

    fn encode(&self, emitted: &[Emit<E>], metadata: &Metadata) -> Result<Vec<NewEvent>> {
        let encode = |emit: &Emit<E>| {
            let new = self.execution.encode(&emit.event, metadata)?;
            let new = new.tags(emit.tags.iter().cloned());
            Ok(match &emit.stream {
                Some(stream) => new.stream(stream.clone()),
                None => new,
            })
        };
        emitted.iter().map(encode).collect()
    }
}

impl<E> Clone for Decisions<E> {
    fn clone(&self) -> Self {
        Self {
            execution: self.execution.clone(),
        }
    }
}

impl<E> fmt::Debug for Decisions<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decisions")
            .field("events", &std::any::type_name::<E>())
            .field("topic", &self.execution.topic)
            .finish_non_exhaustive()
    }
}
