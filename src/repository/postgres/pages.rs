//! The pages of a read as a stream.

use std::sync::Arc;

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tokio::sync::watch;

use super::{reader::Reader, shared::Shared, topics::Topics};
use crate::{
    models::{Error, Placement, Result},
    repository::{Page, ReadPlan},
};

/// What a read needs to begin.
pub(super) struct Begin {
    pub(super) shared: Arc<Shared>,
    pub(super) topics: Arc<Topics>,
    pub(super) placement: Placement,
    pub(super) closed: watch::Receiver<bool>,
}

enum State {
    /// To be begun, unless the repository was closed before.
    New(Result<()>, ReadPlan),
    Under(Box<Reader>),
    Over,
}

/// The pages of a read, which begins at the first poll if the repository is `open`.
pub(super) fn pages(
    open: Result<()>,
    begin: Begin,
    plan: ReadPlan,
) -> BoxStream<'static, Result<Page>> {
    let new = (State::New(open, plan), begin);
    stream::unfold(new, |(state, begin)| async move {
        let (page, state) = match state {
            State::Over => return None,
            State::New(open, plan) => match begin.reader(open, plan).await {
                Ok(reader) => begin.next(Box::new(reader)).await,
                Err(error) => (Err(error), State::Over),
            },
            State::Under(reader) => begin.next(reader).await,
        };
        let page = begin.topics.settled(&begin.placement, page).await;
        Some((page, (state, begin)))
    })
    .boxed()
}

impl Begin {
    async fn reader(&self, open: Result<()>, plan: ReadPlan) -> Result<Reader> {
        open?;
        let topic = self.topics.open(&self.placement).await?;
        Reader::begin(Arc::clone(&self.shared), Arc::clone(&topic.core), plan).await
    }

    async fn next(&self, mut reader: Box<Reader>) -> (Result<Page>, State) {
        if *self.closed.borrow() {
            return (Err(Error::Closed), State::Over);
        }
        let page = reader.next().await;
        let over = page.is_err() || reader.done;
        let state = if over {
            State::Over
        } else {
            State::Under(reader)
        };
        (page, state)
    }
}
