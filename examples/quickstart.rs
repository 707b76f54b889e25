//! The way through a store in one go: topics in files and in memory, guarded appends, a retry
//! that changes nothing, and a reopen.

use annals::{
    Append, ConfigurationStream, Error, EventFilter, EventStore, EventStoreConfig, ExpectedVersion,
    NewEvent, Read, TopicConfig,
};
use futures_util::TryStreamExt;
use serde_json::json;

#[tokio::main]
async fn main() -> annals::Result<()> {
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

    println!("4. Two decisions on the same version: the second one is refused");
    let paid = || NewEvent::json("OrderPaid", &json!({ "by": "card" }));
    let pay = Append::new([paid()?])
        .stream("order-1")
        .expected(ExpectedVersion::exact(1));
    store.append_events("orders", pay).await?;
    let again = Append::new([paid()?])
        .stream("order-1")
        .expected(ExpectedVersion::exact(1));
    match store.append_events("orders", again).await {
        Err(error @ Error::WrongExpectedVersion { .. }) => println!("   refused: {error}"),
        other => panic!("a conflict was expected, and not {other:?}"),
    }

    println!("5. A request that is sent twice with one idempotency key is recorded once");
    let ship = || -> annals::Result<Append> {
        let shipped = NewEvent::json("OrderShipped", &json!({ "parcel": "A-1" }))?;
        Ok(Append::new([shipped])
            .stream("order-1")
            .idempotency_key("request-77"))
    };
    let first = store.append_events("orders", ship()?).await?;
    let retry = store.append_events("orders", ship()?).await?;
    println!(
        "   first:  position {}, duplicate: {}",
        first.last, first.duplicate
    );
    println!(
        "   retry:  position {}, duplicate: {}",
        retry.last, retry.duplicate
    );

    println!("6. Close the store and open it again: what is in files is there, memory is empty");
    store.close().await?;
    let store = open().await?;
    let mut history = store.read_events("orders", Read::stream("order-1"));
    while let Some(event) = history.try_next().await? {
        println!(
            "   {} v{} {} {}",
            event.position,
            event.version,
            event.event_type,
            event.json::<serde_json::Value>()?
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
    store.close().await
}
