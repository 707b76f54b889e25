//! What a group is, and how a member joins and leaves it.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_core::Stream;
use tokio::{sync::mpsc, task::JoinHandle};

use super::{Delivery, roster::Roster, worker::Worker};
use crate::{
    Error, EventFilter, EventStore, Position, Result, TopicCheckpoints, consumer::key,
    parking::Parking, repository::Checkpoints,
};

/// A group of consumers that share a topic: its name, and how it works. All members of a group are to
/// be given the same.
///
/// ```
/// # use annals::Group;
/// # use std::time::Duration;
/// let mailers = Group::named("mailers")
///     .tries(5)
///     .backoff(Duration::from_secs(1), Duration::from_secs(60));
/// ```
#[derive(Clone, Debug)]
pub struct Group {
    name: String,
    pub(super) filter: EventFilter,
    pub(super) partitions: u32,
    pub(super) window: usize,
    pub(super) tries: u32,
    pub(super) backoff: (Duration, Duration),
    pub(super) answer_within: Duration,
    pub(super) lease: Duration,
    pub(super) after: Position,
    checkpoints: Option<Arc<dyn Checkpoints>>,
}

impl Group {
    /// The group of this name: text without control characters, up to 200 bytes. Sixteen partitions;
    /// five tries, one second to one minute apart; 30 seconds to answer, and to be missed when gone.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            filter: EventFilter::all(),
            partitions: 16,
            window: 256,
            tries: 5,
            backoff: (Duration::from_secs(1), Duration::from_secs(60)),
            answer_within: Duration::from_secs(30),
            lease: Duration::from_secs(30),
            after: Position::START,
            checkpoints: None,
        }
    }

    /// Only events that match.
    #[must_use]
    pub fn filter(mut self, filter: EventFilter) -> Self {
        self.filter = filter;
        self
    }

    /// Begins after this position, and not with the topic's first event. It counts where no member has
    /// been there yet: a group goes on where it has come to.
    #[must_use]
    pub const fn after(mut self, position: Position) -> Self {
        self.after = position;
        self
    }

    /// Into how many parts the streams are put (1 to 1024), each of which one member has at a time. It
    /// stays as it is once the first member has joined.
    #[must_use]
    pub fn partitions(mut self, partitions: u32) -> Self {
        self.partitions = partitions.clamp(1, 1024);
        self
    }

    /// How many events a member may hold that are not answered yet, at least one.
    #[must_use]
    pub fn window(mut self, events: usize) -> Self {
        self.window = events.max(1);
        self
    }

    /// How often an event is tried before it is parked, at least once.
    #[must_use]
    pub fn tries(mut self, tries: u32) -> Self {
        self.tries = tries.max(1);
        self
    }

    /// The first and the longest pause between two tries; it doubles in between.
    #[must_use]
    pub const fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.backoff = (first, longest);
        self
    }

    /// A delivery that is not answered within this time has failed.
    #[must_use]
    pub const fn answer_within(mut self, time: Duration) -> Self {
        self.answer_within = time;
        self
    }

    /// How long a member that has died keeps its partitions. At least 300 ms.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease.max(Duration::from_millis(300));
        self
    }

    /// Keeps checkpoints and the roster here, and not in a topic beside that which is consumed.
    #[must_use]
    pub fn checkpoints(mut self, checkpoints: impl Checkpoints) -> Self {
        self.checkpoints = Some(Arc::new(checkpoints));
        self
    }
}

/// A member of a group: a stream of deliveries. Each is answered by itself, in any order, from any task;
/// the next event of a stream comes when the one before is answered.
///
/// **At least once**: what was not answered when a member dies, or is not answered in time, is delivered
/// again, perhaps to another member.
///
/// Members come and go: partitions go from one to another when those of their events that were delivered
/// are answered, and at the latest a lease after a member has died.
pub struct Member {
    deliveries: mpsc::Receiver<Result<Delivery>>,
    working: Option<JoinHandle<()>>,
}

impl EventStore {
    /// Joins a group of consumers of a topic. A group begins with the topic's first event, unless it is
    /// told [another place](Group::after).
    ///
    /// # Errors
    /// [`TopicNotFound`](Error::TopicNotFound); [`InvalidConfig`](Error::InvalidConfig) for a name that
    /// breaks the rule, or another number of partitions than the group has.
    pub async fn join(&self, topic: &str, group: Group) -> Result<Member> {
        let info = self.get_topic(topic).await?;
        let key = key(topic, &group.name)?;
        let checkpoints = match &group.checkpoints {
            Some(checkpoints) => Arc::clone(checkpoints),
            None => Arc::new(TopicCheckpoints::beside(self, topic).await?),
        };
        let parking = Parking::open(self, topic, &group.name).await?;
        let origin = self.origin(&info);
        let roster = Roster::new(Arc::clone(&checkpoints), key, origin, &group);
        let (give, deliveries) = mpsc::channel(1);
        let mut worker = Worker::new(
            self.clone(),
            topic,
            group,
            checkpoints,
            roster,
            parking,
            give,
        );
        worker.begin().await?;
        Ok(Member {
            deliveries,
            working: Some(tokio::spawn(worker.run())),
        })
    }

    /// Has a group try again what it has parked up to now: its members get those events once more,
    /// beside all others. Tells how many events that are at most.
    ///
    /// # Errors
    /// Those of [`join`](Self::join), and those of the place where checkpoints are kept.
    pub async fn replay_parked(&self, topic: &str, group: &Group) -> Result<u64> {
        let info = self.get_topic(topic).await?;
        let key = key(topic, &group.name)?;
        let checkpoints: Arc<dyn Checkpoints> = match &group.checkpoints {
            Some(checkpoints) => Arc::clone(checkpoints),
            None => Arc::new(TopicCheckpoints::beside(self, topic).await?),
        };
        let parking = Parking::open(self, topic, &group.name).await?;
        parking.ask(&*checkpoints, &key, self.origin(&info)).await
    }
}

impl Member {
    /// Leaves the group: what was answered is recorded, and the partitions are free for others at once.
    /// Who drops a member does so too, in the background.
    ///
    /// # Errors
    /// None so far: what could not be recorded is delivered again.
    pub async fn leave(mut self) -> Result<()> {
        self.deliveries.close();
        // Deliveries on their way are put back.
        while self.deliveries.try_recv().is_ok() {}
        match self.working.take() {
            Some(working) => working.await.map_err(|_| Error::Closed),
            None => Ok(()),
        }
    }
}

impl Stream for Member {
    type Item = Result<Delivery>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(self.deliveries.poll_recv(context));
        Poll::Ready(item.map(|item| item.map(Delivery::taken)))
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").finish_non_exhaustive()
    }
}
