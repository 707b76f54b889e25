//! Runs one generation of a projection: takes the leases of its topics, hands events over, records how
//! far all is handled, and begins anew after what is not its own fault.

use std::{
    mem, slice,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, oneshot, watch};

use super::{
    super::{
        board::{Board, Cause, Positions, ProjectionState},
        pause::Pauses,
    },
    generations::{Generations, consumer},
    input::{Input, next},
    settings::{Kept, Settings},
    sink::{Failure, Sink, Turn},
};
use crate::{Consume, Consumer, Error, EventStore, RecordedEvent, Result};

/// How often it looks whether its generation is still wanted.
const LOOK: Duration = Duration::from_secs(2);

/// Runs one generation.
pub(super) struct Worker<S> {
    pub(super) store: EventStore,
    pub(super) settings: Arc<Settings>,
    pub(super) generation: u64,
    pub(super) generations: Generations,
    pub(super) sink: S,
    pub(super) board: Arc<Board>,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) switching: Option<Switch>,
    /// Tries of the event that has failed last.
    pub(super) tries: u32,
    pub(super) retrying: bool,
    pub(super) pauses: Pauses,
    pub(super) look_at: Instant,
}

/// What a worker is asked for.
#[derive(Debug)]
pub(super) enum Command {
    /// To take the place of the generation before, once it has come so far.
    Switch(Switch),
    /// To handle once more what is parked.
    Replay(oneshot::Sender<Result<u64>>),
}

/// How far a generation has to come before it takes the place of the one before, and who waits for it.
#[derive(Debug)]
pub(super) struct Switch {
    pub(super) targets: Positions,
    pub(super) tell: oneshot::Sender<Result<()>>,
}

/// How a worker has ended.
#[derive(Clone, Debug)]
pub(super) enum End {
    Asked,
    /// Its generation is not wanted any more.
    Superseded,
    Failed(Cause),
}

/// What keeps a worker from going on.
pub(super) enum Trouble {
    /// It is to begin anew.
    Again(Error),
    Stop(Cause),
}

enum Happens {
    Command(Command),
    Due,
    Look,
    Batch(usize, Result<()>),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        let again = error.is_retryable()
            || matches!(
                error,
                Error::LeaseLost { .. } | Error::CheckpointConflict { .. }
            );
        if again {
            Self::Again(error)
        } else {
            Self::Stop(Arc::new(error))
        }
    }
}

impl<S: Sink> Worker<S> {
    pub(super) async fn run(mut self) -> End {
        let mut pauses = Pauses::for_store();
        loop {
            let begun = Instant::now();
            match self.session().await {
                Ok(end) => return end,
                Err(Trouble::Stop(cause)) => return End::Failed(cause),
                Err(Trouble::Again(error)) => {
                    tracing::warn!(projection = self.board.name(), %error, "projection interrupted; it goes on by itself");
                    self.board.state(ProjectionState::Retrying(Arc::new(error)));
                    if begun.elapsed() > Duration::from_secs(10) {
                        pauses.reset();
                    }
                    self.pause(pauses.pause()).await;
                    if *self.stop.borrow() {
                        return End::Asked;
                    }
                }
            }
        }
    }

    /// From taking the leases to giving them back.
    async fn session(&mut self) -> Result<End, Trouble> {
        let mut inputs = Vec::new();
        // Another instance may have handled the event that was tried.
        self.tries = 0;
        let worked = match self.begin(&mut inputs).await {
            Ok(None) => self.work(&mut inputs).await,
            Ok(Some(end)) => Ok(end),
            Err(trouble) => Err(trouble),
        };
        // What is handled is recorded also where something else stops it.
        let lost = matches!(&worked, Err(Trouble::Again(Error::LeaseLost { .. })));
        if !lost && let Err(Trouble::Again(error)) = self.commit(&mut inputs).await {
            tracing::warn!(projection = self.board.name(), %error, "checkpoint not recorded");
        }
        for input in inputs {
            if let Err(error) = input.pull.into_source().release().await {
                tracing::warn!(projection = self.board.name(), %error, "lease not given back");
            }
        }
        worked
    }

