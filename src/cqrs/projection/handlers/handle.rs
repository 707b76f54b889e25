//! A projection that runs, as users hold it.

use std::{fmt, sync::Arc};

use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

use super::{
    super::{
        Rebuild,
        board::{Board, Cause, ProjectionState, TopicProgress, Waited, heads, stopped},
    },
    generations::Generations,
    parked::{self, ParkedEvent},
    seen::Seen,
    settings::Settings,
    sink::Sink,
    supervisor::{Building, Order, Supervisor},
};
use crate::{EventStore, Position, Result};

/// A projection that runs, until it is [stopped](Self::stop) or the last handle is dropped.
///
/// **One instance** is at work, in whatever processes: it has the leases of the consumers `NAME` of its
/// topics. Another one stands by, and goes on where that has come to, when it stops or its lease is over.
///
/// **Errors**: where a store is away, or the lease was lost, it tries again by itself. What comes of an
/// event that its handler refuses, is told by [`OnFailure`](super::OnFailure). Other errors, such as
/// [`TopicNotFound`](crate::Error::TopicNotFound) or [`Corruption`](crate::Error::Corruption), stop it;
/// [`status`](Self::status) tells.
///
/// **Generations**: a read model is made anew by building the next generation beside the one that is
/// read, with consumers of its own (`NAME@2`). When it has come as far, the one before is finished,
/// `switch` is called, and it is recorded which one is read now, so that every start goes on with that.
/// Where another instance has the one before, that one is finished some seconds later: until then both
/// are fed, and a reader may be taken back by what had come to the one before in the moment of the
/// switch.
#[derive(Clone)]
pub struct Projecting {
    inner: Arc<Inner>,
}

struct Inner {
    store: EventStore,
    settings: Arc<Settings>,
    seen: Arc<Seen>,
    orders: mpsc::Sender<Order>,
    stop: watch::Sender<bool>,
    supervising: Mutex<Option<JoinHandle<()>>>,
}

/// What a projection does, and how far it has come.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProjectionStatus {
    /// Its name.
    pub name: String,
    /// The generation that is read; 0 before it has begun.
    pub generation: u64,
    /// What it does.
    pub state: ProjectionState,
    /// What has gone wrong last, since it was started here.
    pub last_error: Option<Cause>,
    /// How far it has come in each topic.
    pub topics: Vec<TopicProgress>,
    /// How many events it has parked, and not handled since.
    pub parked: u64,
    /// The generation that is built beside it, and how far that has come.
    pub building: Option<(u64, Vec<TopicProgress>)>,
}

pub(super) async fn start<S: Sink>(
    store: &EventStore,
    settings: Settings,
    generations: Generations,
    make: impl FnMut(u64) -> S + Send + 'static,
) -> Result<Projecting> {
    let settings = Arc::new(settings);
    let board = Board::new(&settings.name, &settings.topics);
    let seen = Arc::new(Seen::new(board));
    let (stop, stopping) = watch::channel(false);
    let (orders, ordered) = mpsc::channel(4);
    // So that what is wrong with the place of the checkpoints is told now.
    generations.load().await?;
    let supervisor = Supervisor {
        store: store.clone(),
        settings: Arc::clone(&settings),
        generations,
        make,
        seen: Arc::clone(&seen),
        stop: stopping,
        orders: ordered,
        waiting: Vec::new(),
    };
    Ok(Projecting {
        inner: Arc::new(Inner {
            store: store.clone(),
            settings,
            seen,
            orders,
            stop,
            supervising: Mutex::new(Some(tokio::spawn(supervisor.run()))),
        }),
    })
}

