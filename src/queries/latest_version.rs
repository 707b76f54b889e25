//! The position of a topic's last event.

use crate::{
    context::Context,
    models::{Position, Result},
    topic_state::topic_state,
};

pub(crate) async fn get_latest_version(context: &Context, topic: &str) -> Result<Position> {
    let _pass = context.enter()?;
    Ok(topic_state(context, topic, None).await?.head)
}
