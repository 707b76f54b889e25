//! Projections: read models that follow topics, each event once, wherever they are kept.

#![cfg(test)]
#![cfg(all(feature = "cqrs", feature = "file", feature = "testing"))]

#[path = "../kinds/mod.rs"]
mod kinds;
#[cfg(feature = "postgres")]
#[path = "../servers/mod.rs"]
mod servers;

mod handlers;
mod harm;
mod live;
#[cfg(feature = "postgres")]
mod lost_commits;
#[cfg(feature = "postgres")]
mod tables;

use annals::{Append, EventStore, NewEvent, Position};
use serde::{Deserialize, Serialize};

/// What the topics hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Event {
    Given(u64),
}

/// Appends `Given` events with these numbers, in appends of their own of up to a hundred.
async fn give(store: &EventStore, topic: &str, numbers: std::ops::Range<u64>) -> Position {
    let mut last = Position::START;
    let numbers: Vec<u64> = numbers.collect();
    for chunk in numbers.chunks(100) {
        let events = chunk.iter().map(|n| NewEvent::json("Given", n).unwrap());
        let appended = store.append_events(topic, Append::new(events).stream("s"));
        last = appended.await.unwrap().last;
    }
    last
}
