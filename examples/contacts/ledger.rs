//! The write side: carries out what a request wants, once, and tells how it is then.

use std::str::FromStr;

use annals::{
    AppendReceipt, ConfigurationStream, Error, EventStore, EventStoreConfig, Position, Read,
    RecordedEvent, TopicConfig,
    cqrs::{Aggregates, CommandError, Decisions, Envelope, Metadata, Schema},
};
use futures_util::TryStreamExt;
use serde::Serialize;
use uuid::Uuid;

use super::{
    Result,
    book::{Wish, contact_command, transaction_command},
    contact::{Contact, Standing},
    decisions::{DeleteContact, OpenTransaction},
    event::{Entity, Event, TOPIC},
    problem::Problem,
    refusal::Refusal,
    rows::{Details, Row},
    transaction::Transaction,
    views::Views,
};

/// Under this name the metadata of an event tells which request has led to it.
const REQUEST: &str = "request";

/// The service without its HTTP. A handle: cheap to clone.
#[derive(Clone)]
pub(crate) struct Ledger {
    pub(crate) store: EventStore,
    pub(crate) contacts: Aggregates<Contact>,
    pub(crate) transactions: Aggregates<Transaction>,
    pub(crate) decisions: Decisions<Event>,
    pub(crate) views: Views,
}

/// How a request wants its wish to be carried out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Terms {
    /// Its idempotency key.
    pub(crate) key: Option<String>,
    /// The version that it knows.
    pub(crate) expected: Option<u64>,
    /// What tells it from another request with the same key.
    pub(crate) fingerprint: Uuid,
}

/// How an entity is after a request.
pub(crate) struct Answer<D> {
    pub(crate) row: Row<D>,
    /// Up to where a reader has to have come to see it.
    pub(crate) position: Position,
    /// Whether the request had been carried out before.
    pub(crate) again: bool,
}

/// Opens a store that has its configuration where its events are.
pub(crate) async fn open(adapter: &str, connection: &str) -> Result<EventStore> {
    let stream = ConfigurationStream::new(adapter, connection);
    let config = EventStoreConfig::new(stream).allow_plain_secrets();
    Ok(EventStore::open(config).await?)
}

/// Opens the store in which the service keeps everything, with its topic.
pub(crate) async fn open_store(adapter: &str, connection: &str) -> Result<EventStore> {
    let store = open(adapter, connection).await?;
    create(&store, TopicConfig::new(TOPIC, adapter, connection)).await?;
    Ok(store)
}

