//! Who follows a topic for all of its live subscribers.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::{FutureExt, StreamExt};
use parking_lot::Mutex;
use tokio::{
    sync::watch,
    task::AbortHandle,
    time::{Instant, sleep, sleep_until},
};

use super::ring::{Batch, Found, Ring};
use crate::{
    Error, EventStore, Position, Result, Signal, Signals, Subscribe, Subscription,
    server::problem::kind,
};

/// How long events are gathered before subscribers are sent them in one: with a thousand of them, each
/// write counts. What comes after a quiet while is sent at once.
const TICK: Duration = Duration::from_millis(25);
/// The pause before a topic that could not be followed is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// The topics that are followed. The key has the position at which the topic was created, so that one
/// that has its name later is another one.
#[derive(Debug, Default)]
pub(in crate::server) struct Hubs {
    /// Guards the table only: nobody waits in it.
    hubs: Mutex<HashMap<(String, Position), Weak<Hub>>>,
}

/// A topic that is followed for as long as somebody has its hub.
#[derive(Debug)]
pub(super) struct Hub {
    topic: String,
    created: Position,
    seen: Arc<Seen>,
    following: AbortHandle,
}

/// What the hub shares with who follows the topic for it.
#[derive(Debug)]
struct Seen {
    /// Guards what is copied out of it at once.
    state: Mutex<State>,
    /// Woken once for each block, and when the state changes otherwise.
    changed: watch::Sender<()>,
}

#[derive(Debug)]
struct State {
    /// None before it has begun.
    ring: Option<Ring>,
    caught_up: bool,
    ended: Option<Ended>,
}

/// Why a topic is followed no more.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    /// In kebab-case, as problems have it.
    pub(super) reason: &'static str,
    pub(super) detail: String,
}

/// What a hub has for a subscriber.
#[derive(Debug)]
pub(super) enum Next {
    Found(Found),
    /// Nothing, and whether that is all which is recorded.
    Wait {
        caught_up: bool,
    },
    Ended(Ended),
}

impl Hubs {
    /// The hub of a topic, and a subscription to it: what a subscriber begins with. It tells whether the
    /// topic is there, and has the position.
    pub(super) async fn join(
        &self,
        store: &EventStore,
        topic: &str,
        subscribe: impl Fn() -> Subscribe + Send,
    ) -> Result<(Arc<Hub>, Subscription)> {
        loop {
            let before = store.get_topic(topic).await?.created_position;
            let live = store.subscribe(topic, subscribe()).await?;
            // Another one may have got its name in between.
            if store.get_topic(topic).await?.created_position == before {
                return Ok((self.hub(store, topic, before), live));
            }
        }
    }

    fn hub(&self, store: &EventStore, topic: &str, created: Position) -> Arc<Hub> {
        let mut hubs = self.hubs.lock();
        let key = (topic.to_owned(), created);
        if let Some(hub) = hubs.get(&key).and_then(Weak::upgrade)
            && !hub.has_ended()
        {
            return hub;
        }
        hubs.retain(|_, hub| hub.strong_count() > 0);
        let hub = Arc::new(Hub::follow(store.clone(), topic.to_owned(), created));
        hubs.insert(key, Arc::downgrade(&hub));
        hub
    }
}

impl Hub {
    fn follow(store: EventStore, topic: String, created: Position) -> Self {
        let seen = Arc::new(Seen {
            state: Mutex::new(State {
                ring: None,
                caught_up: false,
                ended: None,
            }),
            changed: watch::Sender::new(()),
        });
        let follows = Arc::clone(&seen);
        let name = topic.clone();
        let following = tokio::spawn(async move {
            let error = follows.follow(&store, &name, created).await;
            let ended = Ended::from(&error);
            follows.change(|state| state.ended = Some(ended));
        });
        Self {
            topic,
            created,
            seen,
            following: following.abort_handle(),
        }
    }

    /// Reads this topic, and no other one that has its name by now.
    pub(super) async fn subscribe(
        &self,
        store: &EventStore,
        from: Subscribe,
    ) -> Result<Subscription> {
        subscribe(store, (&self.topic, self.created), from).await
    }

    fn has_ended(&self) -> bool {
        self.seen.state.lock().ended.is_some()
    }

    /// Wakes when there may be more.
    pub(super) fn changed(&self) -> watch::Receiver<()> {
        self.seen.changed.subscribe()
    }

    /// Whether what comes after this position is to be had here.
    pub(super) fn reaches(&self, after: Position) -> bool {
        let state = self.seen.state.lock();
        state.ring.as_ref().is_some_and(|ring| ring.reaches(after))
    }

