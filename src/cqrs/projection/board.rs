//! Where a projection tells how far it has come, and where others wait for that.

use std::{
    error::Error as StdError,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use crate::{Error, EventStore, Position, Result};

/// Over how long a rate is measured, at least.
const WINDOW: Duration = Duration::from_secs(2);

/// Why a projection tries again, or has stopped.
pub type Cause = Arc<dyn StdError + Send + Sync + 'static>;

/// What a projection does.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ProjectionState {
    /// It begins, or another instance of it is at work, and this one stands by.
    Waiting,
    /// It follows its topics.
    Running,
    /// Something has failed, and it tries again.
    Retrying(Cause),
    /// It has ended; with a cause where nobody asked for that.
    Stopped(Option<Cause>),
}

/// How far a projection has come in a topic.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TopicProgress {
    /// The topic.
    pub topic: String,
    /// The position up to which everything is in the read model.
    pub position: Position,
    /// The topic's last position when this was asked; none where the topic could not be reached.
    pub head: Option<Position>,
    /// How many events were applied since the projection was started here.
    pub applied: u64,
    /// How many positions it goes on in a second, over the last seconds.
    pub rate: f64,
}

impl TopicProgress {
    /// How many positions it is behind the topic.
    #[must_use]
    pub fn lag(&self) -> Option<u64> {
        let head = self.head?;
        Some(head.get().saturating_sub(self.position.get()))
    }
}

/// How far a projection has come, for all who want to know.
#[derive(Debug)]
pub(super) struct Board {
    name: String,
    told: watch::Sender<Told>,
}

#[derive(Debug)]
struct Told {
    state: ProjectionState,
    last_error: Option<Cause>,
    topics: Vec<Place>,
    /// Whether another generation has taken the place of this one.
    replaced: bool,
    /// How many events wait in dead-letter topics.
    parked: u64,
}

#[derive(Debug)]
struct Place {
    topic: String,
    position: Position,
    applied: u64,
    caught_up: bool,
    rate: Rate,
}

/// A position in each of some topics.
pub(super) type Positions = Vec<(String, Position)>;

/// How a wait has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waited {
    There,
    /// It has to go on with the generation that has taken the place.
    Replaced,
}

