//! Asks a topic's repository for its state, wherever the topic is by now.

use crate::{
    context::Context,
    models::{Error, Result, StreamId},
    repository::TopicState,
};

/// The state of a topic, and of one of its streams.
pub(crate) async fn topic_state(
    context: &Context,
    topic: &str,
    stream: Option<&StreamId>,
) -> Result<TopicState> {
    let route = context.route(topic).await?;
    let before = route.topic.placement.storage;
    match route.repository.state(&route.topic.placement, stream).await {
        Ok(state) => {
            let route = context.follow(topic, route, state.sealed).await?;
            if route.topic.placement.storage == before {
                return Ok(state);
            }
            route.repository.state(&route.topic.placement, stream).await
        }
        Err(Error::TopicNotFound { .. }) => {
            let route = context.reroute(topic, &route, false).await?;
            route.repository.state(&route.topic.placement, stream).await
        }
        Err(error) => Err(error),
    }
}
