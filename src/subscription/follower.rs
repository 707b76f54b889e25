//! The machine of a subscription: it reads what is recorded and waits for more, in turn.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt, stream::BoxStream};
use tokio::sync::OwnedSemaphorePermit;

use super::{
    backoff::Backoff,
    source::{Place, Source},
};
use crate::{
    detached::detached,
    models::{Error, Position, Result},
    repository::{Page, ReadPlan},
};

/// How many events are read at once by who has no permit to hold whole pages.
const PORTION: u64 = 64;
/// The first and the longest pause after a failure.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// What a subscription does next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Deliver these.
    Page(Page),
    /// All that is recorded was delivered.
    CaughtUp,
    /// More is recorded than was to be left undelivered, or nobody knows.
    FellBehind,
}

/// Follows a topic.
pub(crate) struct Follower {
    source: Arc<dyn Source>,
    /// Where the topic is; none where that has to be found out again.
    place: Option<Place>,
    /// What is still to be read: `after` moves on with each page.
    plan: ReadPlan,
    /// How many events may be undelivered before it counts as behind.
    behind: u64,
    live: bool,
    /// Where the topic is known to have more.
    head: Option<Position>,
    reading: Option<Reading>,
    /// Whether all was read, so that it is time to wait.
    idle: bool,
    retry: Backoff,
    failed: bool,
    ended: bool,
}