/// Creates a topic, unless it is there.
pub(crate) async fn create(store: &EventStore, config: TopicConfig) -> annals::Result<()> {
    match store.create_topic(config).await {
        Ok(_) | Err(Error::TopicAlreadyExists { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

impl Ledger {
    pub(crate) async fn open(store: EventStore, read_models: Option<&str>) -> Result<Self> {
        Ok(Self {
            contacts: Aggregates::new(&store, TOPIC).category("contact"),
            transactions: Aggregates::new(&store, TOPIC).category("transaction"),
            decisions: Decisions::new(&store, TOPIC),
            views: Views::open(&store, read_models).await?,
            store,
        })
    }

    /// Carries out a wish once, however often it comes with the same key, and tells how the entity was
    /// after that.
    pub(crate) async fn carry_out<D: Details>(
        &self,
        entity: Entity,
        wish: Wish,
        terms: &Terms,
    ) -> Result<Answer<D>, Problem> {
        let receipt = self.execute(entity, wish, terms).await?;
        let Some(receipt) = receipt else {
            // It was so already.
            let position = self.store.get_latest_version(TOPIC).await?;
            return self.answer(entity, position, false).await;
        };
        if receipt.duplicate && self.fingerprint(receipt.first).await? != Some(terms.fingerprint) {
            return Err(Problem::key_reused());
        }
        self.answer(entity, receipt.last, receipt.duplicate).await
    }

    async fn execute(
        &self,
        entity: Entity,
        wish: Wish,
        terms: &Terms,
    ) -> Result<Option<AppendReceipt>, CommandError<Refusal>> {
        let (id, expected) = (entity.id(), terms.expected);
        let receipt = match (entity, &wish) {
            (Entity::Contact(contact), Wish::DeleteContact) => {
                let decision = DeleteContact { contact, expected };
                let decision = terms.envelope(decision)?;
                self.decisions.execute(decision).await?.receipt
            }
            (Entity::Contact(_), _) => {
                let command = contact_command(&wish, 0, expected).ok_or_else(not_found)?;
                let command = terms.envelope(command)?;
                self.contacts
                    .execute(&id.to_string(), command)
                    .await?
                    .receipt
            }
            (
                Entity::Transaction(transaction),
                Wish::CreateTransaction(_) | Wish::RestoreTransaction,
            ) => {
                let decision = OpenTransaction {
                    transaction,
                    contact: self.contact_of(transaction, &wish).await?,
                    wish,
                    expected,
                };
                let decision = terms.envelope(decision)?;
                self.decisions.execute(decision).await?.receipt
            }
            (Entity::Transaction(_), _) => {
                let command = transaction_command(&wish, Standing::Missing, expected);
                let command = terms.envelope(command.ok_or_else(not_found)?)?;
                self.transactions
                    .execute(&id.to_string(), command)
                    .await?
                    .receipt
            }
        };
        Ok(receipt)
    }

    /// The contact of a transaction, which never changes.
    async fn contact_of(&self, id: Uuid, wish: &Wish) -> Result<Uuid, CommandError<Refusal>> {
        if let Wish::CreateTransaction(details) = wish {
            return Ok(details.contact);
        }
        let found = self.transactions.load(&id.to_string()).await?.state;
        let details = found.details.ok_or_else(not_found)?;
        Ok(details.contact)
    }

    /// Which request has led to an event.
    async fn fingerprint(&self, position: Position) -> Result<Option<Uuid>, Problem> {
        let read = Read::all().after(position.previous()).limit(1);
        let events = self.store.get_events(TOPIC, read).await?;
        let metadata = events.first().map(Metadata::of);
        let request = metadata.as_ref().and_then(|said| said.get(REQUEST));
        let request = request.and_then(|request| Uuid::from_str(request.as_str()?).ok());
        Ok(request)
    }

    /// How an entity was at a position.
    async fn answer<D: Details>(
        &self,
        entity: Entity,
        position: Position,
        again: bool,
    ) -> Result<Answer<D>, Problem> {
        let read = Read::stream(entity.to_string()).up_to(position);
        let mut events = self.store.read_events(TOPIC, read);
        let schema = Schema::<Event>::new();
        let mut row = None;
        while let Some(recorded) = events.try_next().await? {
            if let Some(event) = schema.decode(&recorded)? {
                row = Row::after(row, entity.id(), &event, &recorded);
            }
        }
        let row = row.ok_or(Refusal::NotFound)?;
        Ok(Answer {
            row,
            position,
            again,
        })
    }

    pub(crate) async fn close(&self) -> Result<()> {
        self.views.close().await;
        Ok(self.store.close().await?)
    }
}

const fn not_found() -> CommandError<Refusal> {
    CommandError::Rejected(Refusal::NotFound)
}

impl Terms {
    fn envelope<C>(&self, command: C) -> annals::Result<Envelope<C>> {
        let said = Metadata::new().with(REQUEST, &self.fingerprint)?;
        let envelope = Envelope::new(command).metadata(said);
        Ok(match &self.key {
            Some(key) => envelope.idempotency_key(key),
            None => envelope,
        })
    }
}

/// An event as it goes over the wire.
#[derive(Debug, Serialize)]
pub(crate) struct Shown<'event> {
    position: u64,
    id: Uuid,
    stream: &'event str,
    version: u64,
    #[serde(rename = "type")]
    event_type: &'event str,
    data: &'event serde_json::value::RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'event serde_json::value::RawValue>,
    recorded_at: String,
}

impl<'event> Shown<'event> {
    pub(crate) fn of(event: &'event RecordedEvent) -> Result<Self, Problem> {
        let raw = |bytes: &'event [u8]| {
            serde_json::from_slice(bytes).map_err(|source| Error::Serialization {
                what: format!("the event {} to JSON", event.position),
                source: Box::new(source),
            })
        };
        let metadata = (!event.metadata.is_empty()).then(|| raw(&event.metadata));
        Ok(Self {
            position: event.position.get(),
            id: event.id,
            stream: event.stream.as_str(),
            version: event.version.get(),
            event_type: event.event_type.as_str(),
            data: raw(&event.payload)?,
            metadata: metadata.transpose()?,
            recorded_at: event.recorded_at.to_string(),
        })
    }
}
