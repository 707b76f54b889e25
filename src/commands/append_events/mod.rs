//! Appends events: checks them, finds the topic's repository, and leaves the decision to it.

mod batch;

use std::sync::Arc;

use crate::{
    context::Context,
    models::{Append, AppendReceipt, Error, Result},
};

pub(crate) async fn append_events(
    context: &Context,
    topic: &str,
    append: Append,
) -> Result<AppendReceipt> {
    let _pass = context.enter_to("append events")?;
    let batch = Arc::new(batch::check(append, &context.limits)?);
    let route = context.route(topic).await?;
    let appended = route
        .repository
        .append(&route.topic.placement, Arc::clone(&batch))
        .await;
    match appended {
        Err(error @ (Error::TopicSealed { .. } | Error::TopicNotFound { .. })) => {
            let route = context.reroute(topic, &route, error).await?;
            route.repository.append(&route.topic.placement, batch).await
        }
        appended => appended,
    }
}