impl Board {
    pub(super) fn new(name: &str, topics: &[String]) -> Arc<Self> {
        let place = |topic: &String| Place {
            topic: topic.clone(),
            position: Position::START,
            applied: 0,
            caught_up: false,
            rate: Rate::default(),
        };
        let told = Told {
            state: ProjectionState::Waiting,
            last_error: None,
            topics: topics.iter().map(place).collect(),
            replaced: false,
            parked: 0,
        };
        Arc::new(Self {
            name: name.to_owned(),
            told: watch::Sender::new(told),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The topic of this number has come so far, with so many more events.
    pub(super) fn moved(&self, number: usize, position: Position, applied: usize, caught_up: bool) {
        self.told.send_modify(|told| {
            if let Some(place) = told.topics.get_mut(number) {
                place.rate.looked(Instant::now(), place.position);
                place.position = position;
                place.applied += applied as u64;
                place.caught_up = caught_up;
            }
        });
    }

    /// The topic of this number is begun after a position.
    pub(super) fn begins(&self, number: usize, position: Position) {
        self.told.send_modify(|told| {
            if let Some(place) = told.topics.get_mut(number) {
                place.position = position;
                place.caught_up = false;
                place.rate = Rate::default();
            }
        });
    }

    /// Tells what is done, unless it has stopped.
    pub(super) fn state(&self, state: ProjectionState) {
        self.told.send_if_modified(|told| {
            let stopped = matches!(told.state, ProjectionState::Stopped(_));
            if !stopped {
                if let ProjectionState::Retrying(cause) | ProjectionState::Stopped(Some(cause)) =
                    &state
                {
                    told.last_error = Some(Arc::clone(cause));
                }
                told.state = state;
            }
            !stopped
        });
    }

    /// Tells that another generation has taken its place.
    pub(super) fn replaced(&self) {
        self.told.send_modify(|told| told.replaced = true);
    }

    /// So many events are parked.
    pub(super) fn parked(&self, change: impl FnOnce(u64) -> u64) {
        self.told
            .send_modify(|told| told.parked = change(told.parked));
    }

    pub(super) fn count_of_parked(&self) -> u64 {
        self.told.borrow().parked
    }

    pub(super) fn current_state(&self) -> ProjectionState {
        self.told.borrow().state.clone()
    }

    pub(super) fn is_stopped(&self) -> bool {
        matches!(self.told.borrow().state, ProjectionState::Stopped(_))
    }

    pub(super) fn positions(&self) -> Positions {
        let told = self.told.borrow();
        let place = |place: &Place| (place.topic.clone(), place.position);
        told.topics.iter().map(place).collect()
    }

    /// Waits until it has come to a position of a topic.
    pub(super) async fn reach(&self, topic: &str, position: Position) -> Result<Waited> {
        let unknown = || Error::InvalidConfig {
            key: "topic".to_owned(),
            reason: format!("the projection {:?} does not follow {topic:?}", self.name),
        };
        let number = {
            let told = self.told.borrow();
            let number = told.topics.iter().position(|place| place.topic == topic);
            number.ok_or_else(unknown)?
        };
        let is_there = |told: &Told| {
            let place = told.topics.get(number);
            place.is_some_and(|place| place.position >= position)
        };
        self.until(is_there).await
    }

    /// Waits until it has come to a position of each of its topics.
    pub(super) async fn reach_all(&self, targets: &[(String, Position)]) -> Result<Waited> {
        let is_there = |told: &Told| reached(&told.topics, targets);
        self.until(is_there).await
    }

    /// Waits until it has caught up with all of its topics.
    pub(super) async fn caught_up(&self) -> Result<Waited> {
        let is_there = |told: &Told| told.topics.iter().all(|place| place.caught_up);
        self.until(is_there).await
    }

    /// Waits until it has stopped, or was replaced.
    pub(super) async fn stopped(&self) -> Waited {
        self.until(|_| false).await.unwrap_or(Waited::There)
    }

    pub(super) fn last_error(&self) -> Option<Cause> {
        self.told.borrow().last_error.clone()
    }

    async fn until(&self, is_there: impl Fn(&Told) -> bool) -> Result<Waited> {
        let ends = |told: &Told| matches!(told.state, ProjectionState::Stopped(_));
        let mut hears = self.told.subscribe();
        let heard = hears.wait_for(|told| is_there(told) || told.replaced || ends(told));
        let Ok(told) = heard.await else {
            return Err(stopped(&self.name, None));
        };
        // First: where this one goes on by itself for a moment, its place counts no more.
        if told.replaced {
            return Ok(Waited::Replaced);
        }
        if is_there(&told) {
            return Ok(Waited::There);
        }
        match &told.state {
            ProjectionState::Stopped(cause) => Err(stopped(&self.name, cause.clone())),
            _ => Ok(Waited::There),
        }
    }

    /// How far it has come in each topic, beside how far the topic is.
    pub(super) async fn progress(&self, store: &EventStore) -> Vec<TopicProgress> {
        let mut progress: Vec<TopicProgress> = {
            let told = self.told.borrow();
            let place = |place: &Place| TopicProgress {
                topic: place.topic.clone(),
                position: place.position,
                head: None,
                applied: place.applied,
                rate: place.rate.now(Instant::now(), place.position),
            };
            told.topics.iter().map(place).collect()
        };
        for one in &mut progress {
            one.head = store.get_latest_version(&one.topic).await.ok();
        }
        progress
    }
}

/// Where each of some topics ends.
pub(super) async fn heads(store: &EventStore, topics: &[String]) -> Result<Positions> {
    let mut heads = Vec::with_capacity(topics.len());
    for topic in topics {
        heads.push((topic.clone(), store.get_latest_version(topic).await?));
    }
    Ok(heads)
}

/// What is told who waits for a projection that has stopped.
pub(super) fn stopped(name: &str, cause: Option<Cause>) -> Error {
    Error::ProjectionStopped {
        projection: name.to_owned(),
        source: cause.map(|cause| -> crate::BoxError { Box::new(cause) }),
    }
}

fn reached(places: &[Place], targets: &[(String, Position)]) -> bool {
    targets.iter().all(|(topic, position)| {
        let place = places.iter().find(|place| place.topic == *topic);
        place.is_none_or(|place| place.position >= *position)
    })
}

/// How fast a position goes on, from one that was seen some seconds ago.
#[derive(Debug, Default)]
struct Rate {
    before: Option<(Instant, Position)>,
    since: Option<(Instant, Position)>,
}

impl Rate {
    /// Sees a position from which it goes on.
    fn looked(&mut self, now: Instant, position: Position) {
        let young = |(at, _): &(Instant, Position)| now.duration_since(*at) < WINDOW;
        if self.since.as_ref().is_none_or(|since| !young(since)) {
            self.before = self.since;
            self.since = Some((now, position));
        }
    }

    fn now(&self, now: Instant, position: Position) -> f64 {
        let old = |(at, _): &(Instant, Position)| now.duration_since(*at) >= WINDOW;
        let Some((at, from)) = self.since.filter(old).or(self.before).or(self.since) else {
            return 0.0;
        };
        let seconds = now.duration_since(at).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a rate is no exact figure")]
        let positions = position.get().saturating_sub(from.get()) as f64;
        positions / seconds.max(0.001)
    }
}