    /// Takes the leases.
    async fn begin(&mut self, inputs: &mut Vec<Input>) -> Result<Option<End>, Trouble> {
        let settings = Arc::clone(&self.settings);
        for (number, topic) in settings.topics.iter().enumerate() {
            let mut stop = self.stop.clone();
            let consumer = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return Ok(Some(End::Asked)),
                consumer = self.consume(topic, topic) => consumer?,
            };
            inputs.push(Input::new(number, topic, consumer));
        }
        // It may have waited for long.
        if !self.generations.load().await?.wants(self.generation) {
            return Ok(Some(End::Superseded));
        }
        self.count_parked().await?;
        match self.sink.prepare().await {
            Ok(()) => {}
            Err(Failure::Store(error) | Failure::Unreadable(error)) => return Err(error.into()),
            Err(Failure::Handler(error)) => return Err(Trouble::Stop(error.into())),
        }
        for input in inputs {
            self.board.begins(input.number, input.handled);
        }
        self.board.state(ProjectionState::Running);
        Ok(None)
    }

    /// Consumes a topic; `of` is the topic beside which its checkpoints are kept.
    pub(super) async fn consume(&mut self, topic: &str, of: &str) -> Result<Consumer> {
        let checkpoints = self.settings.checkpoints_of(&self.store, of).await?;
        let name = consumer(&self.settings.name, self.generation);
        let consume = Consume::named(name.clone())
            .checkpoints(Kept(checkpoints))
            .lease(self.settings.lease);
        let consume = if topic == of {
            consume.filter(self.settings.filter.clone())
        } else {
            consume.stream(name)
        };
        self.store.consume(topic, consume).await
    }

    async fn work(&mut self, inputs: &mut [Input]) -> Result<End, Trouble> {
        let mut turn = 0;
        loop {
            if let Some(end) = self.switch_where_due(inputs).await? {
                return Ok(end);
            }
            let commit_at = inputs.iter().filter_map(|input| input.since).min();
            let within = self.settings.commit_every.1;
            let due = async {
                match commit_at {
                    Some(since) => tokio::time::sleep_until((since + within).into()).await,
                    None => std::future::pending().await,
                }
            };
            let most = self.settings.batch;
            let happens = tokio::select! {
                biased;
                _ = self.stop.wait_for(|stop| *stop) => return Ok(End::Asked),
                Some(command) = self.commands.recv() => Happens::Command(command),
                () = due => Happens::Due,
                () = tokio::time::sleep_until(self.look_at.into()) => Happens::Look,
                (number, pulled) = next(inputs, turn, most) => Happens::Batch(number, pulled),
            };
            match happens {
                Happens::Command(Command::Switch(switch)) => self.switching = Some(switch),
                Happens::Command(Command::Replay(tell)) => {
                    let replayed = self.replay().await;
                    let answer = match &replayed {
                        Ok(count) if !*self.stop.borrow() => Ok(*count),
                        _ => Err(super::super::board::stopped(self.board.name(), None)),
                    };
                    drop(tell.send(answer));
                    replayed?;
                }
                Happens::Due => self.commit(inputs).await?,
                Happens::Look => {
                    if !self.generations.load().await?.wants(self.generation) {
                        return Ok(End::Superseded);
                    }
                    self.look_at = Instant::now() + LOOK;
                }
                Happens::Batch(number, pulled) => {
                    pulled?;
                    turn = number + 1;
                    if let Some(input) = inputs.get_mut(number) {
                        self.take(input).await?;
                    }
                }
            }
        }
    }

    /// Handles what was pulled.
    async fn take(&mut self, input: &mut Input) -> Result<(), Trouble> {
        let mut events = mem::take(&mut input.batch);
        if !self.handle(input, &events).await? {
            return Ok(());
        }
        let (position, caught_up) = (input.pull.position(), input.pull.is_caught_up());
        input.went(position.max(input.handled), 0);
        self.board.moved(input.number, input.handled, 0, caught_up);
        events.clear();
        input.batch = events;
        Ok(())
    }

    /// Handles events; whether all of them are.
    pub(super) async fn handle(
        &mut self,
        input: &mut Input,
        events: &[RecordedEvent],
    ) -> Result<bool, Trouble> {
        let mut rest = events;
        while !rest.is_empty() {
            if *self.stop.borrow() {
                return Ok(false);
            }
            let turn = Turn {
                events: rest,
                parked: input.parked,
                pending: input.pull.source().pending(),
            };
            let (done, failure) = self.sink.handle(turn, &self.stop).await;
            let (handled, left) = rest.split_at(done.min(rest.len()));
            rest = left;
            if let Some(last) = handled.last() {
                self.went(input, last, handled.len());
                if S::RECORDS {
                    input.recorded();
                }
            }
            if let (Some(failure), Some((event, left))) = (failure, rest.split_first())
                && self.failed(input, event, failure).await?
            {
                self.went(input, event, 1);
                rest = left;
            }
            if input.uncommitted >= self.settings.commit_every.0 {
                self.commit(slice::from_mut(input)).await?;
            }
        }
        Ok(true)
    }

    /// All up to an event is handled.
    fn went(&mut self, input: &mut Input, last: &RecordedEvent, events: usize) {
        if mem::take(&mut self.retrying) {
            self.tries = 0;
            self.pauses.reset();
            self.board.state(ProjectionState::Running);
        }
        input.went(input.parked.unwrap_or(last.position), events);
        if input.parked.is_none() {
            self.board.moved(input.number, last.position, events, false);
        }
    }

    /// Records what is handled, and that this instance may go on.
    pub(super) async fn prove(&mut self, input: &mut Input) -> Result<(), Trouble> {
        self.flush().await?;
        match input.pull.source().commit_to(input.handled).await {
            Err(error) if error.is_retryable() => Ok(()),
            proven => {
                proven?;
                input.recorded();
                Ok(())
            }
        }
    }

    /// Records what is handled.
    pub(super) async fn commit(&mut self, inputs: &mut [Input]) -> Result<(), Trouble> {
        if inputs.iter().all(|input| input.handled <= input.committed) {
            return Ok(());
        }
        self.flush().await?;
        for input in inputs {
            if input.handled > input.committed {
                input.pull.source().commit_to(input.handled).await?;
            }
            input.recorded();
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Trouble> {
        let mut pauses = Pauses::new(self.settings.backoff.0, self.settings.backoff.1);
        loop {
            let error: Cause = match self.sink.flush().await {
                Ok(()) => return Ok(()),
                Err(Failure::Store(error) | Failure::Unreadable(error)) => return Err(error.into()),
                Err(Failure::Handler(error)) => error.into(),
            };
            tracing::warn!(projection = self.board.name(), %error, "flush failed; trying again");
            if *self.stop.borrow() {
                return Err(Trouble::Stop(error));
            }
            self.board.state(ProjectionState::Retrying(error));
            self.pause(pauses.pause()).await;
        }
    }

    /// Takes the place of the generation before, where it was asked to and has come so far.
    async fn switch_where_due(&mut self, inputs: &mut [Input]) -> Result<Option<End>, Trouble> {
        let Some(Switch { targets, .. }) = &self.switching else {
            return Ok(None);
        };
        let is_there = inputs.iter().all(|input| {
            let mut of_topic = targets.iter().filter(|(topic, _)| *topic == input.topic);
            of_topic.all(|(_, position)| input.handled >= *position)
        });
        if !is_there {
            return Ok(None);
        }
        self.commit(inputs).await?;
        let Some(next) = self.generations.switched_to(self.generation).await? else {
            // Tried before, without hearing that it was done; or there is a later one.
            let wanted = self.generations.load().await?.wants(self.generation);
            self.switched(Ok(()));
            return Ok((!wanted).then_some(End::Superseded));
        };
        match self.sink.switch(&self.generations, &next).await {
            Ok(()) => self.switched(Ok(())),
            // Somebody else has changed it: it is looked at again.
            Err(Failure::Store(Error::CheckpointConflict { .. })) => {}
            Err(Failure::Store(error) | Failure::Unreadable(error)) => return Err(error.into()),
            Err(Failure::Handler(error)) => {
                self.switched(Err(Error::ProjectionStopped {
                    projection: self.board.name().to_owned(),
                    source: Some(error),
                }));
            }
        }
        Ok(None)
    }

    fn switched(&mut self, done: Result<()>) {
        if let Some(switch) = self.switching.take() {
            drop(switch.tell.send(done));
        }
    }

    /// Waits, unless it is to stop.
    pub(super) async fn pause(&mut self, pause: Duration) {
        let mut stop = self.stop.clone();
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }
}
