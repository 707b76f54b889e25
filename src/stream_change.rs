//! Appends one of the store's own events to a stream, if the stream is in the state for it.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    context::{Context, Route},
    models::{
        ContentType, Error, EventType, ExpectedVersion, NewEvent, Result, StreamId, StreamState,
        Tags, TopicName,
    },
    move_topic::reroute,
    repository::{AppendBatch, BatchEvent},
};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Append,
    None,
}

/// How often the change is decided anew because others were faster.
const TRIES: usize = 1000;

/// How often it follows a topic that moves, or comes back.
pub(crate) const REROUTES: usize = 8;

/// Appends an event of `event_type` to the stream if `decide` says so, and returns the state of
/// the stream then.
pub(crate) async fn change_stream(
    context: &Arc<Context>,
    topic: &str,
    stream: &StreamId,
    event_type: &str,
    decide: impl Fn(&TopicName, StreamState) -> Result<Change>,
) -> Result<StreamState> {
    let mut route = context.route(topic).await?;
    let mut rerouted = 0;
    let id = NewEvent::json_text(event_type, "{}").id;
    for _ in 0..TRIES {
        match try_change(&route, stream, event_type, id, &decide).await {
            Err(Error::WrongExpectedVersion { .. } | Error::StreamDeleted { .. }) => {}
            Err(error @ (Error::TopicSealed { .. } | Error::TopicNotFound { .. }))
                if rerouted < REROUTES =>
            {
                route = reroute(context, topic, &route, error).await?;
                rerouted += 1;
            }
            done => return done,
        }
    }
    Err(Error::RepositoryUnavailable {
        repository: topic.to_owned(),
        reason: format!("others changed the stream {TRIES} times in a row; try again"),
        source: None,
    })
}

async fn try_change(
    route: &Route,
    stream: &StreamId,
    event_type: &str,
    id: uuid::Uuid,
    decide: impl Fn(&TopicName, StreamState) -> Result<Change>,
) -> Result<StreamState> {
    let placement = &route.topic.placement;
    let found = route.repository.state(placement, Some(stream)).await?;
    if found.sealed {
        // The topic may be deleted or elsewhere by now, so this state decides nothing.
        return Err(Error::TopicSealed {
            topic: placement.topic.clone(),
        });
    }
    let state = found.stream.unwrap_or_default();
    if decide(&placement.topic, state)? == Change::None {
        return Ok(state);
    }
    let event = BatchEvent {
        id,
        stream: stream.clone(),
        event_type: EventType::new(event_type)?,
        payload: Bytes::from_static(b"{}"),
        content_type: ContentType::JSON,
        metadata: Bytes::new(),
        tags: Tags::default(),
    };
    let batch = AppendBatch {
        stream: stream.clone(),
        expected: ExpectedVersion::Exact(state.version),
        condition: None,
        events: vec![event],
        beyond: None,
    };
    let receipt = route.repository.append(placement, Arc::new(batch)).await?;
    Ok(StreamState::new(receipt.version, !state.deleted))
}
