//! What an append does that meets a seal: it waits until the topic has moved, or has not.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::take_over;
use crate::{
    context::{Context, Route},
    models::{Error, Result},
};

/// How long an append waits for the end of a move.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it looks by itself, where it is not told of a change.
const LOOK: Duration = Duration::from_millis(500);

/// The way to a topic after its repository has refused a call by `error`, because the topic is
/// sealed there or gone. Where it moves, that is waited for.
pub(crate) async fn reroute(
    context: &Arc<Context>,
    name: &str,
    before: &Route,
    error: Error,
) -> Result<Route> {
    let until = Instant::now() + PATIENCE;
    let mut changes = context.write_model.changes();
    let mut following = None;
    let mut asked = !is_moving(context, name, before);
    loop {
        changes.mark_unchanged();
        if asked || !is_moving(context, name, before) {
            let sealed = matches!(error, Error::TopicSealed { .. });
            let again = context.reroute(name, before, sealed).await;
            match again {
                Err(Error::TopicSealed { .. }) if Instant::now() < until => {}
                done => return done,
            }
        }
        // Changes that other processes make are heard of, too.
        following = following.or_else(|| Some(context.write_model.follow()));
        if take_over(context, name).await? {
            asked = true;
            continue;
        }
        let waited = tokio::select! {
            changed = tokio::time::timeout(LOOK, changes.changed()) => changed.is_ok(),
            () = context.gate.closing() => return Err(Error::Closed),
        };
        asked = !waited;
        if Instant::now() >= until {
            return Err(error);
        }
    }
}

/// Whether the topic is known to move, and is still where it was.
fn is_moving(context: &Context, name: &str, before: &Route) -> bool {
    context.write_model.topic(name).is_some_and(|topic| {
        topic.placement.storage == before.topic.placement.storage && topic.moving.is_some()
    })
}
