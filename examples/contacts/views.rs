//! The read model, in memory or in PostgreSQL, and waiting until it has come to where somebody has written.

use std::time::Duration;

use annals::{
    EventStore, Position,
    cqrs::{Live, LiveModel},
};
use uuid::Uuid;

use super::{
    Result,
    event::{ContactDetails, TOPIC, TransactionDetails},
    memory::Lists,
    problem::Problem,
    rows::{Find, Page, Row},
    tables::Tables,
};

/// How long a reader waits for what he has written.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(crate) enum Views {
    Memory(LiveModel<Lists>),
    Tables(Tables),
}

impl Views {
    /// In the database of this URL, else in memory.
    pub(crate) async fn open(store: &EventStore, url: Option<&str>) -> Result<Self> {
        Ok(match url {
            Some(url) => Self::Tables(Tables::open(store, url).await?),
            None => Self::Memory(LiveModel::open(store, Live::topics([TOPIC])).await?),
        })
    }

    /// Waits until the model has come to a position.
    pub(crate) async fn wait_for(
        &self,
        store: &EventStore,
        position: Position,
    ) -> Result<(), Problem> {
        let head = store.get_latest_version(TOPIC).await?;
        if position > head {
            let ahead = format!("the position {position} is not recorded yet; the last is {head}");
            return Err(Problem::bad_request(ahead));
        }
        let waiting = async {
            match self {
                Self::Memory(model) => model.wait_for(TOPIC, position).await,
                Self::Tables(tables) => tables.projection.wait_for(TOPIC, position).await,
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(waited) => Ok(waited?),
            Err(_) => Err(Problem::behind(position.get())),
        }
    }

    pub(crate) async fn contact(&self, id: Uuid) -> Result<Option<Row<ContactDetails>>> {
        match self {
            Self::Memory(model) => Ok(model.read(|lists| lists.contacts.get(id))),
            Self::Tables(tables) => tables.contact(id).await,
        }
    }

    pub(crate) async fn contacts(&self, find: &Find) -> Result<Page<Row<ContactDetails>>> {
        match self {
            Self::Memory(model) => Ok(model.read(|lists| lists.contacts.find(find))),
            Self::Tables(tables) => tables.contacts(find).await,
        }
    }

    pub(crate) async fn transaction(&self, id: Uuid) -> Result<Option<Row<TransactionDetails>>> {
        match self {
            Self::Memory(model) => Ok(model.read(|lists| lists.transactions.get(id))),
            Self::Tables(tables) => tables.transaction(id).await,
        }
    }

    pub(crate) async fn transactions(&self, find: &Find) -> Result<Page<Row<TransactionDetails>>> {
        match self {
            Self::Memory(model) => Ok(model.read(|lists| lists.transactions.find(find))),
            Self::Tables(tables) => tables.transactions(find).await,
        }
    }

    /// What a contact owes.
    pub(crate) async fn balance(&self, contact: Uuid) -> Result<i64> {
        match self {
            Self::Memory(model) => {
                Ok(model.read(|lists| lists.balances.get(&contact).copied().unwrap_or(0)))
            }
            Self::Tables(tables) => tables.balance(contact).await,
        }
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Memory(model) => model.close().await,
            Self::Tables(tables) => tables.close().await,
        }
    }
}