    /// What comes after this position.
    pub(super) fn next(&self, after: Position) -> Next {
        let state = self.seen.state.lock();
        let found = match &state.ring {
            Some(ring) => ring.next(after),
            None => Found::Gone,
        };
        match (found, &state.ended) {
            (Found::Nothing, Some(ended)) => Next::Ended(ended.clone()),
            (Found::Nothing, None) => {
                // One that has come with a later position waits for the hub to get there.
                let here = state.ring.as_ref().is_some_and(|ring| ring.end() == after);
                Next::Wait {
                    caught_up: state.caught_up && here,
                }
            }
            (found, _) => Next::Found(found),
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.following.abort();
    }
}

impl Seen {
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock());
        self.changed.send_replace(());
    }

    /// Follows the topic until it cannot be followed any more.
    async fn follow(&self, store: &EventStore, topic: &str, created: Position) -> Error {
        let live = loop {
            match subscribe(store, (topic, created), Subscribe::from_now()).await {
                Ok(live) => break live,
                Err(error) if error.is_retryable() => sleep(RETRY).await,
                Err(error) => return error,
            }
        };
        let start = live.position();
        self.change(|state| state.ring = Some(Ring::after(start)));
        let mut tail = Tail {
            seen: self,
            signals: live.signals(),
            batch: Batch::default(),
        };
        let mut due = Instant::now();
        loop {
            if let Err(error) = tail.gather(due).await {
                tail.seal();
                return error;
            }
            tail.seal();
            due = Instant::now() + TICK;
        }
    }
}

async fn subscribe(
    store: &EventStore,
    (topic, created): (&str, Position),
    from: Subscribe,
) -> Result<Subscription> {
    let live = store.subscribe(topic, from).await?;
    if store.get_topic(topic).await?.created_position == created {
        Ok(live)
    } else {
        let topic = topic.to_owned();
        Err(Error::TopicNotFound { topic })
    }
}

/// The end of a topic.
struct Tail<'a> {
    seen: &'a Seen,
    signals: Signals,
    batch: Batch,
}

impl Tail<'_> {
    /// Waits for an event, and gathers what comes until the time has come to send.
    async fn gather(&mut self, due: Instant) -> Result<()> {
        let first = self.signals.next().await;
        self.take(first)?;
        while !self.batch.is_full() {
            tokio::select! {
                biased;
                () = sleep_until(due) => break,
                more = self.signals.next() => self.take(more)?,
            }
        }
        while !self.batch.is_full()
            && let Some(more) = self.signals.next().now_or_never()
        {
            self.take(more)?;
        }
        Ok(())
    }

    fn take(&mut self, signal: Option<Result<Signal>>) -> Result<()> {
        match signal.unwrap_or(Err(Error::Closed))? {
            Signal::Event(event) => self.batch.add(&event),
            Signal::CaughtUp(_) => self.is(true),
            Signal::FellBehind(_) => self.is(false),
        }
        Ok(())
    }

    fn is(&mut self, caught_up: bool) {
        self.seal();
        self.seen.change(|state| state.caught_up = caught_up);
    }

    fn seal(&mut self) {
        if let Some(block) = self.batch.take() {
            self.seen.change(|state| {
                if let Some(ring) = &mut state.ring {
                    ring.add(block);
                }
            });
        }
    }
}

impl From<&Error> for Ended {
    fn from(error: &Error) -> Self {
        Self {
            reason: kind(error).1,
            detail: error.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ConfigurationStream, EventStoreConfig, TopicConfig};

    #[tokio::test]
    async fn a_hub_reads_no_other_topic_that_has_the_name_later() {
        let config = EventStoreConfig::new(ConfigurationStream::memory());
        let store = EventStore::open(config).await.unwrap();
        store.create_topic(TopicConfig::memory("t")).await.unwrap();
        let hubs = Hubs::default();
        let join = || hubs.join(&store, "t", Subscribe::from_now);
        let (old, _live) = join().await.unwrap();
        assert!(old.subscribe(&store, Subscribe::from_now()).await.is_ok());
        let (same, _live) = join().await.unwrap();
        assert!(Arc::ptr_eq(&old, &same));
        store.delete_topic("t").await.unwrap();
        store.create_topic(TopicConfig::memory("t")).await.unwrap();
        let found = old.subscribe(&store, Subscribe::from_now()).await;
        assert!(matches!(found, Err(Error::TopicNotFound { .. })));
        let (new, _live) = join().await.unwrap();
        assert!(!Arc::ptr_eq(&old, &new));
        assert!(new.subscribe(&store, Subscribe::from_now()).await.is_ok());
    }
}
