//! Events as a stream of lines, in bounded memory.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{accept::Format, read::Wanted};
use crate::{
    Error, EventStream,
    json::write_event,
    server::{
        access::{Action, Caller},
        problem::Problem,
        state::App,
    },
};

/// How many bytes are sent together, about.
const CHUNK: usize = 64 << 10;

/// Answers with the events as lines.
///
/// What goes wrong before the first chunk is a problem. After that the answer is broken off, which
/// every client sees: it has no end.
pub(super) async fn stream(
    app: &App,
    caller: Caller,
    wanted: &Wanted,
) -> Result<Response, Problem> {
    let mut lines = Lines {
        app: Arc::clone(app),
        topic: wanted.topic.clone(),
        caller,
        events: app.store.read_events(&wanted.topic, wanted.read()),
    };
    let first = lines.chunk().await?;
    let begin = stream::iter(first.clone().map(Ok));
    let rest = stream::try_unfold(lines, |mut lines| async move {
        let chunk = lines.chunk().await?;
        Ok::<_, Error>(chunk.map(|chunk| (chunk, lines)))
    });
    // A first chunk that is not there is the end.
    let rest = rest.take(if first.is_some() { usize::MAX } else { 0 });
    let logged = rest.inspect_err(|error| tracing::warn!(%error, "an answer is broken off"));
    let mut response = Body::from_stream(begin.chain(logged)).into_response();
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static(Format::Lines.media_type());
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

struct Lines {
    app: App,
    topic: String,
    caller: Caller,
    events: EventStream,
}

impl Lines {
    /// The next lines; none at the end.
    async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        // A long answer outlives what the caller may do.
        if !self.caller.still_may(Action::Read, &self.topic) {
            return Err(Error::TopicNotFound {
                topic: self.topic.clone(),
            });
        }
        let mut count = 0;
        let mut chunk = Vec::with_capacity(CHUNK + CHUNK / 8);
        while chunk.len() < CHUNK {
            let Some(event) = self.events.try_next().await? else {
                break;
            };
            write_event(&mut chunk, &event);
            chunk.push(b'\n');
            count += 1;
        }
        self.app.metrics.read(count);
        Ok((!chunk.is_empty()).then(|| Bytes::from(chunk)))
    }
}
