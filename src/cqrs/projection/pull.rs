//! Takes what a subscription or a consumer has ready, in batches, and notices where it goes on without
//! giving anything.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;

use crate::{Consumer, Error, Position, RecordedEvent, Result, Subscription};

/// What gives events of one topic.
pub(super) trait Source: Stream<Item = Result<RecordedEvent>> + Unpin + Send {
    /// Up to where everything was given.
    fn position(&self) -> Position;

    /// Whether all that is recorded was given.
    fn is_caught_up(&self) -> bool;
}

impl Source for Subscription {
    fn position(&self) -> Position {
        self.position()
    }

    fn is_caught_up(&self) -> bool {
        self.is_caught_up()
    }
}

impl Source for Consumer {
    fn position(&self) -> Position {
        self.position()
    }

    fn is_caught_up(&self) -> bool {
        self.is_caught_up()
    }
}

/// Batches of what a source gives.
#[derive(Debug)]
pub(super) struct Pull<S> {
    source: S,
    /// What was told of it last.
    known: (Position, bool),
    /// An error that came behind events.
    failed: Option<Error>,
}

impl<S: Source> Pull<S> {
    pub(super) fn new(source: S) -> Self {
        Self {
            known: (source.position(), false),
            source,
            failed: None,
        }
    }

    pub(super) const fn source(&mut self) -> &mut S {
        &mut self.source
    }

    pub(super) fn into_source(self) -> S {
        self.source
    }

    pub(super) fn position(&self) -> Position {
        self.source.position()
    }

    pub(super) fn is_caught_up(&self) -> bool {
        self.source.is_caught_up()
    }

    /// Waits for events, and takes up to `most` that are there; none where it has only gone on.
    pub(super) async fn next(&mut self, batch: &mut Vec<RecordedEvent>, most: usize) -> Result<()> {
        poll_fn(|context| self.poll_next(context, batch, most)).await
    }

    pub(super) fn poll_next(
        &mut self,
        context: &mut Context<'_>,
        batch: &mut Vec<RecordedEvent>,
        most: usize,
    ) -> Poll<Result<()>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Err(error));
        }
        let before = batch.len();
        while batch.len() < most {
            match Pin::new(&mut self.source).poll_next(context) {
                Poll::Ready(Some(Ok(event))) => batch.push(event),
                Poll::Ready(ended) => {
                    let error = match ended {
                        Some(Err(error)) => error,
                        _ => Error::Closed,
                    };
                    if batch.len() == before {
                        return Poll::Ready(Err(error));
                    }
                    self.failed = Some(error);
                    break;
                }
                Poll::Pending => {
                    let now = (self.position(), self.is_caught_up());
                    if batch.len() == before && now == self.known {
                        return Poll::Pending;
                    }
                    break;
                }
            }
        }
        self.known = (self.position(), self.is_caught_up());
        Poll::Ready(Ok(()))
    }
}
