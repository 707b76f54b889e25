//! Brings a deleted stream back by an event of the store's own.

use std::sync::Arc;

use crate::{
    context::Context,
    models::{Error, Result, STREAM_RESTORED, StreamId, StreamState},
    stream_change::{Change, change_stream},
};

pub(crate) async fn restore_stream(
    context: &Arc<Context>,
    topic: &str,
    stream: &str,
) -> Result<StreamState> {
    let _pass = context.enter_to("restore a stream")?;
    let stream = StreamId::new(stream)?;
    change_stream(context, topic, &stream, STREAM_RESTORED, |name, state| {
        if !state.exists() {
            return Err(Error::StreamNotFound {
                topic: name.clone(),
                stream: stream.clone(),
            });
        }
        Ok(if state.deleted {
            Change::Append
        } else {
            Change::None
        })
    })
    .await
}
