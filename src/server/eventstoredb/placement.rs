//! In which topic a stream is.
//!
//! A stream `category-id` is in the topic that is called `category`, where there is one, and else in
//! the default topic. A stream that has begun in the default topic stays there when a topic is created
//! for its category later. For this to hold at any moment, however many servers there are, an event in
//! the default topic says of each category that it has a topic of its own (the mark), recorded before
//! the first event of a new stream goes there; and whoever begins a stream of a category in the default
//! topic does so on condition that there is no mark. So no stream is ever in both.

use std::collections::HashMap;

use axum::http::StatusCode;
use parking_lot::Mutex;
use serde_json::json;

use super::{
    answer::Refusal,
    names::{category, described_stream, metadata_stream},
};
use crate::{
    Append, Error, EventFilter, EventStore, ExpectedVersion, NewEvent, Position, Read, Result,
    TopicConfig, Version, server::config::DefaultPlacement,
};

/// How often a placement is looked up again after a topic was created meanwhile.
pub(super) const TRIES: usize = 4;

/// The topic of all streams whose category has none.
pub(super) const DEFAULT_TOPIC: &str = "streams";

/// What is known of categories that have a topic.
#[derive(Debug)]
pub(in crate::server) struct Placements {
    /// Where the default topic is created, when it is first needed.
    adapter: Option<DefaultPlacement>,
    /// Categories whose mark is recorded: whether none of their streams is in the default topic. Never
    /// held across an await, and never larger than there are topics.
    marked: Mutex<HashMap<String, bool>>,
}

/// Where a stream is.
#[derive(Clone, Debug)]
pub(super) struct Home {
    pub(super) topic: String,
    /// The mark that must not be recorded when an event is appended there.
    unless: Option<String>,
}

impl Home {
    pub(super) fn certain(topic: &str) -> Self {
        Self {
            topic: topic.to_owned(),
            unless: None,
        }
    }

    /// The append on condition that the stream is still to begin here.
    pub(super) fn guard(&self, append: Append) -> Append {
        match &self.unless {
            Some(mark) => {
                let filter = EventFilter::all().streams([mark.as_str()]);
                append.unless(filter, Position::START)
            }
            None => append,
        }
    }
}

impl Placements {
    pub(in crate::server) fn new(adapter: Option<DefaultPlacement>) -> Self {
        Self {
            adapter,
            marked: Mutex::default(),
        }
    }

    /// The topic in which a stream is, or would be.
    pub(super) async fn to_read(&self, store: &EventStore, stream: &str) -> Result<String> {
        let Some(category) = own_category(stream) else {
            return Ok(DEFAULT_TOPIC.to_owned());
        };
        if self.is_marked(store, category).await? {
            return self.marked_home(store, category, stream).await;
        }
        let elsewhere = !exists(store, category).await? || in_default(store, stream).await?;
        let topic = if elsewhere { DEFAULT_TOPIC } else { category };
        Ok(topic.to_owned())
    }

    /// The topic to which events of a stream go.
    pub(super) async fn to_append(
        &self,
        store: &EventStore,
        stream: &str,
    ) -> Result<Home, Refusal> {
        let Some(category) = own_category(stream) else {
            self.make_default(store).await?;
            return Ok(Home::certain(DEFAULT_TOPIC));
        };
        if !self.is_marked(store, category).await? {
            if in_default(store, stream).await? {
                return Ok(Home::certain(DEFAULT_TOPIC));
            }
            if !exists(store, category).await? {
                if is_deleted(store, category).await? {
                    return Err(deleted());
                }
                self.make_default(store).await?;
                return Ok(Home {
                    topic: DEFAULT_TOPIC.to_owned(),
                    unless: Some(mark_of(category)),
                });
            }
            if !self.mark(store, category).await? {
                return Ok(Home::certain(category));
            }
        }
        let topic = self.marked_home(store, category, stream).await?;
        if topic == category && !exists(store, category).await? {
            // Its streams are in a topic that can be restored: they must not begin anew elsewhere.
            return Err(deleted());
        }
        Ok(Home::certain(&topic))
    }

