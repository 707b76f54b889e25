//! Reads and checks everything that is stored for a topic.

use crate::{context::Context, models::Result, repository::Verified};

pub(crate) async fn verify_topic(context: &Context, topic: &str) -> Result<Verified> {
    let _pass = context.enter()?;
    let route = context.route(topic).await?;
    route.repository.verify(&route.topic.placement).await
}
