//! A device that works offline: a store of its own with a mirror of what the server has recorded and an
//! outbox of what was made here, and a sync that brings both together.
//!
//! The mirror never holds anything that the server has not recorded. What is in the outbox is applied on
//! top of it each time anew, see `rebase`.

mod outbox;
mod rebase;
mod remote;

use std::collections::BTreeMap;

use annals::{
    Append, Clock, ConfigurationStream, EventStore, EventStoreConfig, NewEvent, Read, SyncToken,
    SystemClock, Timestamp, TopicConfig,
};
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

pub(crate) use self::{
    outbox::Made,
    rebase::bringing_back,
    remote::{Outcome, Remote, Server, SyncError},
};
use self::{
    outbox::Noted,
    rebase::{Ready, Rebased, rebase},
};
use super::{
    Result,
    book::{Book, Wish},
    event::{Entity, Event},
    ledger::create,
    refusal::Refusal,
};

const MIRROR: &str = "mirror";
const OUTBOX: &str = "outbox";
/// The stream of the mirror that tells how far it has come; what the server has recorded has others.
const PULLED: &str = "pulled";
/// The most events that are pushed together.
const PORTION: usize = 100;
/// How often a sync begins anew because others write at the same time, before it gives up for now.
const ROUNDS: usize = 20;

/// A clock that is wrong.
#[derive(Debug)]
struct Skewed {
    micros: i64,
}

impl Clock for Skewed {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(SystemClock.now().as_micros() + self.micros)
    }
}

/// Where a device keeps its store, and how wrong its clock is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) adapter: String,
    pub(crate) connection: String,
    pub(crate) clock_ahead_micros: i64,
}

/// The mirror has come so far.
#[derive(Serialize, Deserialize)]
struct Pulled {
    token: SyncToken,
}

pub(crate) struct Device {
    pub(crate) name: String,
    store: EventStore,
    server: Server,
    clock: Skewed,
    mirror: Book,
    token: SyncToken,
    outbox: outbox::Outbox,
}

impl Device {
    /// Opens what the device has, or begins with nothing.
    pub(crate) async fn open(name: &str, place: &Place, server: Server) -> Result<Self> {
        let micros = place.clock_ahead_micros;
        let stream = ConfigurationStream::new(&place.adapter, &place.connection);
        let config = EventStoreConfig::new(stream).clock(Skewed { micros });
        let store = EventStore::open(config).await?;
        for topic in [MIRROR, OUTBOX] {
            let config = TopicConfig::new(topic, &place.adapter, &place.connection);
            create(&store, config).await?;
        }
        let mut mirror = Book::default();
        let mut token = SyncToken::START;
        let mut events = store.read_events(MIRROR, Read::all());
        while let Some(recorded) = events.try_next().await? {
            match Entity::of_stream(recorded.stream.as_str()) {
                Some(entity) => {
                    let event = Event::read(recorded.event_type.as_str(), recorded.json()?)?;
                    mirror.apply(entity, &event);
                }
                None => token = recorded.json::<Pulled>()?.token,
            }
        }
        let mut outbox = outbox::Outbox::default();
        let mut events = store.read_events(OUTBOX, Read::all());
        while let Some(recorded) = events.try_next().await? {
            outbox.read(&recorded)?;
        }
        Ok(Self {
            name: name.to_owned(),
            store,
            server,
            clock: Skewed { micros },
            mirror,
            token,
            outbox,
        })
    }

    /// All contacts and transactions as the user of the device sees them.
    pub(crate) fn view(&self) -> Book {
        self.rebased().book
    }

    /// What the server has recorded, as far as it is known here.
    pub(crate) const fn mirror(&self) -> &Book {
        &self.mirror
    }

    /// Whether the server has, or has refused, all that was made here.
    pub(crate) fn is_settled(&self) -> bool {
        self.outbox.pending.is_empty()
    }

    /// All that was ever made here, by the id of its event.
    pub(crate) const fn made(&self) -> &BTreeMap<Uuid, Made> {
        &self.outbox.made
    }

    /// What was made here and given up, and why: to be shown to the user.
    pub(crate) const fn dropped(&self) -> &BTreeMap<Uuid, String> {
        &self.outbox.dropped
    }

    /// Does what the user wishes, without asking anybody. Tells the id under which the server will hear
    /// of it; none where it is so already.
    pub(crate) async fn make(
        &mut self,
        entity: Entity,
        wish: &Wish,
    ) -> Result<Result<Option<Uuid>, Refusal>> {
        let event = match self.view().decide(entity, wish) {
            Ok(Some(event)) => event,
            Ok(None) => return Ok(Ok(None)),
            Err(refusal) => return Ok(Err(refusal)),
        };
        let made = Made {
            entity,
            // What changes nothing is not wished.
            wish: Wish::of(&event),
            at: self.clock.now().to_string(),
        };
        let id = Uuid::new_v4();
        self.note(id, Noted::Made(made)).await?;
        Ok(Ok(Some(id)))
    }

