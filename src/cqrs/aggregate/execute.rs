//! Carries out a command: load, decide, append at the version that it was decided on, and decide again
//! where somebody else wrote first.

use super::{Aggregate, Aggregates, Executed, load::Found};
use crate::{
    Append, AppendReceipt, Error, ExpectedVersion, NewEvent, Result, Version,
    cqrs::{
        CommandError, Envelope,
        execution::{Earlier, Recorded},
    },
};

/// What came of one decision.
enum Step<A: Aggregate> {
    Done(Executed<A>),
    /// The state is older than what it was decided for: decide again.
    Again(Option<Error>),
}

impl<A: Aggregate> Aggregates<A> {
    /// Carries out a command on the aggregate with this id: its events are recorded together, or none is.
    ///
    /// Where somebody else has written to the aggregate meanwhile, it is decided again on what is there
    /// then, up to the set number of [attempts](Self::attempts).
    ///
    /// With an [idempotency key](Envelope::idempotency_key), a command that comes again gives the events
    /// and the places that it gave first, and records nothing. What is compared is the key alone. A
    /// command that was rejected, or led to no event, has left nothing behind: when it comes again, it is
    /// decided anew.
    ///
    /// # Errors
    /// [`CommandError::Rejected`] with the reason of the aggregate; [`CommandError::Contended`] after
    /// too many attempts; [`CommandError::Store`] with those of
    /// [`append_events`](crate::EventStore::append_events) and of [`load`](Self::load).
    pub async fn execute(
        &self,
        id: &str,
        command: impl Into<Envelope<A::Command>>,
    ) -> Result<Executed<A>, CommandError<A::Error>> {
        let command = command.into();
        let stream = self.stream(id);
        let cached = self.cache.as_ref();
        let cached = cached.and_then(|cache| cache.get(&stream, self.created()));
        let mut is_new = cached.is_none();
        let mut found = match cached {
            Some(found) => found,
            None => self.find(&stream).await?,
        };
        let mut decisions = 0;
        loop {
            decisions += 1;
            match self.step(&stream, &mut found, &command, is_new).await? {
                Step::Done(executed) => return Ok(executed),
                // What was only remembered may be old: that is no contention yet.
                Step::Again(None) => decisions -= 1,
                Step::Again(Some(source)) if decisions >= self.execution.attempts => {
                    self.forget(&stream);
                    return Err(CommandError::Contended {
                        attempts: decisions,
                        source,
                    });
                }
                Step::Again(Some(conflict)) => {
                    self.look_again(&stream, &mut found, conflict).await?
                }
            }
            is_new = true;
        }
    }

    /// Decides once, and records what was decided.
    async fn step(
        &self,
        stream: &str,
        found: &mut Found<A>,
        command: &Envelope<A::Command>,
        is_new: bool,
    ) -> Result<Step<A>, CommandError<A::Error>> {
        let key = command.key.as_deref();
        let events = match found.state.decide(&command.command) {
            Ok(events) if !events.is_empty() => events,
            nothing => {
                // Nothing will tell whether the state is that of now but a look.
                if !is_new {
                    self.catch_up(stream, found).await?;
                    return Ok(Step::Again(None));
                }
                if let Some(earlier) = self.execution.earlier(key, Some(stream)).await? {
                    return Ok(Step::Done(self.repeat(stream, found, earlier).await?));
                }
                let events = nothing.map_err(CommandError::Rejected)?;
                return Ok(Step::Done(self.finish(stream, found, events, None)));
            }
        };
        let new = self.encode(&events, command)?;
        let last = new.last().map(NewEvent::event_id);
        let append = Append::new(new)
            .stream(stream)
            .expected(ExpectedVersion::Exact(found.version));
        match self.execution.record(append, key, Some(stream)).await? {
            Recorded::Now(receipt) if receipt.duplicate => {
                // It was recorded by a try of ours of which we did not hear, perhaps long ago.
                self.catch_up(stream, found).await?;
                Ok(Step::Done(self.finish(
                    stream,
                    found,
                    events,
                    Some(receipt),
                )))
            }
            Recorded::Now(receipt) => {
                events.iter().for_each(|event| found.state.apply(event));
                found.version = receipt.version;
                found.last = match key {
                    Some(key) => Append::keyed_id(key, events.len() as u64 - 1),
                    None => last.unwrap_or_default(),
                };
                self.save(stream, found);
                Ok(Step::Done(self.finish(
                    stream,
                    found,
                    events,
                    Some(receipt),
                )))
            }
            Recorded::Earlier(earlier) => {
                Ok(Step::Done(self.repeat(stream, found, earlier).await?))
            }
            Recorded::Conflict(error) => Ok(Step::Again(Some(error))),
        }
    }

    fn encode(&self, events: &[A::Event], command: &Envelope<A::Command>) -> Result<Vec<NewEvent>> {
        let encode = |event: &A::Event| {
            let new = self.execution.encode(event, &command.metadata)?;
            Ok(new.tags(A::tags(event)))
        };
        events.iter().map(encode).collect()
    }

    /// Reads what somebody else has written.
    async fn look_again(&self, stream: &str, found: &mut Found<A>, conflict: Error) -> Result<()> {
        let is_another =
            |actual: Version| actual < found.version || self.created() != found.created;
        if let Error::WrongExpectedVersion { actual, .. } = conflict
            && is_another(actual)
        {
            // What was remembered is of a topic that is not there any more.
            *found = self.find(stream).await?;
            return Ok(());
        }
        self.catch_up(stream, found).await.map(drop)
    }

    /// Answers as the same command was answered before.
    async fn repeat(
        &self,
        stream: &str,
        found: &mut Found<A>,
        earlier: Earlier<A::Event>,
    ) -> Result<Executed<A>> {
        if found.version < earlier.receipt.version {
            self.catch_up(stream, found).await?;
        }
        let Earlier { receipt, events } = earlier;
        Ok(self.finish(stream, found, events, Some(receipt)))
    }

    fn finish(
        &self,
        stream: &str,
        found: &mut Found<A>,
        events: Vec<A::Event>,
        receipt: Option<AppendReceipt>,
    ) -> Executed<A> {
        if let Some(cache) = &self.cache {
            cache.keep(stream, found);
        }
        Executed {
            state: std::mem::take(&mut found.state),
            version: found.version,
            events,
            receipt,
        }
    }

    /// Saves a snapshot in the background, if it is time.
    fn save(&self, stream: &str, found: &mut Found<A>) {
        if let Some(snapshots) = &self.snapshots {
            snapshots.save_if_due(
                stream,
                &found.state,
                (found.version, found.last),
                &mut found.saved,
            );
        }
    }

    fn forget(&self, stream: &str) {
        if let Some(cache) = &self.cache {
            cache.forget(stream);
        }
    }
}
