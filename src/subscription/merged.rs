//! Subscriptions of several topics as one.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use futures_util::stream::SelectAll;

use super::stream::Subscription;
use crate::models::{Position, RecordedEvent, Result, TopicName};

/// Events of several topics as they come: those of each topic in order, and no order between topics.
/// Each event names its topic.
///
/// An error ends the subscription of one topic, which [`ended`](Self::ended) names then; the others go
/// on. The stream ends when all have ended.
pub struct MergedSubscription {
    members: SelectAll<Member>,
    ended: Vec<(TopicName, Position)>,
}

/// One topic. It gives its name and position with its last item, an error.
struct Member(Subscription);

impl MergedSubscription {
    pub(crate) fn new(subscriptions: impl IntoIterator<Item = Subscription>) -> Self {
        Self {
            members: subscriptions.into_iter().map(Member).collect(),
            ended: Vec::new(),
        }
    }

    /// The topics that go on, each with the position up to which everything that matches was given.
    #[must_use]
    pub fn positions(&self) -> Vec<(TopicName, Position)> {
        let place = |member: &Member| (member.0.topic().clone(), member.0.position());
        self.members.iter().map(place).collect()
    }

    /// The topics that have ended, in the order in which they have, each with its last position. The
    /// last of them is that of the error that was given last.
    #[must_use]
    pub fn ended(&self) -> &[(TopicName, Position)] {
        &self.ended
    }

    /// Whether every topic that goes on has caught up.
    #[must_use]
    pub fn is_caught_up(&self) -> bool {
        self.members.iter().all(|member| member.0.is_caught_up())
    }
}

impl Stream for Member {
    type Item = (Result<RecordedEvent>, Option<(TopicName, Position)>);

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(Pin::new(&mut self.0).poll_next(context));
        Poll::Ready(item.map(|item| {
            let last = item.is_err();
            let place = last.then(|| (self.0.topic().clone(), self.0.position()));
            (item, place)
        }))
    }
}

impl Stream for MergedSubscription {
    type Item = Result<RecordedEvent>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(Pin::new(&mut self.members).poll_next(context));
        Poll::Ready(item.map(|(item, ended)| {
            self.ended.extend(ended);
            item
        }))
    }
}

impl fmt::Debug for MergedSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MergedSubscription")
            .field("positions", &self.positions())
            .field("ended", &self.ended)
            .finish()
    }
}
