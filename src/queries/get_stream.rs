//! The state of one stream.

use crate::{
    context::Context,
    models::{Result, StreamId, StreamState},
    topic_state::topic_state,
};

pub(crate) async fn get_stream(
    context: &Context,
    topic: &str,
    stream: &str,
) -> Result<StreamState> {
    let _pass = context.enter()?;
    let stream = StreamId::new(stream)?;
    Ok(topic_state(context, topic, Some(&stream))
        .await?
        .stream
        .unwrap_or_default())
}
