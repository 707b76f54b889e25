//! The pages of a read as a stream.

use std::sync::Arc;

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tokio::sync::watch;

use super::{reader::Reader, shared::Shared, topic::Core};
use crate::{
    models::{Error, Result},
    repository::{Page, ReadPlan},
};

/// What a read needs to begin.
pub(super) struct Start {
    pub(super) shared: Arc<Shared>,
    pub(super) core: Arc<Core>,
}

/// The pages of a read. `start` is asked for at the first poll.
pub(super) fn pages(
    start: impl Future<Output = Result<Start>> + Send + 'static,
    plan: ReadPlan,
    closed: watch::Receiver<bool>,
) -> BoxStream<'static, Result<Page>> {
    enum State<F> {
        New(F, ReadPlan),
        Under(Box<Reader>),
        Over,
    }
    let new = State::New(Box::pin(start), plan);
    stream::unfold(new, move |state| {
        let closed = closed.clone();
        async move {
            let mut reader = match state {
                State::Over => return None,
                State::Under(reader) => reader,
                State::New(start, plan) => match begin(start, plan).await {
                    Ok(reader) => Box::new(reader),
                    Err(error) => return Some((Err(error), State::Over)),
                },
            };
            let page = if *closed.borrow() {
                Err(Error::Closed)
            } else {
                reader.next().await
            };
            let over = page.is_err() || reader.done;
            Some((
                page,
                if over {
                    State::Over
                } else {
                    State::Under(reader)
                },
            ))
        }
    })
    .boxed()
}

async fn begin(start: impl Future<Output = Result<Start>>, plan: ReadPlan) -> Result<Reader> {
    let Start { shared, core } = start.await?;
    Reader::begin(shared, core, plan).await
}
