//! The aggregate that is measured: an account.

use std::path::Path;

use annals::{ConfigurationStream, EventStore, EventStoreConfig, TopicConfig, cqrs::Aggregate};
use serde::{Deserialize, Serialize};

use super::target::Result;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) cents: u64,
    pub(crate) entries: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum AccountEvent {
    Deposited {
        cents: u64,
        by: String,
        note: String,
    },
    Withdrawn {
        cents: u64,
        by: String,
    },
}

#[derive(Debug)]
pub(crate) enum AccountCommand {
    Deposit { cents: u64, by: String },
    Withdraw { cents: u64, by: String },
}

#[derive(Debug, thiserror::Error)]
#[error("{0} cents are missing")]
pub(crate) struct Missing(u64);

impl Aggregate for Account {
    type Event = AccountEvent;
    type Command = AccountCommand;
    type Error = Missing;

    fn decide(&self, command: &AccountCommand) -> std::result::Result<Vec<AccountEvent>, Missing> {
        Ok(vec![match command {
            AccountCommand::Deposit { cents, by } => AccountEvent::Deposited {
                cents: *cents,
                by: by.clone(),
                note: "at the counter, in the morning".to_owned(),
            },
            AccountCommand::Withdraw { cents, .. } if *cents > self.cents => {
                return Err(Missing(cents - self.cents));
            }
            AccountCommand::Withdraw { cents, by } => AccountEvent::Withdrawn {
                cents: *cents,
                by: by.clone(),
            },
        }])
    }

    fn apply(&mut self, event: &AccountEvent) {
        self.entries += 1;
        match event {
            AccountEvent::Deposited { cents, .. } => self.cents += cents,
            AccountEvent::Withdrawn { cents, .. } => self.cents -= cents,
        }
    }
}

/// A store with the topic `accounts`, both in files that are synced for each group of appends.
pub(crate) async fn files(directory: &Path) -> Result<EventStore> {
    let path = directory.join("store");
    let path = path.to_str().ok_or("the directory has no name in UTF-8")?;
    let config = EventStoreConfig::new(ConfigurationStream::file(path));
    let store = EventStore::open(config).await?;
    store
        .create_topic(TopicConfig::file("accounts", path))
        .await?;
    Ok(store)
}

/// A store with the topic `accounts`, both in a database.
pub(crate) async fn postgres(url: &str) -> Result<EventStore> {
    let config = EventStoreConfig::new(ConfigurationStream::postgres(url));
    let store = EventStore::open(config.allow_plain_secrets()).await?;
    store
        .create_topic(TopicConfig::postgres("accounts", url))
        .await?;
    Ok(store)
}
