//! Deletes a stream by an event of the store's own; its history stays.

use std::sync::Arc;

use crate::{
    context::Context,
    models::{Error, Result, STREAM_DELETED, StreamId, StreamState},
    stream_change::{Change, change_stream},
};

pub(crate) async fn delete_stream(
    context: &Arc<Context>,
    topic: &str,
    stream: &str,
) -> Result<StreamState> {
    let _pass = context.enter_to("delete a stream")?;
    let stream = StreamId::new(stream)?;
    change_stream(context, topic, &stream, STREAM_DELETED, |name, state| {
        if !state.exists() {
            return Err(Error::StreamNotFound {
                topic: name.clone(),
                stream: stream.clone(),
            });
        }
        Ok(if state.deleted {
            Change::None
        } else {
            Change::Append
        })
    })
    .await
}
