//! What commands and queries share: the write model, the registry, and the way from a topic's name
//! to its repository.

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;

use crate::{
    gate::{Gate, Pass},
    models::{
        Clock, Error, Limits, Options, Placement, Result, StoreId, TopicInfo, TopicStatus,
        secrets::{has_plain_secret, is_reference, mask, mask_options, names_secret},
    },
    registry::Registry,
    repository::EventRepository,
    write_model::{Commit, ConfigurationEvent, Model, MoveWatch, Topic, WriteModel},
};

/// How often a decision is made anew because others were faster. Each time, somebody else has
/// got on, so nothing stands still.
const TRIES: usize = 1000;

/// What commands and queries share.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) gate: Gate,
    pub(crate) registry: Registry,
    pub(crate) write_model: Arc<WriteModel>,
    pub(crate) limits: Limits,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) read_only: bool,
    pub(crate) plain_secrets: bool,
    /// For how long a move is left alone whose mover does not say that it is at it.
    pub(crate) move_lease: Duration,
    pub(crate) watch: MoveWatch,
    /// Permits to hold whole pages of history, of which a page may have 1 MiB and a read holds some.
    pub(crate) history: Arc<Semaphore>,
}

/// A topic that is in use, and the repository where its events are.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) topic: Arc<Topic>,
    pub(crate) repository: Arc<dyn EventRepository>,
}

