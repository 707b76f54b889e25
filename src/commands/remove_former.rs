//! Removes every storage that a topic has left by moving.

use crate::{
    context::{Context, info, not_found},
    models::{Placement, Result, TopicStatus},
    move_topic,
};

pub(crate) async fn remove_former(context: &Context, name: &str) -> Result<Vec<Placement>> {
    let _pass = context.enter_to("remove storage")?;
    let model = context.write_model.refresh().await?;
    let topic = model.topic(name).ok_or_else(|| not_found(name))?;
    for former in &topic.former {
        move_topic::remove_former(context, &topic.placement.topic, former).await?;
    }
    Ok(info(topic, TopicStatus::Active).former)
}
