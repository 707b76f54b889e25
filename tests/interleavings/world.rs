//! Stores, writers and readers of the scenarios.

use std::{future::Future, sync::Arc};

use annals_under_shuttle::{
    Append, AppendReceipt, ConfigurationStream, Error, EventStore, EventStoreConfig, NewEvent,
    Position, Read, RecordedEvent, Subscribe, Subscription, TopicConfig,
    repository::memory::MemoryFactory,
};
use futures_util::{FutureExt, StreamExt};
use shuttle::{
    future::JoinHandle,
    rand::{Rng, thread_rng},
};

/// The topic that everything is about.
pub(crate) const TOPIC: &str = "t";

/// What stores have in common, as if it were on disk.
#[derive(Clone, Default)]
pub(crate) struct World(Arc<MemoryFactory>);

impl World {
    /// A store of this world.
    pub(crate) async fn store(&self) -> EventStore {
        let config = EventStoreConfig::new(ConfigurationStream::new("kept", ""))
            .adapter("kept", Arc::<MemoryFactory>::clone(&self.0));
        EventStore::open(config).await.unwrap()
    }

    /// A store that has the topic.
    pub(crate) async fn with_topic(&self) -> EventStore {
        let store = self.store().await;
        create(&store, TOPIC).await;
        store
    }
}

pub(crate) async fn create(store: &EventStore, topic: &str) {
    let config = TopicConfig::new(topic, "kept", "");
    store.create_topic(config).await.unwrap();
}

/// Everything in a topic.
pub(crate) async fn log(store: &EventStore, topic: &str) -> Vec<RecordedEvent> {
    store.get_events(topic, Read::all()).await.unwrap()
}

/// Appends batches of these sizes, until there is an error.
pub(crate) async fn append(
    store: EventStore,
    topic: &'static str,
    sizes: &'static [usize],
) -> (Vec<AppendReceipt>, Option<Error>) {
    let mut receipts = Vec::new();
    for (number, size) in sizes.iter().enumerate() {
        let kind = if number % 2 == 0 { "Even" } else { "Odd" };
        let events = (0..*size).map(|one| NewEvent::json(kind, &one).unwrap());
        match store.append_events(topic, Append::new(events)).await {
            Ok(receipt) => receipts.push(receipt),
            Err(error) => return (receipts, Some(error)),
        }
    }
    (receipts, None)
}

pub(crate) fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    shuttle::future::spawn(future)
}

/// A subscriber: what it has got since `after`, and the error that was its end.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) after: Position,
    pub(crate) events: Vec<RecordedEvent>,
    pub(crate) error: Option<Error>,
}

/// Takes events after a position, until there are as many as are wanted, or an error.
pub(crate) async fn take(store: EventStore, after: u64, wanted: usize) -> Taken {
    let after = Position::new(after);
    match store.subscribe(TOPIC, Subscribe::after(after)).await {
        Ok(live) => take_from(live, after, wanted).await,
        Err(error) => Taken {
            after,
            events: Vec::new(),
            error: Some(error),
        },
    }
}

/// The same from a subscription, whose futures are dropped and polled for nothing now and then.
pub(crate) async fn take_from(mut live: Subscription, after: Position, wanted: usize) -> Taken {
    let mut events = Vec::new();
    while events.len() < wanted {
        let item = if thread_rng().gen_bool(0.3) {
            // Nobody is woken by this, and whoever asks next has to be.
            match live.next().now_or_never() {
                Some(item) => item,
                None => continue_or_wait(&mut live).await,
            }
        } else {
            live.next().await
        };
        match item.expect("an error comes before the end") {
            Ok(event) => {
                assert!(live.position() >= event.position);
                events.push(event);
            }
            Err(error) => {
                assert!(live.next().await.is_none(), "an error is the last");
                return Taken {
                    after,
                    events,
                    error: Some(error),
                };
            }
        }
    }
    Taken {
        after,
        events,
        error: None,
    }
}

/// Waits, now and then after others had a turn.
async fn continue_or_wait(
    live: &mut Subscription,
) -> Option<annals_under_shuttle::Result<RecordedEvent>> {
    if thread_rng().gen_bool(0.5) {
        shuttle::future::yield_now().await;
    }
    live.next().await
}

impl Taken {
    /// Checks that it is an exact run of what is recorded.
    pub(crate) fn check(&self, log: &[RecordedEvent]) {
        let after = usize::try_from(self.after.get()).unwrap();
        let got: Vec<_> = self.events.iter().map(|one| one.position.get()).collect();
        let run = log.get(after..after + self.events.len());
        assert_eq!(run, Some(&*self.events), "after {after}: {got:?}");
    }
}

/// Checks that appends are in the log as their receipts say.
pub(crate) fn check_receipts(receipts: &[AppendReceipt], log: &[RecordedEvent]) {
    for receipt in receipts {
        let last = usize::try_from(receipt.last.get()).unwrap();
        assert!(last <= log.len(), "{receipt:?} is not recorded");
    }
}
