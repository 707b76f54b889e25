//! What all commands are told: which store, and in which form to answer.

use std::path::Path;

use annals::{ConfigurationStream, EventStoreConfig, Limits};

use super::{
    failure::{Failure, Kind},
    place::absolute,
};

/// Which store, and in which form to answer.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Store")]
pub(crate) struct Common {
    /// The directory of the configuration stream, and of topics that name no other place.
    #[arg(
        long,
        value_name = "DIR",
        env = "ANNALS_DATA",
        default_value = "annals-data"
    )]
    pub(crate) data: String,
    /// Where the configuration stream is, if it is not in files: `postgres`, `blob`.
    #[arg(
        long,
        value_name = "ADAPTER",
        env = "ANNALS_CONFIGURATION_ADAPTER",
        requires = "configuration_connection"
    )]
    configuration_adapter: Option<String>,
    /// Its directory or URL; `${NAME}` in it stands for a variable of the environment.
    #[arg(
        long,
        value_name = "CONNECTION",
        env = "ANNALS_CONFIGURATION_CONNECTION",
        hide_env_values = true,
        requires = "configuration_adapter"
    )]
    configuration_connection: Option<String>,
    /// An option of its adapter; may be repeated.
    #[arg(
        long = "configuration-option",
        value_name = "KEY=VALUE",
        env = "ANNALS_CONFIGURATION_OPTIONS",
        hide_env_values = true,
        value_delimiter = ',',
        value_parser = key_and_value
    )]
    configuration_options: Vec<(String, String)>,
    /// Allow passwords that stand in connections as they are; they are recorded then.
    #[arg(long)]
    allow_plain_secrets: bool,
    /// Answer in JSON, one object a line; errors too, on standard error.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a command does with the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// It only reads, and so works beside a process that writes.
    Read,
    /// It changes what is there.
    Write,
    /// It makes the store where there is none.
    Create,
}

impl Common {
    /// What the store is opened with.
    pub(crate) fn config(&self, access: Access) -> Result<EventStoreConfig, Failure> {
        let (adapter, connection) = self.home()?;
        // A directory that is misspelt is not to become a store.
        let makes = access == Access::Create || adapter != "file" || connection.contains("${");
        if !makes && !Path::new(&connection).is_dir() {
            let reason =
                format!("there is no store in {connection}; `annals topic create` makes one");
            return Err(Failure::new(Kind::NotFound, reason));
        }
        let mut stream = ConfigurationStream::new(adapter, connection);
        for (key, value) in &self.configuration_options {
            stream = stream.option(key, value);
        }
        // The limits of an application are its own; here counts what the library takes at most.
        let config = EventStoreConfig::new(stream).limits(Limits {
            payload_bytes: Limits::MAX_PAYLOAD_BYTES,
            ..Limits::default()
        });
        let config = match access {
            Access::Read => config.read_only(),
            Access::Write | Access::Create => config,
        };
        Ok(if self.allow_plain_secrets {
            config.allow_plain_secrets()
        } else {
            config
        })
    }

    /// The adapter and the connection of the configuration stream, which are those of new topics too.
    pub(crate) fn home(&self) -> Result<(String, String), Failure> {
        match (&self.configuration_adapter, &self.configuration_connection) {
            (Some(adapter), Some(connection)) => {
                Ok((adapter.clone(), absolute(adapter, connection)?))
            }
            _ => Ok(("file".to_owned(), absolute("file", &self.data)?)),
        }
    }
}

/// `KEY=VALUE`.
pub(crate) fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("KEY=VALUE is expected".to_owned()),
    }
}
