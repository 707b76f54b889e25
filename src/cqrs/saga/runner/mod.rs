//! Runs sagas: one runner at a time for each name in a topic.

mod driver;
mod left_behind;
mod options;
mod start_on;
mod table;
mod worker;

use std::{ops::Deref, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{sync::watch, task::JoinHandle};

use self::driver::Driver;
use super::{Saga, SagaClient, SagaData};
use crate::{Consume, EventFilter, EventStore, RecordedEvent, Result};

pub use options::SagaOptions;
pub use table::SagaCounts;

/// Runs the sagas of one name in one topic, and is a [client](SagaClient) of them.
///
/// **One at a time**: of several, in one process or many, one has the lease and runs all sagas; the
/// others wait to take over. One that was paused for longer than its lease can record nothing any more:
/// that is checked with each of its appends.
///
/// **Closing**: [`close`](Self::close) lets steps that are under way finish. Dropped, or killed, it leaves
/// them to the next runner, which calls them again with the same keys. Nothing is half recorded.
///
/// **Outages**: while the topic cannot be reached it waits, and goes on by itself.
///
/// **Clocks**: timers and pauses are recorded as the moment at which they are over. Where the clock is set
/// back, they last longer by as much; where it is set forward, they are over sooner.
///
/// ```
/// use annals::cqrs::{Saga, SagaOptions, SagaOutcome, Sagas, Step, StepError};
/// # use annals::{ConfigurationStream, EventStore, EventStoreConfig, TopicConfig};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> annals::Result<()> {
/// # let store = EventStore::open(EventStoreConfig::new(ConfigurationStream::memory())).await?;
/// store.create_topic(TopicConfig::memory("sagas")).await?;
/// let doubling = Saga::<u64>::named("doubling")
///     .step(Step::new("double", |_, number: u64| async move { Ok(number * 2) }));
///
/// let sagas = Sagas::open(&store, "sagas", doubling, SagaOptions::new())?;
/// assert!(sagas.start("a", 21).await?);
/// assert_eq!(sagas.wait("a").await?, SagaOutcome::Completed(42));
/// sagas.close().await?;
/// # store.close().await
/// # }
/// ```
#[derive(Debug)]
pub struct Sagas<D> {
    client: SagaClient<D>,
    name: String,
    lease: Duration,
    counts: watch::Receiver<Option<SagaCounts>>,
    closing: watch::Sender<bool>,
    driver: Mutex<Option<JoinHandle<Result<()>>>>,
    starters: Mutex<Vec<JoinHandle<()>>>,
}

impl<D: SagaData> Sagas<D> {
    /// Runs sagas, as soon as no other runner does. Those that have not ended go on where they were.
    ///
    /// It is called within a tokio runtime.
    ///
    /// # Errors
    /// Those of [`Saga::check`].
    pub fn open(
        store: &EventStore,
        topic: &str,
        saga: Saga<D>,
        options: SagaOptions,
    ) -> Result<Self> {
        saga.check()?;
        let client = SagaClient::new(store, topic, saga.name())?;
        let name = saga.name().to_owned();
        let (counting, counts) = watch::channel(None);
        let closing = watch::Sender::new(false);
        let driver = Driver {
            saga: Arc::new(saga),
            log: client.log.clone(),
            options,
            clock: store.clock(),
            counts: counting,
            closing: closing.subscribe(),
        };
        let driver = tokio::spawn(driver.run());
        Ok(Self {
            client,
            name,
            lease: options.lease,
            counts,
            closing,
            driver: Mutex::new(Some(driver)),
            starters: Mutex::default(),
        })
    }

    /// How many sagas this runner has in hand; none while it waits for another one's lease.
    #[must_use]
    pub fn counts(&self) -> Option<SagaCounts> {
        *self.counts.borrow()
    }

    /// Starts a saga for each event of a topic of which `choose` makes an id and data: once for each id,
    /// however often an event is looked at. How far it has come is kept beside the topic, so that it goes
    /// on where it was; one runner at a time does.
    ///
    /// Where `choose` panics, or no saga can be started with what it returns (an id that is no part of the
    /// name of a stream, data that are too large), it is logged and tried again until it can: no event is
    /// passed by, and those after it wait.
    ///
    /// One for each name of saga and topic. It ends with the runner.
    pub fn start_on(
        &self,
        topic: &str,
        filter: EventFilter,
        choose: impl Fn(&RecordedEvent) -> Option<(String, D)> + Send + Sync + 'static,
    ) {
        // No name of a saga has a `-`, so that none has this checkpoint as its own.
        let consume = Consume::named(format!("saga {}-starts", self.name))
            .filter(filter)
            .lease(self.lease);
        let starting = start_on::start_on(
            self.client.clone(),
            topic.to_owned(),
            consume,
            choose,
            self.closing.subscribe(),
        );
        self.starters.lock().push(tokio::spawn(starting));
    }

    /// Lets steps under way finish, within the [grace](SagaOptions::grace), and gives the lease back.
    /// Sagas that have not ended wait for the next runner. Safe to call twice.
    ///
    /// # Errors
    /// That with which it had ended before: where the topic is gone, or the store was closed.
    pub async fn close(&self) -> Result<()> {
        self.closing.send_replace(true);
        let starters = std::mem::take(&mut *self.starters.lock());
        for starter in starters {
            drop(starter.await);
        }
        let driver = self.driver.lock().take();
        match driver {
            Some(driver) => driver.await.unwrap_or(Ok(())),
            None => Ok(()),
        }
    }
}

impl<D> Deref for Sagas<D> {
    type Target = SagaClient<D>;

    fn deref(&self) -> &SagaClient<D> {
        &self.client
    }
}

impl<D> Drop for Sagas<D> {
    /// Steps under way are dropped where they are.
    fn drop(&mut self) {
        if let Some(driver) = self.driver.get_mut().take() {
            driver.abort();
        }
        for starter in self.starters.get_mut().drain(..) {
            starter.abort();
        }
    }
}
