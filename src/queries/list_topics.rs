//! All topics, as they are configured.

use crate::{
    context::{Context, info},
    models::{Result, TopicInfo, TopicStatus},
};

pub(crate) async fn list_topics(context: &Context, status: TopicStatus) -> Result<Vec<TopicInfo>> {
    let _pass = context.enter()?;
    let model = context.write_model.refresh().await?;
    Ok(match status {
        TopicStatus::Active => model
            .topics()
            .iter()
            .map(|topic| info(topic, status))
            .collect(),
        TopicStatus::Deleted => model
            .deleted_topics()
            .map(|topic| info(topic, status))
            .collect(),
    })
}