/// A read under way.
struct Reading {
    pages: BoxStream<'static, Result<Page>>,
    /// Where it began.
    after: Position,
    /// How many more events it may give; none where it has a permit to give all.
    left: Option<u64>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Follower {
    /// Follows the topic of `source` by `plan`, which is forward and without a limit.
    pub(crate) fn new(source: Arc<dyn Source>, plan: ReadPlan, behind: u64) -> Self {
        Self {
            source,
            place: None,
            plan,
            behind,
            live: false,
            head: None,
            reading: None,
            idle: false,
            retry: Backoff::new(RETRY.0, RETRY.1),
            failed: false,
            ended: false,
        }
    }

    /// The position up to which it has looked.
    pub(crate) const fn position(&self) -> Position {
        self.plan.after
    }

    /// Does the next thing; nothing after an error.
    pub(crate) async fn step(&mut self) -> Option<Result<Step>> {
        while !self.ended {
            // A topic in memory is read without ever waiting: others have their turn, too.
            tokio::task::consume_budget().await;
            match self.attempt().await {
                Ok(Some(step)) => return Some(Ok(step)),
                Ok(None) => {}
                Err(error) if error.is_retryable() => {
                    tracing::warn!(%error, position = %self.plan.after, "subscription interrupted; it goes on by itself");
                    self.reading = None;
                    self.place = None;
                    self.failed = true;
                    if std::mem::take(&mut self.live) {
                        return Some(Ok(Step::FellBehind));
                    }
                }
                Err(error) => {
                    self.ended = true;
                    self.reading = None;
                    return Some(Err(error));
                }
            }
        }
        None
    }

    async fn attempt(&mut self) -> Result<Option<Step>> {
        if std::mem::take(&mut self.failed) {
            let source = Arc::clone(&self.source);
            tokio::select! {
                () = tokio::time::sleep(self.retry.pause()) => {}
                () = source.closed() => {}
            }
        }
        let Some(place) = &self.place else {
            self.find().await?;
            return Ok(None);
        };
        if self.source.has_left(place) {
            self.place = None;
            self.reading = None;
            return Ok(None);
        }
        if self.reading.is_some() {
            self.read_on().await
        } else if self.idle {
            self.wait().await
        } else {
            self.begin();
            Ok(None)
        }
    }

    /// Finds out where the topic is.
    async fn find(&mut self) -> Result<()> {
        let (source, position) = (Arc::clone(&self.source), self.plan.after);
        let finding = async move {
            let place = source.locate().await?;
            let Place {
                repository,
                placement,
            } = &place;
            let (place, state) = match repository.state(placement, None).await {
                Err(Error::TopicNotFound { .. }) => {
                    let place = source.relocate(&place).await?;
                    let state = place.repository.state(&place.placement, None).await?;
                    (place, state)
                }
                state => (place.clone(), state?),
            };
            // Events with positions that were delivered may be gone, and others come in their place:
            // where a server came back from a backup, say.
            if state.head < position {
                return Err(Error::PositionAhead {
                    topic: place.placement.topic,
                    position,
                    head: state.head,
                });
            }
            Ok((place, state.head))
        };
        let (place, head) = detached(finding.boxed()).await?;
        self.place = Some(place);
        self.head = Some(head);
        self.idle = false;
        Ok(())
    }

    /// Begins to read what is recorded.
    fn begin(&mut self) {
        let Some(place) = &self.place else { return };
        let after = self.plan.after;
        let far = self
            .head
            .take()
            .is_none_or(|head| head.get().saturating_sub(after.get()) > PORTION);
        let permit = if far {
            Arc::clone(self.source.history()).try_acquire_owned().ok()
        } else {
            None
        };
        let left = if permit.is_some() {
            None
        } else {
            Some(PORTION)
        };
        let plan = ReadPlan {
            limit: left,
            ..self.plan.clone()
        };
        self.reading = Some(Reading {
            pages: place.repository.read(&place.placement, plan),
            after,
            left,
            _permit: permit,
        });
    }

    async fn read_on(&mut self) -> Result<Option<Step>> {
        let Some(reading) = &mut self.reading else {
            return Ok(None);
        };
        let after = reading.after;
        match reading.pages.next().await {
            Some(Ok(page)) => {
                self.retry.reset();
                if let Some(left) = &mut reading.left {
                    *left = left.saturating_sub(page.events.len() as u64);
                }
                let moved = page.looked_to > self.plan.after;
                self.plan.after = self.plan.after.max(page.looked_to);
                Ok((moved || !page.events.is_empty()).then_some(Step::Page(page)))
            }
            Some(Err(error @ Error::TopicNotFound { .. })) => self.gone(error).await,
            Some(Err(error)) => Err(error),
            None => {
                let all = reading.left != Some(0);
                self.reading = None;
                // After much, there may be much again: it is caught up when little was left to read.
                let little = self.plan.after.get().saturating_sub(after.get()) <= self.behind;
                self.idle = all && (little || self.live);
                let caught_up = self.idle && !self.live;
                self.live |= caught_up;
                Ok(caught_up.then_some(Step::CaughtUp))
            }
        }
    }

    /// Waits until there is more, or the topic is elsewhere.
    async fn wait(&mut self) -> Result<Option<Step>> {
        let Some(place) = self.place.clone() else {
            return Ok(None);
        };
        let (source, position) = (Arc::clone(&self.source), self.plan.after);
        let waiting = async move {
            tokio::select! {
                head = place.repository.wait_beyond(&place.placement, position) => head.map(Some),
                () = source.left(&place) => Ok(None),
            }
        };
        // Whoever has the stream may not poll it again for long, or ever.
        let head = match detached(waiting.boxed()).await {
            Err(error @ Error::TopicNotFound { .. }) => return self.gone(error).await,
            waited => waited?,
        };
        let Some(head) = head else {
            self.place = None;
            return Ok(None);
        };
        self.retry.reset();
        self.head = Some(head);
        self.idle = false;
        let behind = head.get().saturating_sub(position.get()) > self.behind;
        let fell = behind && std::mem::take(&mut self.live);
        Ok(fell.then_some(Step::FellBehind))
    }

    /// The repository says that the topic is not there.
    async fn gone(&mut self, error: Error) -> Result<Option<Step>> {
        self.reading = None;
        let Some(place) = self.place.take() else {
            return Err(error);
        };
        let source = Arc::clone(&self.source);
        let finding = async move { source.relocate(&place).await };
        self.place = Some(detached(finding.boxed()).await?);
        self.idle = false;
        Ok(None)
    }
}
