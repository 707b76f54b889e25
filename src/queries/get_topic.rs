//! One topic, as it is configured.

use crate::{
    context::{Context, info, not_found},
    models::{Result, TopicInfo, TopicStatus},
};

pub(crate) async fn get_topic(context: &Context, name: &str) -> Result<TopicInfo> {
    let _pass = context.enter()?;
    let model = context.write_model.refresh().await?;
    let topic = model.topic(name).ok_or_else(|| not_found(name))?;
    Ok(info(topic, TopicStatus::Active))
}