impl Context {
    /// Lets a call in that only reads.
    pub(crate) fn enter(&self) -> Result<Pass<'_>> {
        self.gate.enter()
    }

    /// Lets a call in that changes something.
    pub(crate) fn enter_to(&self, operation: &'static str) -> Result<Pass<'_>> {
        let pass = self.gate.enter()?;
        if self.read_only {
            Err(Error::ReadOnly { operation })
        } else {
            Ok(pass)
        }
    }

    /// The way to a topic. A topic that is not known here may have been created elsewhere.
    pub(crate) async fn route(&self, name: &str) -> Result<Route> {
        let topic = match self.write_model.topic(name) {
            Some(topic) => topic,
            None => self
                .write_model
                .refresh()
                .await?
                .topic(name)
                .cloned()
                .ok_or_else(|| not_found(name))?,
        };
        let repository = self.registry.get(&topic.placement).await?;
        Ok(Route { topic, repository })
    }

    /// The way to a topic that is to be read.
    ///
    /// A topic that was deleted elsewhere is sealed, and so is one that moves: the configuration
    /// tells then where it is by now. Nothing else would, since a seal hinders no reading.
    pub(crate) async fn route_to_read(&self, name: &str) -> Result<Route> {
        let route = self.route(name).await?;
        match route.repository.state(&route.topic.placement, None).await {
            Ok(state) => self.follow(name, route, state.sealed).await,
            Err(Error::TopicNotFound { .. }) => self.reroute(name, &route, false).await,
            Err(error) => Err(error),
        }
    }

    /// The way to a topic whose repository says whether it is `sealed` there. If it is, but the
    /// configuration still names the place, it is read there.
    pub(crate) async fn follow(&self, name: &str, route: Route, sealed: bool) -> Result<Route> {
        if !sealed {
            return Ok(route);
        }
        let model = self.write_model.refresh().await?;
        let topic = model.topic(name).cloned().ok_or_else(|| not_found(name))?;
        if topic.placement.storage == route.topic.placement.storage {
            return Ok(route);
        }
        let repository = self.registry.get(&topic.placement).await?;
        Ok(Route { topic, repository })
    }

    /// The way to a topic after its repository has refused a call, because the topic is `sealed`
    /// there or else gone: it may be elsewhere by now.
    ///
    /// # Errors
    /// [`Error::TopicSealed`] where it is moving.
    pub(crate) async fn reroute(&self, name: &str, before: &Route, sealed: bool) -> Result<Route> {
        let model = self.write_model.refresh().await?;
        let topic = model.topic(name).cloned().ok_or_else(|| not_found(name))?;
        if topic.placement.storage != before.topic.placement.storage {
            let repository = self.registry.get(&topic.placement).await?;
            return Ok(Route { topic, repository });
        }
        if !sealed {
            // The configuration still names the storage, so it was not purged.
            return Err(missing(&topic.placement));
        }
        if topic.moving.is_some() {
            return Err(Error::TopicSealed {
                topic: topic.placement.topic.clone(),
            });
        }
        // The configuration has the last word: it was sealed when it was deleted, or to be moved, and
        // whoever restored it or did not move it did not come so far as to unseal it.
        before
            .repository
            .unseal(&topic.placement, model.position)
            .await?;
        Ok(Route {
            topic,
            repository: Arc::clone(&before.repository),
        })
    }

    /// Takes a repository that could not be opened out of the health report, unless a topic is in
    /// it.
    pub(crate) fn discard_unused(&self, placement: &Placement) {
        let Ok(key) = self.registry.key(placement) else {
            return;
        };
        let model = self.write_model.current();
        let used = model
            .topics()
            .iter()
            .chain(model.deleted_topics())
            .any(|topic| {
                let target = topic.moving.iter().map(|moving| &moving.target);
                let mut all = topic.former.iter().chain([&topic.placement]).chain(target);
                all.any(|one| self.registry.key(one).is_ok_and(|one| one == key))
            });
        if !used {
            self.registry.discard(placement);
        }
    }

    /// Decides on the model and records what was decided, again and again until nobody else was
    /// faster. A decision is made on a model that is up to date once it refuses.
    pub(crate) async fn decide<T>(
        &self,
        mut decide: impl FnMut(&Model) -> Result<(ConfigurationEvent, T)>,
    ) -> Result<(T, Arc<Model>)> {
        let mut model = self.write_model.current();
        let mut fresh = false;
        for _ in 0..TRIES {
            let (event, decision) = match decide(&model) {
                Ok(decided) => decided,
                Err(_) if !fresh => {
                    model = self.write_model.refresh().await?;
                    fresh = true;
                    continue;
                }
                Err(error) => return Err(error),
            };
            match self.write_model.commit(&event, &model).await? {
                Commit::Recorded(now) => return Ok((decision, now)),
                Commit::Overtaken(now) => {
                    model = now;
                    fresh = true;
                }
            }
        }
        Err(Error::RepositoryUnavailable {
            repository: "configuration stream".to_owned(),
            reason: format!("others were faster {TRIES} times in a row; try again"),
            source: None,
        })
    }

    /// Refuses secrets that would be recorded in the configuration stream as they are.
    pub(crate) fn refuse_plain_secrets(&self, connection: &str, options: &Options) -> Result<()> {
        if self.plain_secrets {
            return Ok(());
        }
        let refused = |key: &str| {
            Error::InvalidConfig {
            key: key.to_owned(),
            reason: "it holds a secret as it is, which would be recorded; write `${NAME}` and set the variable, or allow it with `allow_plain_secrets`"
                .to_owned(),
        }
        };
        if has_plain_secret(connection) {
            return Err(refused("connection"));
        }
        let plain = |(key, value): &(&String, &String)| {
            names_secret(key) && !is_reference(value) || has_plain_secret(value)
        };
        match options.iter().find(plain) {
            Some((key, _)) => Err(refused(&format!("option `{key}`"))),
            None => Ok(()),
        }
    }

    /// The id of the store, which is known once it is open.
    pub(crate) fn store(&self) -> StoreId {
        self.write_model.current().store.unwrap_or(StoreId::NONE)
    }
}

/// A topic as users see it.
pub(crate) fn info(topic: &Topic, status: TopicStatus) -> TopicInfo {
    topic.info(status, &|placement| {
        placement.connection = mask(&placement.connection);
        placement.options = mask_options(&placement.options);
    })
}

/// The error for a storage that the configuration names and that is not there.
pub(crate) fn missing(placement: &Placement) -> Error {
    Error::Corruption {
        place: format!("topic {}, storage {}", placement.topic, placement.storage),
        reason: "the storage is missing in its repository".to_owned(),
    }
}

/// The error for a topic that is not there.
pub(crate) fn not_found(name: &str) -> Error {
    Error::TopicNotFound {
        topic: name.chars().take(128).collect(),
    }
}
