//! Webhooks: events sent to registered callbacks.
//!
//! A webhook is a consumer group of its own with one partition, of which one event at a time is in hand:
//! so its events are sent in order, at least once, by one server at a time, and it has tries, pauses, a
//! place for what is parked, and a position that survives. What it is like is kept as events beside its
//! topic.

mod configure;
mod definition;
mod sender;
mod signature;
mod state;
mod target;
mod worker;

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use axum::{
    Router,
    routing::{get, post},
};
use parking_lot::Mutex;
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use self::{
    definition::Definition,
    sender::Sender,
    worker::{Report, Worker},
};
use super::{
    ServerConfig,
    groups::{Newest, Stored, settings_of},
    problem::Problem,
    state::App,
};
use crate::{EventStore, Version};

/// How often it is looked whether another server has registered webhooks.
const LOOK: Duration = Duration::from_secs(10);

/// The routes.
pub(super) fn routes() -> Router<App> {
    let one = get(state::get)
        .put(configure::register)
        .delete(configure::forget);
    Router::new()
        .route("/webhooks", get(state::list))
        .route("/webhooks/{name}", one)
        .route("/webhooks/{name}/pause", post(configure::pause))
        .route("/webhooks/{name}/resume", post(configure::resume))
        .route("/webhooks/{name}/parked", get(state::parked))
        .route("/webhooks/{name}/replay", post(state::replay))
}

/// The webhooks that this server serves.
pub(super) struct Webhooks {
    settings: Newest,
    sender: Result<Arc<Sender>, String>,
    /// Guards the table only.
    table: Mutex<Table>,
    /// Turns true when no more is to be sent.
    stopping: watch::Sender<bool>,
    looking: Mutex<Option<JoinHandle<()>>>,
}

/// The webhooks that are known.
#[derive(Default)]
struct Table {
    known: HashMap<String, Known>,
    /// Who sends, and who is about to end as another one has taken its place.
    workers: JoinSet<()>,
    /// How many looks have begun, and the newest whose findings are here: those of an older one are left
    /// out.
    begun: u64,
    found: u64,
}

/// A webhook, and who sends its events.
struct Known {
    definition: Definition,
    version: Version,
    report: Arc<Mutex<Report>>,
    stop: watch::Sender<bool>,
}

/// A webhook as it is shown.
#[derive(Clone, Debug)]
struct Shown {
    definition: Definition,
    version: Version,
    report: Report,
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhooks").finish_non_exhaustive()
    }
}

impl Webhooks {
    pub(super) fn new(config: &ServerConfig) -> Self {
        Self {
            settings: Newest::of(&[super::groups::WEBHOOK_CONFIGURED, super::groups::FORGOTTEN]),
            sender: Sender::new(config).map(Arc::new),
            table: Mutex::default(),
            stopping: watch::Sender::new(false),
            looking: Mutex::default(),
        }
    }

