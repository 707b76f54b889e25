//! Long polls: an answer that waits until there is something to answer.

use std::time::Duration;

use futures_util::StreamExt as _;

use super::{answer::Refusal, asked::Asked, names::recorded_stream, stream::topic_of};
use crate::{
    Error, Subscribe, Subscription,
    server::{
        access::{Action, Caller},
        state::App,
    },
};

/// What a request waits for, from a moment before it looks.
pub(super) struct Waiting<'a> {
    app: &'a App,
    longest: Duration,
    new_events: Option<Subscription>,
}

impl<'a> Waiting<'a> {
    /// Begins before the stream is looked at, so that nothing is recorded in between.
    pub(super) async fn begin(
        app: &'a App,
        caller: &Caller,
        asked: &Asked,
        stream: &str,
    ) -> Result<Self, Refusal> {
        let Some(longest) = asked.long_poll()? else {
            return Ok(Self {
                app,
                longest: Duration::ZERO,
                new_events: None,
            });
        };
        let topic = topic_of(app, asked, stream).await?;
        caller.may(Action::Read, &topic)?;
        let from_now = Subscribe::from_now().stream(recorded_stream(stream));
        let new_events = match app.store.subscribe(&topic, from_now).await {
            Ok(subscription) => Some(subscription),
            Err(Error::TopicNotFound { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        Ok(Self {
            app,
            longest,
            new_events,
        })
    }

    /// Waits for an event, and tells whether it is worth to look again.
    pub(super) async fn for_more(self) -> bool {
        let Some(mut new_events) = self.new_events else {
            return false;
        };
        let mut stopping = self.app.stopping.subscribe();
        tokio::select! {
            event = new_events.next() => event.is_some(),
            () = tokio::time::sleep(self.longest) => false,
            _ = stopping.wait_for(|stopping| *stopping) => false,
        }
    }
}
