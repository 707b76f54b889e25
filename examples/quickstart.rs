//! The way through a store in one go: topics in files and in memory, guarded appends, a retry
//! that changes nothing, and a reopen.

use annals::{
    Append, ConfigurationStream, Error, EventFilter, EventStore, EventStoreConfig, ExpectedVersion,
    NewEvent, Read, Result, TopicConfig,
};
use futures_util::TryStreamExt;
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<()> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().display().to_string();
    let open = || EventStore::open(EventStoreConfig::new(ConfigurationStream::file(&path)));

    println!("1. Open a store. Its configuration stream is in {path}");
    let store = open().await?;

    println!("2. Create two topics: `orders` in files, `carts` in memory");
    store
        .create_topic(TopicConfig::file("orders", &path))
        .await?;
    store.create_topic(TopicConfig::memory("carts")).await?;
    for topic in store.list_topics().await? {
        println!(
            "   {} is in the {} repository",
            topic.name, topic.placement.adapter
        );
    }

    append(&store).await?;
    conflict(&store).await?;
    retry(&store).await?;

    println!("6. Close the store and open it again: what is in files is there, memory is empty");
    store.close().await?;
    let store = open().await?;
    look(&store).await?;
    store.close().await
}

async fn append(store: &EventStore) -> Result<()> {
    println!("3. Append to a stream that must not exist yet");
    let placed = NewEvent::json("OrderPlaced", &json!({ "total": 42 }))?.tag("customer:7");
    let first = Append::new([placed])
        .stream("order-1")
        .expected(ExpectedVersion::NoStream);
    let receipt = store.append_events("orders", first).await?;
    println!(
        "   recorded at position {}; order-1 is at version {}",
        receipt.last, receipt.version
    );

    let cart = NewEvent::json("CartOpened", &json!({}))?;
    let receipt = store
        .append_events("carts", Append::new([cart]).stream("cart-1"))
        .await?;
    println!("   recorded in memory at position {}", receipt.last);
    Ok(())
}

async fn conflict(store: &EventStore) -> Result<()> {
    println!("4. Two decisions on the same version: the second one is refused");
    let pay = || -> Result<Append> {
        let paid = NewEvent::json("OrderPaid", &json!({ "by": "card" }))?;
        Ok(Append::new([paid])
            .stream("order-1")
            .expected(ExpectedVersion::exact(1)))
    };
    store.append_events("orders", pay()?).await?;
    match store.append_events("orders", pay()?).await {
        Err(error @ Error::WrongExpectedVersion { .. }) => println!("   refused: {error}"),
        other => panic!("a conflict was expected, and not {other:?}"),
    }
    Ok(())
}

async fn retry(store: &EventStore) -> Result<()> {
    println!("5. A request that is sent twice with one idempotency key is recorded once");
    let ship = || -> Result<Append> {
        let shipped = NewEvent::json("OrderShipped", &json!({ "parcel": "A-1" }))?;
        Ok(Append::new([shipped])
            .stream("order-1")
            .idempotency_key("request-77"))
    };
    let first = store.append_events("orders", ship()?).await?;
    let retry = store.append_events("orders", ship()?).await?;
    println!(
        "   first: position {}, duplicate: {}",
        first.last, first.duplicate
    );
    println!(
        "   retry: position {}, duplicate: {}",
        retry.last, retry.duplicate
    );
    Ok(())
}

async fn look(store: &EventStore) -> Result<()> {
    let mut history = store.read_events("orders", Read::stream("order-1"));
    while let Some(event) = history.try_next().await? {
        let payload: Value = event.json()?;
        println!(
            "   {} v{} {} {payload}",
            event.position, event.version, event.event_type
        );
    }
    let of_customer = Read::all().filter(EventFilter::all().tags(["customer:7"]));
    println!(
        "   tagged customer:7: {} event",
        store.get_events("orders", of_customer).await?.len()
    );
    println!(
        "   carts has {} events",
        store.get_latest_version("carts").await?
    );
    println!("   health: {:?}", store.health().await.status);
    Ok(())
}
