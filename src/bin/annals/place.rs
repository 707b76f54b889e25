//! Where a topic is to be, as commands are told.

use annals::TopicConfig;

use super::{
    common::{Common, key_and_value},
    failure::Failure,
};

/// Where a topic is to be.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Place {
    /// The kind of repository: `file`, `postgres` or `blob`.
    #[arg(long, value_name = "ADAPTER", requires = "connection")]
    adapter: Option<String>,
    /// Its directory or URL; `${NAME}` in it stands for a variable of the environment, and is recorded
    /// as it stands.
    #[arg(long, value_name = "CONNECTION", requires = "adapter")]
    connection: Option<String>,
    /// An option of the adapter; may be repeated.
    #[arg(long = "option", value_name = "KEY=VALUE", value_parser = key_and_value)]
    options: Vec<(String, String)>,
}

impl Place {
    /// Whether a place is given, or only options are.
    pub(crate) const fn is_given(&self) -> bool {
        self.adapter.is_some()
    }

    /// A topic in this place: that of the configuration stream unless another one is given.
    pub(crate) fn topic(&self, name: &str, common: &Common) -> Result<TopicConfig, Failure> {
        let (adapter, connection) = match (&self.adapter, &self.connection) {
            (Some(adapter), Some(connection)) => (adapter.clone(), absolute(adapter, connection)?),
            _ => common.home()?,
        };
        Ok(with_options(
            TopicConfig::new(name, adapter, connection),
            &self.options,
        ))
    }
}

/// The same topic with these options.
pub(crate) fn with_options<'a>(
    config: TopicConfig,
    options: impl IntoIterator<Item = &'a (String, String)>,
) -> TopicConfig {
    options
        .into_iter()
        .fold(config, |config, (key, value)| config.option(key, value))
}

/// A directory is recorded with the topic, and has to be the same one wherever the store is opened
/// from. Other connections stay as they are.
pub(crate) fn absolute(adapter: &str, connection: &str) -> Result<String, Failure> {
    if adapter != "file" || connection.contains("${") {
        return Ok(connection.to_owned());
    }
    let absolute = std::path::absolute(connection)
        .map_err(|error| Failure::usage(format!("the directory {connection:?}: {error}")))?;
    absolute
        .into_os_string()
        .into_string()
        .map_err(|_| Failure::usage(format!("the directory {connection:?} is not UTF-8")))
}
