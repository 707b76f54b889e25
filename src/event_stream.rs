//! Events as a stream.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    vec,
};

use futures_core::Stream;
use futures_util::stream::BoxStream;

use crate::{
    models::{Position, RecordedEvent, Result},
    repository::Page,
};

/// Events of a topic, one after the other, in the order of the read.
///
/// Memory is bounded, whatever the size of the topic: one page is held, and up to three are read
/// ahead. The stream ends after the first error.
pub struct EventStream {
    pages: BoxStream<'static, Result<Page>>,
    events: vec::IntoIter<RecordedEvent>,
    /// Up to where the read has looked when the events in hand are given.
    page_looked_to: Position,
    looked_to: Position,
    ended: bool,
}

impl EventStream {
    pub(crate) fn new(pages: BoxStream<'static, Result<Page>>) -> Self {
        Self {
            pages,
            events: Vec::new().into_iter(),
            page_looked_to: Position::START,
            looked_to: Position::START,
            ended: false,
        }
    }

    /// The position up to which the read has looked, whether events matched there or not;
    /// [`Position::START`] before the first event was taken.
    ///
    /// When a forward stream without a limit has ended, this is the topic's last position at the
    /// moment when the read began. So a decision made on what was read can be guarded by
    /// [`Append::unless`](crate::Append::unless) with the same filter and this position.
    #[must_use]
    pub const fn looked_to(&self) -> Position {
        self.looked_to
    }
}

impl Stream for EventStream {
    type Item = Result<RecordedEvent>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(event) = self.events.next() {
                self.looked_to = if self.events.len() == 0 {
                    self.page_looked_to
                } else {
                    event.position
                };
                return Poll::Ready(Some(Ok(event)));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            match ready!(self.pages.as_mut().poll_next(context)) {
                Some(Ok(page)) => {
                    self.page_looked_to = page.looked_to;
                    if page.events.is_empty() {
                        self.looked_to = page.looked_to;
                    }
                    self.events = page.events.into_iter();
                }
                Some(Err(error)) => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(error)));
                }
                None => self.ended = true,
            }
        }
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream")
            .field("looked_to", &self.looked_to)
            .finish_non_exhaustive()
    }
}
