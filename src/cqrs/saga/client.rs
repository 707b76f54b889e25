//! Sagas seen from outside: started, signalled, asked for and resumed, from any process.

use std::collections::BTreeMap;

use futures_util::TryStreamExt;
use serde::Serialize;

use super::{
    SagaData, SagaEvent, SagaOutcome, SagaState,
    event::types,
    log::{Found, Loaded, SagaLog},
};
use crate::{
    Error, EventFilter, EventStore, Read, Result, StreamId, Subscribe, TopicName, Version,
};

/// Starts sagas and asks for them, whichever process runs them: all it does is append and read. It needs
/// the name and the data of a [`Saga`](super::Saga), not its steps.
#[derive(Debug)]
pub struct SagaClient<D> {
    pub(super) log: SagaLog<D>,
}

/// What became of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signalled {
    /// It is recorded.
    Recorded,
    /// It was recorded before.
    Duplicate,
    /// The saga had ended, and nothing is recorded.
    Late,
}

impl<D> Clone for SagaClient<D> {
    fn clone(&self) -> Self {
        Self {
            log: self.log.clone(),
        }
    }
}

impl<D: SagaData> SagaClient<D> {
    /// The sagas of this name in this topic, which is there already. Sagas of several names can share a
    /// topic, and each has a stream of its own there, `NAME-ID`.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for a name that breaks the rule.
    pub fn new(store: &EventStore, topic: &str, name: &str) -> Result<Self> {
        let log = SagaLog::new(store, topic, name)?;
        Ok(Self { log })
    }

