//! Runs the generations of a projection: the one that is read, and the one that is built beside it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

use super::{
    super::{
        board::{Board, Cause, ProjectionState, heads, stopped},
        pause::Pauses,
    },
    generations::{Generations, Record},
    seen::Seen,
    settings::Settings,
    sink::Sink,
    worker::{Command, End, Switch, Worker},
};
use crate::{Error, EventStore, Result};

/// How often it looks which generations are wanted.
const LOOK: Duration = Duration::from_secs(2);

/// Runs generations.
pub(super) struct Supervisor<F> {
    pub(super) store: EventStore,
    pub(super) settings: Arc<Settings>,
    pub(super) generations: Generations,
    pub(super) make: F,
    pub(super) seen: Arc<Seen>,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) orders: mpsc::Receiver<Order>,
    /// Who waits for the generation that is built.
    pub(super) waiting: Vec<oneshot::Sender<Result<()>>>,
}

/// What is asked of a projection.
#[derive(Debug)]
pub(super) enum Order {
    /// To build a new generation.
    Rebuild(oneshot::Sender<Result<Building>>),
    Replay(oneshot::Sender<Result<u64>>),
}

/// A generation that is built: where that can be watched, and what comes of it.
#[derive(Debug)]
pub(super) struct Building {
    pub(super) board: Arc<Board>,
    pub(super) done: oneshot::Receiver<Result<()>>,
}

/// A generation that runs, or has ended.
#[derive(Debug)]
struct Run {
    generation: u64,
    board: Arc<Board>,
    stop: watch::Sender<bool>,
    commands: mpsc::Sender<Command>,
    running: Option<JoinHandle<End>>,
}

enum Happens {
    Stop,
    Order(Order),
    Built,
    CurrentEnded(End),
    BuildingEnded(End),
    Look,
}

impl Run {
    /// How it ends; never where it has ended already.
    async fn ended(&mut self) -> End {
        let Some(running) = &mut self.running else {
            return std::future::pending().await;
        };
        let end = running.await;
        self.running = None;
        end.unwrap_or_else(|panic| End::Failed(Arc::new(panic)))
    }

    /// Has it finish what it is at.
    async fn finish(&mut self) -> End {
        self.stop.send_replace(true);
        match self.running {
            Some(_) => self.ended().await,
            None => End::Asked,
        }
    }
}

