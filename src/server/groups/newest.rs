//! The newest event of each stream of the topics in which consumers keep what they need, as far as it was
//! read: each look reads only what is new.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use futures_util::TryStreamExt;
use parking_lot::Mutex;

use crate::{Error, EventFilter, EventStore, Position, Read, Result, Version};

/// The newest events, of some types, of the topics that were looked at.
#[derive(Debug)]
pub(in crate::server) struct Newest {
    types: &'static [&'static str],
    /// Guards the table; what was read is put into it when it is complete.
    topics: Mutex<HashMap<String, Arc<Looked>>>,
}

/// What a topic has.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct Looked {
    /// When the topic was created: another one may have its name by now.
    created: Position,
    to: Position,
    pub(in crate::server) streams: BTreeMap<String, Entry>,
}

/// The newest event of a stream.
#[derive(Clone, Debug)]
pub(in crate::server) struct Entry {
    pub(in crate::server) event_type: Box<str>,
    pub(in crate::server) version: Version,
    /// Copied: the event may hold the page in which it was read.
    pub(in crate::server) payload: Box<[u8]>,
}

impl Newest {
    pub(in crate::server) fn of(types: &'static [&'static str]) -> Self {
        Self {
            types,
            topics: Mutex::default(),
        }
    }

    /// What a topic has now; nothing where it is not there.
    pub(in crate::server) async fn look(
        &self,
        store: &EventStore,
        topic: &str,
    ) -> Result<Arc<Looked>> {
        let info = match store.get_topic(topic).await {
            Err(Error::TopicNotFound { .. }) => {
                self.topics.lock().remove(topic);
                return Ok(Arc::default());
            }
            info => info?,
        };
        let known = self.topics.lock().get(topic).cloned();
        let mut looked = match known {
            Some(known) if known.created == info.created_position => known,
            _ => Arc::new(Looked {
                created: info.created_position,
                ..Looked::default()
            }),
        };
        let filter = EventFilter::all().types(self.types.iter().copied());
        let read = Read::all().after(looked.to).filter(filter);
        let mut events = store.read_events(topic, read);
        while let Some(event) = events.try_next().await? {
            let entry = Entry {
                event_type: event.event_type.as_str().into(),
                version: event.version,
                payload: event.payload.as_ref().into(),
            };
            let streams = &mut Arc::make_mut(&mut looked).streams;
            streams.insert(event.stream.as_str().to_owned(), entry);
        }
        if events.looked_to() > looked.to {
            Arc::make_mut(&mut looked).to = events.looked_to();
            let mut topics = self.topics.lock();
            let further = topics
                .get(topic)
                .is_some_and(|known| known.created == looked.created && known.to > looked.to);
            if !further {
                topics.insert(topic.to_owned(), Arc::clone(&looked));
            }
        }
        Ok(looked)
    }
}
