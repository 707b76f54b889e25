//! Records events as they were recorded elsewhere: checks that they go on with what the topic has, and
//! leaves it to its repository to record them only where nobody else has written meanwhile.

mod check;
mod consistent;

use std::sync::Arc;

use crate::{
    context::{Context, Route},
    models::{Error, ImportReceipt, RecordedEvent, Result},
    move_topic::reroute,
    repository::import::compare,
    stream_change::REROUTES,
};

/// How often it is decided anew because others wrote to the topic.
const TRIES: usize = 100;

pub(crate) async fn import_events(
    context: &Arc<Context>,
    topic: &str,
    events: Vec<RecordedEvent>,
) -> Result<ImportReceipt> {
    let _pass = context.enter_to("import events")?;
    let mut route = context.route(topic).await?;
    let events = check::check(events, &route.topic.placement.topic)?;
    let mut rerouted = 0;
    for _ in 0..TRIES {
        match try_import(&route, &events).await {
            Ok(Some(receipt)) => return Ok(receipt),
            Ok(None) => {}
            Err(error @ (Error::TopicSealed { .. } | Error::TopicNotFound { .. }))
                if rerouted < REROUTES =>
            {
                route = reroute(context, topic, &route, error).await?;
                rerouted += 1;
            }
            Err(error) => return Err(error),
        }
    }
    Err(Error::RepositoryUnavailable {
        repository: route.topic.placement.adapter.clone(),
        reason: format!("others wrote to topic {topic} {TRIES} times in a row; try again"),
        source: None,
    })
}

/// Records what is not recorded yet; nothing where others wrote while it was checked.
async fn try_import(route: &Route, events: &[RecordedEvent]) -> Result<Option<ImportReceipt>> {
    let (repository, placement) = (&*route.repository, &route.topic.placement);
    let state = repository.state(placement, None).await?;
    if state.sealed {
        return Err(Error::TopicSealed {
            topic: placement.topic.clone(),
        });
    }
    let known = events.partition_point(|event| event.position <= state.head);
    let (known, new) = events.split_at(known);
    compare(repository, placement, known).await?;
    let count = known.len() as u64;
    let Some(first) = new.first() else {
        return Ok(Some(ImportReceipt::new(state.head, 0, count)));
    };
    if first.position != state.head.next() {
        return Err(check::invalid(format!(
            "the next position of topic {} is {}, and the first event to import has {}: events between are missing",
            placement.topic,
            state.head.next(),
            first.position
        )));
    }
    if let Err(error) = consistent::check(repository, placement, new).await {
        // What was found may be what others have written since.
        let now = repository.state(placement, None).await?.head;
        return if now == state.head {
            Err(error)
        } else {
            Ok(None)
        };
    }
    let head = repository.import(placement, new.to_vec()).await?;
    Ok(Some(ImportReceipt::new(head, new.len() as u64, count)))
}
