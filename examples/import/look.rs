//! Looks at what is in a topic.

use std::{collections::BTreeMap, io::Write};

use annals::{EventFilter, EventStore, Read, RecordedEvent};
use futures_util::TryStreamExt;

use crate::Arguments;

/// Prints what was asked for.
pub(crate) async fn look(
    store: &EventStore,
    arguments: &Arguments,
) -> Result<(), Box<dyn std::error::Error>> {
    let topic = &arguments.topic;
    if arguments.types {
        count(store, topic, |event| event.event_type.as_str()).await?;
    }
    if arguments.streams {
        count(store, topic, |event| event.stream.as_str()).await?;
    }
    if let Some(stream) = &arguments.stream {
        show(store, topic, Read::stream(stream)).await?;
    }
    if let Some(tag) = &arguments.tag {
        show(
            store,
            topic,
            Read::all().filter(EventFilter::all().tags([tag])),
        )
        .await?;
    }
    Ok(())
}

/// Prints each value once, with how many events have it.
async fn count(
    store: &EventStore,
    topic: &str,
    value: impl Fn(&RecordedEvent) -> &str,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut events = store.read_events(topic, Read::all());
    while let Some(event) = events.try_next().await? {
        match counts.get_mut(value(&event)) {
            Some(count) => *count += 1,
            None => drop(counts.insert(value(&event).to_owned(), 1)),
        }
    }
    let mut out = std::io::stdout().lock();
    for (value, count) in counts {
        writeln!(out, "{value}\t{count}")?;
    }
    Ok(())
}

async fn show(
    store: &EventStore,
    topic: &str,
    read: Read,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut events = store.read_events(topic, read);
    while let Some(event) = events.try_next().await? {
        let occurred = event
            .metadata_json::<serde_json::Value>()
            .unwrap_or_default();
        let occurred = occurred["occurred_at"].as_str().unwrap_or("-").to_owned();
        let tags: Vec<_> = event.tags.iter().collect();
        writeln!(
            std::io::stdout(),
            "{}\t{}\tv{}\t{}\t{}\t{}",
            event.position,
            event.stream,
            event.version,
            occurred,
            event.event_type,
            tags.join(",")
        )?;
    }
    Ok(())
}
