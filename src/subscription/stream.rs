//! Subscriptions as users hold them.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    vec,
};

use futures_core::Stream;
use futures_util::stream::{self, BoxStream, StreamExt};

use super::follower::{Follower, Step};
use crate::models::{Position, RecordedEvent, Result, Signal, TopicName};

/// Events of a topic as they come: first those that are recorded, then each new one, each once and in
/// order. It is a stream that does not end while the topic is there.
///
/// **Pull-based**: nothing is read that was not asked for, but one page. Whoever sleeps for an hour
/// goes on where he was.
///
/// **Durable**: what is delivered is recorded as [`append_events`](crate::EventStore::append_events)
/// promises it for the topic.
///
/// **Lost connections** and restarts of a server interrupt it; it tries again by itself, in growing
/// pauses of up to some seconds, and then goes on where it was.
///
/// **The end**: an error is the last item: [`TopicNotFound`](crate::Error::TopicNotFound) where the
/// topic was deleted, also where another one has its name now; [`Closed`](crate::Error::Closed) where
/// the store was closed; [`PositionAhead`](crate::Error::PositionAhead) where events that were
/// delivered are not recorded any more; [`Corruption`](crate::Error::Corruption).
///
/// To poll it is cancel-safe: a `next()` that is dropped loses nothing.
pub struct Subscription {
    topic: TopicName,
    steps: BoxStream<'static, Result<Step>>,
    events: vec::IntoIter<RecordedEvent>,
    /// Up to where all has been looked at when the events in hand are given.
    page_position: Position,
    position: Position,
    caught_up: bool,
    ended: bool,
}

impl Subscription {
    pub(crate) fn new(topic: TopicName, follower: Follower) -> Self {
        let position = follower.position();
        let steps = stream::unfold(follower, |mut follower| async move {
            follower.step().await.map(|step| (step, follower))
        });
        Self {
            topic,
            steps: steps.boxed(),
            events: Vec::new().into_iter(),
            page_position: position,
            position,
            caught_up: false,
            ended: false,
        }
    }

    /// The topic.
    #[must_use]
    pub const fn topic(&self) -> &TopicName {
        &self.topic
    }

    /// The position up to which everything that matches was given, the event given last included.
    /// It moves on also where nothing matches. A subscription [after](crate::Subscribe::after) this
    /// position goes on where this one is.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }

    /// Whether it has caught up, and not fallen behind since.
    #[must_use]
    pub const fn is_caught_up(&self) -> bool {
        self.caught_up
    }

    /// The same with what it tells beside the events.
    #[must_use]
    pub const fn signals(self) -> Signals {
        Signals(self)
    }

    fn poll_signal(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Signal>>> {
        loop {
            if let Some(event) = self.events.next() {
                self.position = if self.events.len() == 0 {
                    self.page_position
                } else {
                    event.position
                };
                return Poll::Ready(Some(Ok(Signal::Event(event))));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            let signal = match ready!(self.steps.as_mut().poll_next(context)) {
                Some(Ok(Step::Page(page))) => {
                    self.page_position = page.looked_to;
                    if page.events.is_empty() {
                        self.position = page.looked_to;
                    }
                    self.events = page.events.into_iter();
                    continue;
                }
                Some(Ok(Step::CaughtUp)) => {
                    self.caught_up = true;
                    Ok(Signal::CaughtUp(self.position))
                }
                Some(Ok(Step::FellBehind)) => {
                    self.caught_up = false;
                    Ok(Signal::FellBehind(self.position))
                }
                Some(Err(error)) => {
                    (self.ended, self.caught_up) = (true, false);
                    Err(error)
                }
                None => {
                    self.ended = true;
                    return Poll::Ready(None);
                }
            };
            return Poll::Ready(Some(signal));
        }
    }
}

impl Stream for Subscription {
    type Item = Result<RecordedEvent>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            return Poll::Ready(match ready!(self.poll_signal(context)) {
                Some(Ok(Signal::Event(event))) => Some(Ok(event)),
                Some(Ok(Signal::CaughtUp(_) | Signal::FellBehind(_))) => continue,
                Some(Err(error)) => Some(Err(error)),
                None => None,
            });
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("topic", &self.topic)
            .field("position", &self.position)
            .field("caught_up", &self.caught_up)
            .finish_non_exhaustive()
    }
}

/// A [`Subscription`] that tells also when it has caught up, and when it has fallen behind.
#[derive(Debug)]
pub struct Signals(Subscription);

impl Signals {
    /// The subscription itself.
    #[must_use]
    pub const fn subscription(&self) -> &Subscription {
        &self.0
    }

    /// The position of the [subscription](Subscription::position).
    #[must_use]
    pub const fn position(&self) -> Position {
        self.0.position
    }
}

impl Stream for Signals {
    type Item = Result<Signal>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_signal(context)
    }
}