impl<S: Sink, F: FnMut(u64) -> S + Send + 'static> Supervisor<F> {
    pub(super) async fn run(mut self) {
        // Who waits hears of it also where this panics, as what makes handlers may.
        let _ends = Ends(Arc::clone(&self.seen));
        let cause = self.supervise().await;
        if let Some(cause) = &cause {
            tracing::error!(projection = self.settings.name, error = %cause, "projection stopped");
        }
        self.seen.board().state(ProjectionState::Stopped(cause));
    }

    async fn supervise(&mut self) -> Option<Cause> {
        let target = self.settings.generation;
        let claim = move |record: Record| match record.current {
            0 => Record {
                current: target,
                building: None,
            },
            current if current < target => Record {
                building: record.building.max(Some(target)),
                ..record
            },
            _ => record,
        };
        let mut record = match self.record(claim).await {
            Ok(record) => record,
            Err(cause) => return cause,
        };
        let mut current = self.start(record.current, self.seen.board());
        let mut building: Option<Run> = None;
        let cause = loop {
            if record.current != current.generation {
                current = self.promote(current, building.take(), record.current).await;
            }
            building = self.build(building, record.building).await;
            match self.happens(&mut current, &mut building).await {
                Happens::Stop => break None,
                Happens::Order(order) => self.serve(order, &current, &mut building).await,
                Happens::Built => {
                    if let Some(built) = &mut building {
                        self.switch(&mut current, built).await;
                    }
                }
                Happens::CurrentEnded(End::Failed(cause)) => {
                    tracing::error!(projection = self.settings.name, error = %cause, "projection stopped");
                    current.board.state(ProjectionState::Stopped(Some(cause)));
                }
                Happens::CurrentEnded(_) => {
                    // Another instance has switched, or a generation was given up.
                    let generation = current.generation;
                    current = self.again(current, generation);
                }
                Happens::BuildingEnded(End::Failed(cause)) => {
                    if let Some(built) = building.take() {
                        self.give_up(&built, cause).await;
                    }
                }
                Happens::BuildingEnded(_) => building = None,
                Happens::Look => {}
            }
            match self.record(|record| record).await {
                Ok(found) => record = found,
                Err(cause) => break cause,
            }
        };
        for run in [Some(&mut current), building.as_mut()]
            .into_iter()
            .flatten()
        {
            run.finish().await;
        }
        cause
    }

    /// Reads and changes which generations are wanted, as soon as that can be done. An error is why it
    /// ends.
    async fn record(
        &mut self,
        change: impl Fn(Record) -> Record + Send + Sync,
    ) -> Result<Record, Option<Cause>> {
        let mut pauses = Pauses::for_store();
        loop {
            match self.generations.change(&change).await {
                Ok(record) => return Ok(record),
                Err(error) if error.is_retryable() => {
                    let mut stop = self.stop.clone();
                    tokio::select! {
                        _ = stop.wait_for(|stop| *stop) => return Err(None),
                        () = tokio::time::sleep(pauses.pause()) => {}
                    }
                }
                Err(error) => return Err(Some(Arc::new(error))),
            }
        }
    }

    fn start(&mut self, generation: u64, board: Arc<Board>) -> Run {
        let (stop, stopping) = watch::channel(false);
        let (commands, orders) = mpsc::channel(4);
        let (first, longest) = self.settings.backoff;
        let worker = Worker {
            store: self.store.clone(),
            settings: Arc::clone(&self.settings),
            generation,
            generations: self.generations.clone(),
            sink: (self.make)(generation),
            board: Arc::clone(&board),
            stop: stopping,
            commands: orders,
            switching: None,
            tries: 0,
            retrying: false,
            pauses: Pauses::new(first, longest),
            look_at: Instant::now(),
        };
        self.seen.started(generation, &board);
        Run {
            generation,
            board,
            stop,
            commands,
            running: Some(tokio::spawn(worker.run())),
        }
    }

    fn new_board(&self) -> Arc<Board> {
        Board::new(&self.settings.name, &self.settings.topics)
    }

    /// Runs a generation anew, and has those who wait go on with that.
    fn again(&mut self, before: Run, generation: u64) -> Run {
        let board = self.new_board();
        let run = self.start(generation, Arc::clone(&board));
        self.seen.read(generation, board);
        before.board.replaced();
        run
    }

    /// Has a later generation be the one that is read: another instance has switched to it, or this one.
    async fn promote(&mut self, mut before: Run, built: Option<Run>, generation: u64) -> Run {
        before.finish().await;
        match built {
            Some(built) if built.generation == generation => {
                self.seen.read(generation, Arc::clone(&built.board));
                self.seen.builds(None);
                before.board.replaced();
                self.answer(|| Ok(()));
                built
            }
            other => {
                if let Some(mut other) = other {
                    other.finish().await;
                }
                self.again(before, generation)
            }
        }
    }

    /// Runs the generation that is to be built, and no other.
    async fn build(&mut self, running: Option<Run>, wanted: Option<u64>) -> Option<Run> {
        match (running, wanted) {
            (Some(run), Some(wanted)) if run.generation == wanted => Some(run),
            (running, wanted) => {
                if let Some(mut run) = running {
                    run.finish().await;
                    run.board.state(ProjectionState::Stopped(None));
                    let name = self.settings.name.clone();
                    self.answer(|| Err(stopped(&name, None)));
                }
                let board = self.new_board();
                let run = wanted.map(|wanted| self.start(wanted, board));
                self.seen.builds(
                    run.as_ref()
                        .map(|run| (run.generation, Arc::clone(&run.board))),
                );
                run
            }
        }
    }

    async fn happens(&mut self, current: &mut Run, building: &mut Option<Run>) -> Happens {
        let built = building.as_ref().map(|run| Arc::clone(&run.board));
        let built = async {
            match built {
                Some(board) if board.caught_up().await.is_ok() => {}
                _ => std::future::pending().await,
            }
        };
        let building_ended = async {
            match building {
                Some(run) => run.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = self.stop.wait_for(|stop| *stop) => Happens::Stop,
            Some(order) = self.orders.recv() => Happens::Order(order),
            end = current.ended() => Happens::CurrentEnded(end),
            end = building_ended => Happens::BuildingEnded(end),
            () = built => Happens::Built,
            () = tokio::time::sleep(LOOK) => Happens::Look,
        }
    }

    async fn serve(&mut self, order: Order, current: &Run, building: &mut Option<Run>) {
        match order {
            Order::Replay(tell) => {
                replay(current.commands.clone(), tell);
            }
            Order::Rebuild(tell) => {
                let next = |record: Record| Record {
                    building: record.building.or(Some(record.current + 1)),
                    ..record
                };
                let record = match self.generations.change(next).await {
                    Ok(record) => record,
                    Err(error) => return drop(tell.send(Err(error))),
                };
                *building = self.build(building.take(), record.building).await;
                if let Some(run) = building {
                    let (tell_done, done) = oneshot::channel();
                    self.waiting.push(tell_done);
                    let board = Arc::clone(&run.board);
                    drop(tell.send(Ok(Building { board, done })));
                }
            }
        }
    }

    /// Has the generation that is built take the place of the one that is read: that one finishes, and
    /// the new one comes as far. Where that fails, the one before goes on.
    async fn switch(&mut self, current: &mut Run, built: &mut Run) {
        current.finish().await;
        let error = match heads(&self.store, &self.settings.topics).await {
            Ok(targets) => {
                let (tell, told) = oneshot::channel();
                drop(
                    built
                        .commands
                        .send(Command::Switch(Switch { targets, tell }))
                        .await,
                );
                let mut stop = self.stop.clone();
                tokio::select! {
                    switched = told => match switched {
                        Ok(Ok(())) => return,
                        Ok(Err(error)) => Some(error),
                        // It has ended, which is seen to next.
                        Err(_) => None,
                    },
                    _ = stop.wait_for(|stop| *stop) => return,
                }
            }
            Err(error) => Some(error),
        };
        // The record tells, also where nobody has heard what came of it.
        if let Ok(record) = self.generations.load().await
            && record.current == built.generation
        {
            return;
        }
        let board = self.new_board();
        let generation = current.generation;
        let run = self.start(generation, Arc::clone(&board));
        let before = std::mem::replace(current, run);
        self.seen.read(generation, board);
        before.board.replaced();
        if let Some(error) = error {
            tracing::warn!(projection = self.settings.name, %error, "not switched");
            tokio::time::sleep(Pauses::for_store().pause()).await;
            if !error.is_retryable() {
                built.stop.send_replace(true);
                built.ended().await;
                self.give_up(built, Arc::new(error)).await;
            }
        }
    }

    /// The generation that was built is not wanted any more.
    async fn give_up(&mut self, built: &Run, cause: Cause) {
        built
            .board
            .state(ProjectionState::Stopped(Some(Arc::clone(&cause))));
        tracing::error!(projection = self.settings.name, error = %cause, "rebuild given up");
        let given_up = |record: Record| Record {
            building: record.building.filter(|one| *one != built.generation),
            ..record
        };
        drop(self.record(given_up).await);
        self.seen.builds(None);
        let name = self.settings.name.clone();
        self.answer(|| Err(stopped(&name, Some(Arc::clone(&cause)))));
    }

    fn answer(&mut self, answer: impl Fn() -> Result<(), Error>) {
        for waits in self.waiting.drain(..) {
            drop(waits.send(answer()));
        }
    }
}

/// Hands it on as soon as the worker takes it, which may be at an event for as long as it likes. Where
/// that has ended, whoever asks hears that nobody answers.
fn replay(commands: mpsc::Sender<Command>, mut tell: oneshot::Sender<Result<u64>>) {
    tokio::spawn(async move {
        let permit = tokio::select! {
            permit = commands.reserve() => permit,
            () = tell.closed() => return,
        };
        if let Ok(permit) = permit {
            permit.send(Command::Replay(tell));
        }
    });
}

/// Tells that a projection has stopped, whatever has ended it.
struct Ends(Arc<Seen>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.board().state(ProjectionState::Stopped(None));
    }
}
