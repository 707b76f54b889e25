//! Reads and checks everything that is stored for a topic.

use crate::{
    context::Context,
    models::{Error, Result},
    repository::Verified,
};

pub(crate) async fn verify_topic(context: &Context, topic: &str) -> Result<Verified> {
    let _pass = context.enter()?;
    let route = context.route_to_read(topic).await?;
    match route.repository.verify(&route.topic.placement).await {
        Err(Error::TopicNotFound { .. }) => {
            let route = context.reroute(topic, &route, false).await?;
            route.repository.verify(&route.topic.placement).await
        }
        verified => verified,
    }
}
