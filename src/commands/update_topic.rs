//! Changes the options of a topic: hands them to its repository, then records them.

use crate::{
    context::{Context, info, not_found},
    models::{Error, Placement, Result, TopicConfig, TopicInfo, TopicName, TopicStatus},
    topic_state::topic_state,
    write_model::{ConfigurationEvent, Extra, TopicUpdated},
};

pub(crate) async fn update_topic(context: &Context, config: TopicConfig) -> Result<TopicInfo> {
    let _pass = context.enter_to("update a topic")?;
    let name = TopicName::new(&config.name)?;
    context.refuse_plain_secrets(&config.connection, &config.options)?;
    // To prepare a storage that is lost would make it anew, and show an empty topic.
    topic_state(context, name.as_str(), None).await?;
    let route = context.route(name.as_str()).await?;
    let before = &route.topic.placement;
    let placement = Placement {
        adapter: config.adapter,
        connection: config.connection,
        options: config.options,
        ..before.clone()
    };
    if context.registry.key(&placement)? != context.registry.key(before)? {
        return Err(Error::Unsupported {
            what: format!(
                "moving topic {name} from one repository to another (it is in `{}`); only its options can be changed so far, which",
                before.adapter
            ),
        });
    }
    route.repository.prepare(&placement).await?;
    let ((), model) = context
        .decide(|model| {
            let topic = model
                .topic(name.as_str())
                .ok_or_else(|| not_found(name.as_str()))?;
            if topic.placement.storage != placement.storage {
                return Err(not_found(name.as_str()));
            }
            let updated = TopicUpdated {
                topic: name.clone(),
                storage: placement.storage,
                connection: placement.connection.clone(),
                options: placement.options.clone(),
                extra: Extra::new(),
            };
            Ok((ConfigurationEvent::TopicUpdated(updated), ()))
        })
        .await?;
    let topic = model
        .topic(name.as_str())
        .ok_or_else(|| not_found(name.as_str()))?;
    Ok(info(topic, TopicStatus::Active))
}
