//! Events as a stream, in bounded memory.

use std::sync::Arc;

use futures_util::{
    FutureExt, StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};

use crate::{
    context::{Context, Route, not_found},
    detached::detached,
    event_stream::EventStream,
    models::{Error, Read, ReadParts, Result, StorageId, StreamId, Version},
    repository::{Page, ReadPlan},
};

pub(crate) fn read_events(context: &Arc<Context>, topic: &str, read: Read) -> EventStream {
    let (context, topic) = (Arc::clone(context), topic.to_owned());
    let opening = async move { open(&context, &topic, read).await };
    // Whoever has the stream may not poll it again for long, or ever.
    let pages = detached(opening.boxed()).into_stream();
    EventStream::new(pages.try_flatten().boxed())
}

/// Reads a deleted topic, by its storage.
pub(crate) fn read_deleted_topic(
    context: &Arc<Context>,
    storage: StorageId,
    read: Read,
) -> EventStream {
    let context = Arc::clone(context);
    let opening = async move {
        let _pass = context.enter()?;
        let plan = plan(read)?;
        let model = context.write_model.refresh().await?;
        let mut topics = model.deleted_topics();
        let topic = topics.find(|topic| topic.placement.storage == storage);
        let placement = &topic
            .ok_or_else(|| not_found(&storage.to_string()))?
            .placement;
        let repository = context.registry.get(placement).await?;
        Ok(repository.read(placement, plan))
    };
    let pages = detached(opening.boxed()).into_stream();
    EventStream::new(pages.try_flatten().boxed())
}

/// Begins the read. The first page is read here, because it tells whether the topic is where it
/// was thought to be.
async fn open(
    context: &Context,
    topic: &str,
    read: Read,
) -> Result<BoxStream<'static, Result<Page>>> {
    let _pass = context.enter()?;
    let plan = plan(read)?;
    let route = context.route(topic).await?;
    let (first, pages) = begin(&route, plan.clone()).await;
    let elsewhere = match &first {
        Some(Err(Error::TopicNotFound { .. })) => true,
        Some(Ok(page)) => page.sealed,
        // It may have been restored where the topic is now.
        Some(Err(Error::StreamDeleted { .. })) => true,
        Some(Err(_)) | None => false,
    };
    if !elsewhere {
        return Ok(stream::iter(first).chain(pages).boxed());
    }
    let storage = route.topic.placement.storage;
    let route = context.route_to_read(topic).await?;
    let (first, pages) = if route.topic.placement.storage == storage {
        (first, pages)
    } else {
        begin(&route, plan).await
    };
    Ok(stream::iter(first).chain(pages).boxed())
}

async fn begin(
    route: &Route,
    plan: ReadPlan,
) -> (Option<Result<Page>>, BoxStream<'static, Result<Page>>) {
    let mut pages = route.repository.read(&route.topic.placement, plan);
    (pages.next().await, pages)
}

fn plan(read: Read) -> Result<ReadPlan> {
    let read: ReadParts = read.into_parts();
    if read.stream.is_none()
        && (read.after_version > Version::NONE || read.up_to_version < Version::MAX)
    {
        return Err(Error::InvalidConfig {
            key: "read".to_owned(),
            reason: "versions are those of one stream; read that stream, or give positions"
                .to_owned(),
        });
    }
    Ok(ReadPlan {
        stream: read.stream.map(StreamId::new).transpose()?,
        filter: read.filter,
        after: read.after,
        up_to: read.up_to,
        after_version: read.after_version,
        up_to_version: read.up_to_version,
        direction: read.direction,
        limit: read.limit,
        include_deleted: read.include_deleted,
    })
}
