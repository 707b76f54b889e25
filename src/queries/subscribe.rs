//! Events as they come.

use std::sync::Arc;

use crate::{
    context::Context,
    models::{Begin, Error, Position, Result, StreamId, Subscribe, SubscribeParts},
    repository::ReadPlan,
    subscription::{Follower, MergedSubscription, Subscription, TopicSource},
};

pub(crate) async fn subscribe(
    context: &Arc<Context>,
    topic: &str,
    subscribe: Subscribe,
) -> Result<Subscription> {
    let _pass = context.enter()?;
    let SubscribeParts {
        from,
        stream,
        filter,
        behind,
    } = subscribe.into_parts();
    let stream = stream.map(StreamId::new).transpose()?;
    let route = context.route_to_read(topic).await?;
    let placement = &route.topic.placement;
    let head = route.repository.state(placement, None).await?.head;
    let after = match from {
        Begin::Now => head,
        Begin::After(position) if position <= head || position == Position::START => position,
        Begin::After(position) => {
            return Err(Error::PositionAhead {
                topic: placement.topic.clone(),
                position,
                head,
            });
        }
    };
    let plan = ReadPlan {
        stream,
        filter,
        // The deletion of a stream is an event, and what led to it was delivered, or is to be.
        include_deleted: true,
        ..ReadPlan::all_after(after)
    };
    let source = Arc::new(TopicSource::new(context, &route));
    let follower = Follower::new(source, plan, behind);
    Ok(Subscription::new(placement.topic.clone(), follower))
}

pub(crate) async fn subscribe_many(
    context: &Arc<Context>,
    topics: Vec<(String, Subscribe)>,
) -> Result<MergedSubscription> {
    let mut subscriptions = Vec::with_capacity(topics.len());
    for (topic, from) in topics {
        subscriptions.push(subscribe(context, &topic, from).await?);
    }
    Ok(MergedSubscription::new(subscriptions))
}