    /// Begins to send, and to look for what others register.
    pub(super) fn start(app: &App) {
        let looks = Arc::clone(app);
        let looking = tokio::spawn(async move {
            let webhooks = &looks.webhooks;
            let mut stopping = looks.stopping.subscribe();
            loop {
                if let Err(error) = webhooks.look(&looks.store).await {
                    tracing::warn!(%error, "webhooks could not be looked up; tried again");
                }
                tokio::select! {
                    _ = stopping.wait_for(|stopping| *stopping) => return,
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
        });
        *app.webhooks.looking.lock() = Some(looking);
    }

    /// Sends no more.
    pub(super) async fn stop(&self) {
        self.stopping.send_replace(true);
        let looking = self.looking.lock().take();
        if let Some(looking) = looking {
            drop(looking.await);
        }
        let Table {
            known, mut workers, ..
        } = std::mem::take(&mut *self.table.lock());
        for one in known.values() {
            one.stop.send_replace(true);
        }
        while workers.join_next().await.is_some() {}
    }

    /// Sees to it that what is registered is sent, and nothing else.
    async fn look(&self, store: &EventStore) -> crate::Result<()> {
        let begun = {
            let mut table = self.table.lock();
            table.begun += 1;
            table.begun
        };
        let mut first = Ok(());
        let mut registered = HashMap::new();
        let mut unknown = Vec::new();
        for info in store.list_topics().await? {
            let Some(topic) = info.name.as_str().strip_suffix(".consumers") else {
                continue;
            };
            match settings_of::<Definition>(&self.settings, store, topic, "webhook").await {
                Ok(found) => registered.extend(found),
                Err(error) => {
                    unknown.push(topic.to_owned());
                    first = first.and(Err(error));
                }
            }
        }
        self.reconcile(begun, store, registered, &unknown);
        first
    }

    fn reconcile(
        &self,
        begun: u64,
        store: &EventStore,
        registered: HashMap<String, Stored<Definition>>,
        unknown: &[String],
    ) {
        let mut table = self.table.lock();
        // Asked with the table in hand: who stops takes it afterwards.
        if *self.stopping.borrow() || begun < table.found {
            return;
        }
        table.found = begun;
        while table.workers.try_join_next().is_some() {}
        table.known.retain(|name, one| {
            // Where it cannot be looked, all stays as it is.
            let stays = match registered.get(name) {
                Some(now) => now.version == one.version && now.value.topic == one.definition.topic,
                None => unknown.contains(&one.definition.topic),
            };
            if !stays {
                one.stop.send_replace(true);
            }
            stays
        });
        for (name, Stored { value, version }) in registered {
            if table.known.contains_key(&name) {
                continue;
            }
            let report = Arc::<Mutex<Report>>::default();
            let stop = watch::Sender::new(false);
            let worker = Worker {
                store: store.clone(),
                name: name.clone(),
                definition: value.clone(),
                version,
                sender: self.sender.clone(),
                report: Arc::clone(&report),
                stop: stop.subscribe(),
            };
            table.workers.spawn(worker.run());
            let one = Known {
                definition: value,
                version,
                report,
                stop,
            };
            table.known.insert(name, one);
        }
    }

    /// All webhooks, by name.
    async fn all(&self, store: &EventStore) -> Result<Vec<(String, Shown)>, Problem> {
        self.look(store).await?;
        let table = self.table.lock();
        let mut all: Vec<_> = table
            .known
            .iter()
            .map(|(name, one)| (name.clone(), one.shown()))
            .collect();
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(all)
    }

    /// The webhook of a name, if there is one.
    async fn one(&self, store: &EventStore, name: &str) -> Result<Option<Shown>, Problem> {
        self.look(store).await?;
        Ok(self.table.lock().known.get(name).map(Known::shown))
    }
}

impl Known {
    fn shown(&self) -> Shown {
        Shown {
            definition: self.definition.clone(),
            version: self.version,
            report: self.report.lock().clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ConfigurationStream, EventStoreConfig, Position, TopicConfig};

    async fn store() -> EventStore {
        let config = EventStoreConfig::new(ConfigurationStream::memory());
        let store = EventStore::open(config).await.unwrap();
        store.create_topic(TopicConfig::memory("t")).await.unwrap();
        store
    }

    fn registered(version: u64) -> HashMap<String, Stored<Definition>> {
        let given = serde_json::json!({ "topic": "t", "url": "https://example.com/" });
        let given = serde_json::from_value(given).unwrap();
        let from = super::super::groups::Place::After(Position::START.get());
        let value = Definition::new(given, from, None);
        let version = Version::new(version);
        HashMap::from([("hook".to_owned(), Stored { value, version })])
    }

    fn version(webhooks: &Webhooks) -> Option<u64> {
        let table = webhooks.table.lock();
        table.known.get("hook").map(|one| one.version.get())
    }

    #[tokio::test]
    async fn a_look_that_took_long_undoes_nothing() {
        let (store, webhooks) = (store().await, Webhooks::new(&ServerConfig::new()));
        webhooks.reconcile(2, &store, registered(2), &[]);
        webhooks.reconcile(1, &store, HashMap::new(), &[]);
        assert_eq!(version(&webhooks), Some(2));
        webhooks.reconcile(1, &store, registered(1), &[]);
        assert_eq!(version(&webhooks), Some(2));
        webhooks.reconcile(3, &store, HashMap::new(), &[]);
        assert_eq!(version(&webhooks), None);
        webhooks.stop().await;
    }

    #[tokio::test]
    async fn nobody_sends_after_the_end() {
        let (store, webhooks) = (store().await, Webhooks::new(&ServerConfig::new()));
        webhooks.reconcile(1, &store, registered(1), &[]);
        tokio::task::yield_now().await;
        // Another one takes its place, and the first has not ended yet.
        webhooks.reconcile(2, &store, registered(2), &[]);
        webhooks.stop().await;
        let sender = webhooks.sender.as_ref().unwrap();
        assert_eq!(Arc::strong_count(sender), 1, "somebody goes on");
        webhooks.reconcile(3, &store, registered(3), &[]);
        assert_eq!(version(&webhooks), None);
        assert_eq!(Arc::strong_count(sender), 1);
    }
}
