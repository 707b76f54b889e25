//! Moves a topic from memory to files while it is written to and read.
//!
//! `cargo run --example move_topic`

use annals::{
    Append, ConfigurationStream, EventStore, EventStoreConfig, MoveOptions, NewEvent, Read, Result,
    Subscribe, TopicConfig,
};
use futures_util::{StreamExt, TryStreamExt};

#[tokio::main]
async fn main() -> Result<()> {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let store = EventStore::open(EventStoreConfig::new(ConfigurationStream::memory())).await?;
    store.create_topic(TopicConfig::memory("orders")).await?;
    for number in 0..20_000 / 500 {
        let events: Vec<_> = (0..500)
            .map(|nth| NewEvent::json("OrderPlaced", &(number * 500 + nth)))
            .collect::<Result<_>>()?;
        store.append_events("orders", Append::new(events)).await?;
    }

    // Somebody follows the topic, and somebody goes on appending.
    let mut live = store.subscribe("orders", Subscribe::from_now()).await?;
    let writer = tokio::spawn({
        let store = store.clone();
        async move {
            for number in 0..200 {
                let event = NewEvent::json("OrderPlaced", &number)?.stream("beside");
                store.append_events("orders", Append::new([event])).await?;
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
            Ok::<_, annals::Error>(())
        }
    });

    let there = TopicConfig::file("orders", directory.path().display().to_string());
    let options = MoveOptions::default().on_progress(|progress| {
        println!(
            "{:?}: {} of {} events, {:.0} a second",
            progress.phase, progress.copied, progress.head, progress.events_per_second
        );
    });
    let moved = store.move_topic(there, options).await?;
    println!("it is in `{}` now", moved.placement.adapter);

    writer.await.expect("the writer does not panic")?;
    for number in 0..200 {
        let event = live.next().await.expect("it does not end")?;
        assert_eq!(event.json::<u32>()?, number);
    }
    let log: Vec<_> = store
        .read_events("orders", Read::all())
        .try_collect()
        .await?;
    assert_eq!(log.len(), 20_200);
    println!("{} events, none lost, none twice", log.len());
    store.remove_former("orders").await?;
    store.close().await
}
