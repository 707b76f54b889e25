//! Ends the move of a topic: it stays where it was.

use std::sync::Arc;

use crate::{
    context::Context,
    models::{Result, TopicName},
    move_topic,
};

pub(crate) async fn cancel_move(context: &Arc<Context>, name: &str) -> Result<()> {
    let _pass = context.enter_to("cancel a move")?;
    move_topic::cancel_move(context, &TopicName::new(name)?).await
}