impl Projecting {
    /// What it does, and how far it has come.
    pub async fn status(&self) -> ProjectionStatus {
        let (generation, board) = self.inner.seen.current();
        let building = self.inner.seen.building();
        let building = match building {
            Some((generation, board)) => {
                Some((generation, board.progress(&self.inner.store).await))
            }
            None => None,
        };
        ProjectionStatus {
            name: self.inner.settings.name.clone(),
            generation,
            state: board.current_state(),
            last_error: board.last_error(),
            topics: board.progress(&self.inner.store).await,
            parked: board.count_of_parked(),
            building,
        }
    }

    /// Waits until it has handled all events up to a position of a topic: that of an append's
    /// [receipt](crate::AppendReceipt::last), say. It waits also where another instance is at work: as
    /// long as that is so.
    ///
    /// # Errors
    /// [`ProjectionStopped`](crate::Error::ProjectionStopped) where it does not come there any more;
    /// [`InvalidConfig`](crate::Error::InvalidConfig) for a topic that it does not follow.
    pub async fn wait_for(&self, topic: &str, position: Position) -> Result<()> {
        while self.inner.seen.board().reach(topic, position).await? == Waited::Replaced {}
        Ok(())
    }

    /// Waits until it has come to where its topics are now.
    ///
    /// # Errors
    /// Those of [`wait_for`](Self::wait_for) and of
    /// [`get_latest_version`](EventStore::get_latest_version).
    pub async fn caught_up(&self) -> Result<()> {
        let heads = heads(&self.inner.store, &self.inner.settings.topics).await?;
        while self.inner.seen.board().reach_all(&heads).await? == Waited::Replaced {}
        Ok(())
    }

    /// Waits until it has stopped.
    pub async fn stopped(&self) {
        while self.inner.seen.board().stopped().await == Waited::Replaced {}
    }

    /// Builds the next generation beside the one that is read, and has it take its place. Where one is
    /// being built, that is meant. It goes on where the [`Rebuild`] is dropped, and with the next start
    /// where this program ends.
    ///
    /// # Errors
    /// Where it could not be recorded; [`ProjectionStopped`](crate::Error::ProjectionStopped) where
    /// [`stop`](Self::stop) was called.
    pub async fn rebuild(&self) -> Result<Rebuild> {
        let (tell, told) = oneshot::channel();
        let Building { board, done } = self.ask(Order::Rebuild(tell), told).await?;
        Ok(Rebuild::new(self.inner.store.clone(), board, done))
    }

    /// The first events that the generation which is read has parked, and not handled since; at most so
    /// many.
    ///
    /// # Errors
    /// Those of a read.
    pub async fn parked(&self, most: usize) -> Result<Vec<ParkedEvent>> {
        let generation = self.inner.seen.current().0.max(1);
        parked::list(&self.inner.store, &self.inner.settings, generation, most).await
    }

    /// Handles once more what is parked now, between other events, and tells how many events that were.
    /// What is refused again is parked again.
    ///
    /// # Errors
    /// [`ProjectionStopped`](crate::Error::ProjectionStopped) where it was interrupted: what was handled
    /// until then is not handled again.
    pub async fn replay_parked(&self) -> Result<u64> {
        let (tell, told) = oneshot::channel();
        self.ask(Order::Replay(tell), told).await
    }

    async fn ask<T>(&self, order: Order, told: oneshot::Receiver<Result<T>>) -> Result<T> {
        let gone = || stopped(&self.inner.settings.name, None);
        let sent = self.inner.orders.send(order).await;
        sent.map_err(|_| gone())?;
        told.await.map_err(|_| gone())?
    }

    /// Stops it: the event at hand is finished, what was handled is flushed and recorded, and the leases
    /// are given back. Who drops the last handle does so too, in the background.
    pub async fn stop(&self) {
        self.inner.stop.send_replace(true);
        let supervising = self.inner.supervising.lock().take();
        match supervising {
            Some(supervising) => drop(supervising.await),
            None => self.stopped().await,
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

impl fmt::Debug for Projecting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Projecting")
            .field("name", &self.inner.settings.name)
            .field("positions", &self.inner.seen.board().positions())
            .finish_non_exhaustive()
    }
}