    /// Starts a saga, unless one of this id was started before, and returns whether it was not. When it
    /// returns, the saga is as durable as events of the topic are, and is done by whoever runs the sagas.
    ///
    /// # Errors
    /// Those of [`EventStore::append_events`].
    pub async fn start(&self, id: &str, data: D) -> Result<bool> {
        let started = [SagaEvent::SagaStarted { data }];
        match self.log.append(id, Version::NONE, &started, None).await {
            Ok(_) => Ok(true),
            // One that was deleted was started before too.
            Err(Error::WrongExpectedVersion { .. } | Error::StreamDeleted { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Records a signal for the step of this name, which may wait for it or come to. A signal with a `key`
    /// that the saga has is the same one. Of several with one name, the first counts.
    ///
    /// # Errors
    /// [`Error::StreamNotFound`] where no such saga was started;
    /// [`Error::Serialization`] where the payload cannot be written as JSON; those of
    /// [`EventStore::append_events`].
    pub async fn signal(
        &self,
        id: &str,
        name: &str,
        key: &str,
        payload: &(impl Serialize + Sync + ?Sized),
    ) -> Result<Signalled> {
        let payload = serde_json::to_value(payload).map_err(|error| Error::Serialization {
            what: format!("the signal {name:?} to JSON"),
            source: Box::new(error),
        })?;
        let signal = [SagaEvent::SignalReceived {
            name: name.to_owned(),
            key: key.to_owned(),
            payload,
        }];
        loop {
            // Before the key is looked for: one that is recorded after that look changes the version.
            let found = self.log.load(id).await?;
            if self.has_heard(id, key).await? {
                return Ok(Signalled::Duplicate);
            }
            let version = match found {
                Found::Missing => return Err(self.not_found(id)),
                Found::Saga(saga) if saga.state.is_ended() => return Ok(Signalled::Late),
                Found::Ended => return Ok(Signalled::Late),
                Found::Saga(saga) => saga.version,
                Found::Unreadable { version, .. } | Found::Parked { version } => version,
            };
            match self.log.append(id, version, &signal, None).await {
                Ok(_) => return Ok(Signalled::Recorded),
                Err(Error::WrongExpectedVersion { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn has_heard(&self, id: &str, key: &str) -> Result<bool> {
        let read = Read::stream(self.log.stream(id)?);
        let read = read.filter(EventFilter::all().types([types::SIGNAL]));
        let mut signals = self.log.store.read_events(&self.log.topic, read);
        while let Some(event) = signals.try_next().await? {
            let heard: serde_json::Value = event.json()?;
            if heard.get("key").and_then(|key| key.as_str()) == Some(key) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn not_found(&self, id: &str) -> Error {
        let named = || {
            Ok(Error::StreamNotFound {
                topic: TopicName::new(&self.log.topic)?,
                stream: StreamId::new(self.log.stream(id)?)?,
            })
        };
        named().unwrap_or_else(|error| error)
    }

    /// The state of a saga; none where it was not started.
    ///
    /// # Errors
    /// [`Error::Serialization`] where it is recorded with data that are no `D`; those of
    /// [`EventStore::get_events`].
    pub async fn status(&self, id: &str) -> Result<Option<SagaState<D>>> {
        Ok(self.loaded(id).await?.map(|saga| saga.state))
    }

    async fn loaded(&self, id: &str) -> Result<Option<Loaded<D>>> {
        match self.log.load(id).await? {
            Found::Saga(saga) => Ok(Some(saga)),
            Found::Missing => Ok(None),
            Found::Unreadable { error, .. } => Err(error),
            Found::Ended | Found::Parked { .. } => Err(Error::Serialization {
                what: format!("the saga {}{id}", self.log.prefix),
                source: format!("its data are no {}", std::any::type_name::<D>()).into(),
            }),
        }
    }

    /// The sagas that are parked, by id, each with the reason.
    ///
    /// # Errors
    /// Those of [`EventStore::read_events`].
    pub async fn parked(&self) -> Result<BTreeMap<String, String>> {
        #[derive(serde::Deserialize)]
        struct Parked {
            reason: String,
        }
        let filter = self.log.filter().types([types::PARKED, types::RESUMED]);
        let read = Read::all().filter(filter);
        let mut events = self.log.store.read_events(&self.log.topic, read);
        let mut parked = BTreeMap::new();
        while let Some(event) = events.try_next().await? {
            let Some(id) = self.log.id(&event) else {
                continue;
            };
            if event.event_type == types::PARKED {
                // One that cannot be read does not hide the others.
                let reason = match event.json() {
                    Ok(Parked { reason }) => reason,
                    Err(error) => format!("the reason cannot be read: {error}"),
                };
                parked.insert(id.to_owned(), reason);
            } else {
                parked.remove(id);
            }
        }
        Ok(parked)
    }

    /// Has a saga that is parked tried again where it stood, as often as at first. Returns whether it was
    /// parked.
    ///
    /// # Errors
    /// [`Error::StreamNotFound`] where no such saga was started; those of
    /// [`EventStore::append_events`].
    pub async fn resume(&self, id: &str) -> Result<bool> {
        loop {
            let version = match self.log.load(id).await? {
                Found::Missing => return Err(self.not_found(id)),
                Found::Saga(saga) if saga.state.parked.is_some() => saga.version,
                Found::Parked { version } => version,
                Found::Saga(_) | Found::Ended | Found::Unreadable { .. } => return Ok(false),
            };
            let resumed = [SagaEvent::SagaResumed];
            match self.log.append(id, version, &resumed, None).await {
                Ok(_) => return Ok(true),
                Err(Error::WrongExpectedVersion { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits until a saga has ended, or is parked.
    ///
    /// # Errors
    /// [`Error::StreamNotFound`] where no such saga was started; those of [`status`](Self::status).
    pub async fn wait(&self, id: &str) -> Result<SagaOutcome<D>> {
        let mut live = None;
        loop {
            let saga = self.loaded(id).await?;
            let saga = saga.ok_or_else(|| self.not_found(id))?;
            if let Some(outcome) = saga.state.outcome() {
                return Ok(outcome);
            }
            let live = match &mut live {
                Some(live) => live,
                None => {
                    let stream = self.log.stream(id)?;
                    let from = Subscribe::after(saga.last).stream(stream);
                    let subscribed = self.log.store.subscribe(&self.log.topic, from).await?;
                    live.insert(subscribed)
                }
            };
            if live.try_next().await?.is_none() {
                return Err(Error::Closed);
            }
        }
    }
}