    /// Takes what the server has recorded, hands in what was made here, until both know all. The same
    /// push is sent `twice` to try what comes of that.
    ///
    /// Where it fails, nothing is lost, and it can be tried again at any time.
    pub(crate) async fn sync(&mut self, twice: bool) -> Result<(), SyncError> {
        // What the server has refused, and on which version.
        let mut refused: BTreeMap<Uuid, (u64, String)> = BTreeMap::new();
        for _ in 0..ROUNDS {
            self.pull().await?;
            let mut rebased = self.rebased();
            for ready in &rebased.ready {
                // Nothing has changed since, so nothing else will come of it.
                if let Some((at, reason)) = refused.remove(&ready.id)
                    && at == ready.expected
                {
                    rebased.lost.push((ready.of, reason));
                }
            }
            if !rebased.lost.is_empty() {
                for (of, reason) in rebased.lost {
                    self.note(Uuid::new_v4(), Noted::Dropped { of, reason })
                        .await?;
                }
                rebased = self.rebased();
            }
            if rebased.ready.is_empty() {
                return Ok(());
            }
            rebased.ready.truncate(PORTION);
            for (ready, outcome) in self.push(rebased.ready, twice).await? {
                if let Outcome::Refused { reason } = outcome {
                    refused.insert(ready.id, (ready.expected, reason));
                }
            }
        }
        Err(SyncError::Offline("others write all the time".to_owned()))
    }

    fn rebased(&self) -> Rebased {
        rebase(&self.mirror, &self.outbox)
    }

    /// Takes what the server has recorded since.
    async fn pull(&mut self) -> Result<(), SyncError> {
        loop {
            let changes = match self.server.changes(self.token).await {
                Err(SyncError::TokenExpired) => {
                    // The server has another store; what is known already is recognised below.
                    self.token = SyncToken::START;
                    continue;
                }
                changes => changes?,
            };
            self.take(&changes.events, changes.next).await?;
            if !changes.more {
                return Ok(());
            }
        }
    }

    /// Takes events into the mirror, together with the token: both, or neither.
    async fn take(&mut self, events: &[Remote], token: SyncToken) -> Result<(), SyncError> {
        let mut mirror = self.mirror.clone();
        let mut new = Vec::new();
        let mut settled = Vec::new();
        for remote in events {
            let entity = Entity::of_stream(&remote.stream);
            let entity = entity.ok_or_else(|| SyncError::broken(remote, "an unknown stream"))?;
            let known = mirror.version(entity);
            if self.outbox.is_unsettled(remote.id) {
                settled.push(remote.id);
            }
            if remote.version <= known {
                continue;
            }
            if remote.version > known + 1 {
                return Err(SyncError::broken(remote, "events before it are missing"));
            }
            let event = remote.event()?;
            mirror.apply(entity, &event);
            let data = remote.data.get().to_owned();
            new.push(
                NewEvent::json_text(&remote.event_type, data)
                    .id(remote.id)
                    .stream(&remote.stream),
            );
        }
        if token != self.token {
            let pulled = NewEvent::json("Pulled", &Pulled { token })?;
            new.push(pulled.id(Uuid::new_v4()).stream(PULLED));
            self.store.append_events(MIRROR, Append::new(new)).await?;
        }
        (self.mirror, self.token) = (mirror, token);
        for of in settled {
            self.note(Uuid::new_v4(), Noted::Settled { of }).await?;
        }
        Ok(())
    }

    async fn push(
        &self,
        ready: Vec<Ready>,
        twice: bool,
    ) -> Result<Vec<(Ready, Outcome)>, SyncError> {
        let shown: Result<Vec<_>, _> = ready.iter().map(Ready::shown).collect();
        let body = json!({ "device": self.name, "events": shown? });
        let outcomes = self.server.push(&body).await?;
        if twice {
            let again = self.server.push(&body).await?;
            for (first, again) in outcomes.iter().zip(&again) {
                first.check_again(again)?;
            }
        }
        if outcomes.len() != ready.len() {
            let what = format!("{} outcomes for {} events", outcomes.len(), ready.len());
            return Err(SyncError::Broken(what));
        }
        Ok(ready.into_iter().zip(outcomes).collect())
    }

    /// Writes into the outbox.
    async fn note(&mut self, id: Uuid, noted: Noted) -> annals::Result<()> {
        let event = noted.event(id)?;
        self.store.append_events(OUTBOX, event).await?;
        self.outbox.apply(id, noted);
        Ok(())
    }

    /// As where the server has another store.
    #[cfg(test)]
    pub(crate) const fn forget_token(&mut self) {
        self.token = SyncToken::START;
    }

    pub(crate) async fn close(&self) -> Result<()> {
        Ok(self.store.close().await?)
    }
}
