//! Appends events: checks them, finds the topic's repository, and leaves the decision to it.

mod batch;

use std::sync::Arc;

use crate::{
    context::Context,
    models::{Append, AppendReceipt, Error, Result},
    move_topic::reroute,
    stream_change::REROUTES,
};

pub(crate) async fn append_events(
    context: &Arc<Context>,
    topic: &str,
    append: Append,
) -> Result<AppendReceipt> {
    let _pass = context.enter_to("append events")?;
    let batch = Arc::new(batch::check(append, &context.limits)?);
    let mut route = context.route(topic).await?;
    for _ in 0..REROUTES {
        let placement = &route.topic.placement;
        match route.repository.append(placement, Arc::clone(&batch)).await {
            Err(error @ (Error::TopicSealed { .. } | Error::TopicNotFound { .. })) => {
                route = reroute(context, topic, &route, error).await?;
            }
            appended => return appended,
        }
    }
    route.repository.append(&route.topic.placement, batch).await
}