    /// The home of a stream whose category has its mark: what is not in the default topic by now never
    /// will be.
    async fn marked_home(
        &self,
        store: &EventStore,
        category: &str,
        stream: &str,
    ) -> Result<String> {
        let none_in_default = self.marked.lock().get(category).copied();
        let stays = none_in_default != Some(true) && in_default(store, stream).await?;
        let topic = if stays { DEFAULT_TOPIC } else { category };
        Ok(topic.to_owned())
    }

    /// Whether the category's mark is recorded.
    async fn is_marked(&self, store: &EventStore, category: &str) -> Result<bool> {
        if self.marked.lock().contains_key(category) {
            return Ok(true);
        }
        if !has_events(store, DEFAULT_TOPIC, &mark_of(category)).await? {
            return Ok(false);
        }
        let of_category = EventFilter::all()
            .stream_prefix(format!("{category}-"))
            .or(EventFilter::all().stream_prefix(metadata_stream(&format!("{category}-"))));
        let read = Read::all().filter(of_category).limit(1);
        let none = store.get_events(DEFAULT_TOPIC, read).await?.is_empty();
        self.marked.lock().insert(category.to_owned(), none);
        Ok(true)
    }

    /// Records the category's mark; false where there is no default topic to record it in, and none is
    /// to be made.
    async fn mark(&self, store: &EventStore, category: &str) -> Result<bool> {
        if self.adapter.is_none() && !exists(store, DEFAULT_TOPIC).await? {
            return Ok(false);
        }
        self.make_default(store).await?;
        let data = json!({ "category": category, "topic": category });
        let append = Append::new([NewEvent::json("CategoryPlaced", &data)?])
            .stream(mark_of(category))
            .expected(ExpectedVersion::NoStream);
        match store.append_events(DEFAULT_TOPIC, append).await {
            Ok(_) | Err(Error::WrongExpectedVersion { .. }) => {}
            Err(error) => return Err(error),
        }
        self.is_marked(store, category).await
    }

    /// Creates the default topic where there is none.
    async fn make_default(&self, store: &EventStore) -> Result<()> {
        let Some(place) = &self.adapter else {
            return Ok(());
        };
        if exists(store, DEFAULT_TOPIC).await? {
            return Ok(());
        }
        let config = TopicConfig::new(DEFAULT_TOPIC, &place.adapter, &place.connection);
        match store.create_topic(config).await {
            Ok(_) | Err(Error::TopicAlreadyExists { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The stream in the default topic that says that a category has a topic of its own.
fn mark_of(category: &str) -> String {
    format!("$placement-{category}")
}

/// The category of a stream that can be in a topic other than the default one.
fn own_category(stream: &str) -> Option<&str> {
    category(stream).filter(|category| *category != DEFAULT_TOPIC)
}

/// Whether the stream, or its metadata, is in the default topic.
async fn in_default(store: &EventStore, stream: &str) -> Result<bool> {
    let stream = described_stream(stream).unwrap_or(stream);
    Ok(has_events(store, DEFAULT_TOPIC, stream).await?
        || has_events(store, DEFAULT_TOPIC, &metadata_stream(stream)).await?)
}

async fn has_events(store: &EventStore, topic: &str, stream: &str) -> Result<bool> {
    match store.get_stream(topic, stream).await {
        Ok(state) => Ok(state.version > Version::NONE),
        Err(Error::TopicNotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether there is such a topic.
async fn exists(store: &EventStore, topic: &str) -> Result<bool> {
    match store.get_stream(topic, "").await {
        Ok(_) => Ok(true),
        Err(Error::TopicNotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether there was such a topic, and can be again.
async fn is_deleted(store: &EventStore, topic: &str) -> Result<bool> {
    let deleted = store.list_deleted_topics().await?;
    Ok(deleted.iter().any(|one| one.name.as_str() == topic))
}

fn deleted() -> Refusal {
    let reason = "The topic of this category is deleted";
    Refusal::new(StatusCode::NOT_FOUND, reason)
}
