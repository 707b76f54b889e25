//! Two clients work offline on the same notes, and sync when they are back: nothing is lost, nothing is
//! recorded twice, and where both have changed one note, the one who comes later is shown the conflict.

use std::collections::BTreeMap;

use annals::{
    ConfigurationStream, EventStore, EventStoreConfig, NewEvent, PushEvent, PushOutcome, Result,
    SyncToken, TopicConfig, Version,
};
use serde_json::{Value, json};

/// A client: the notes as it knows them, and what it has made that the store does not know yet.
#[derive(Default)]
struct Client {
    notes: BTreeMap<String, (Version, String)>,
    since: SyncToken,
    outbox: Vec<PushEvent>,
}

impl Client {
    /// Changes a note, without asking anybody.
    fn write(&mut self, note: &str, text: &str) -> Result<()> {
        let known = self.notes.entry(note.to_owned()).or_default();
        let event = NewEvent::json("NoteWritten", &json!({ "text": text }))?;
        self.outbox.push(PushEvent::new(event, note, known.0));
        *known = (known.0.next(), text.to_owned());
        Ok(())
    }

    /// Hands in what it has made, and takes what others have; returns the conflicts as text.
    async fn sync(&mut self, store: &EventStore) -> Result<Vec<String>> {
        let pushed = store.push("notes", self.outbox.clone()).await?;
        let mut conflicts = Vec::new();
        for (mine, outcome) in self.outbox.drain(..).zip(&pushed) {
            if let PushOutcome::Conflict { events, .. } = outcome {
                let theirs: Value = events[0].json()?;
                conflicts.push(format!("{}: they wrote {}", mine.id(), theirs["text"]));
            }
        }
        loop {
            let changes = store.changes("notes", self.since, 100).await?;
            for event in &changes.events {
                let text = event.json::<Value>()?["text"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                // What is recorded has the last word.
                self.notes
                    .insert(event.stream.to_string(), (event.version, text));
            }
            self.since = changes.next;
            if !changes.more {
                return Ok(conflicts);
            }
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let store = EventStore::open(EventStoreConfig::new(ConfigurationStream::memory())).await?;
    store.create_topic(TopicConfig::memory("notes")).await?;
    let (mut ann, mut bob) = (Client::default(), Client::default());
    ann.write("shopping", "milk")?;
    ann.sync(&store).await?;
    bob.sync(&store).await?;
    assert_eq!(bob.notes["shopping"].1, "milk");

    // Both are offline now, and both change the same note, and one of their own.
    ann.write("shopping", "milk, bread")?;
    ann.write("ann", "call mum")?;
    bob.write("shopping", "milk, eggs")?;
    bob.write("bob", "water the plants")?;
    // Ann's answer gets lost on the way, so she pushes the same again.
    store.push("notes", ann.outbox.clone()).await?;
    assert!(ann.sync(&store).await?.is_empty());
    let conflicts = bob.sync(&store).await?;
    println!("Bob's conflicts: {conflicts:?}");
    assert_eq!(conflicts.len(), 1);

    // Bob decides on what is there now.
    bob.write("shopping", "milk, bread, eggs")?;
    assert!(bob.sync(&store).await?.is_empty());
    ann.sync(&store).await?;
    assert_eq!(ann.notes, bob.notes);
    println!("both have: {:?}", ann.notes);
    store.close().await
}
