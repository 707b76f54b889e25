//! What a store is opened with.

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    models::{Clock, Limits, Options, Placement, StorageId, StoreId, SystemClock, TopicName},
    registry::{Factories, Resolver, built_in},
    repository::RepositoryFactory,
};

/// Where the configuration stream is.
///
/// ```
/// # use annals::ConfigurationStream;
/// let files = ConfigurationStream::file("./data");
/// let database = ConfigurationStream::postgres("postgres://annals:${PASSWORD}@db/annals");
/// ```
#[derive(Clone)]
pub struct ConfigurationStream {
    adapter: String,
    connection: String,
    options: Options,
}

impl ConfigurationStream {
    /// In the repository of this adapter at this connection.
    pub fn new(adapter: impl Into<String>, connection: impl Into<String>) -> Self {
        Self {
            adapter: adapter.into(),
            connection: connection.into(),
            options: Options::new(),
        }
    }

    /// In memory: the topics are forgotten with the store.
    #[must_use]
    pub fn memory() -> Self {
        Self::new("memory", "")
    }

    /// In files below `directory`.
    pub fn file(directory: impl Into<String>) -> Self {
        Self::new("file", directory)
    }

    /// In a PostgreSQL database.
    pub fn postgres(url: impl Into<String>) -> Self {
        Self::new("postgres", url)
    }

    /// In an object store.
    pub fn blob(url: impl Into<String>) -> Self {
        Self::new("blob", url)
    }

    /// Sets an option of the adapter.
    #[must_use]
    pub fn option(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.insert(key.into(), value.into());
        self
    }

    pub(crate) fn placement(&self) -> Placement {
        Placement {
            topic: TopicName::configuration(),
            adapter: self.adapter.clone(),
            connection: self.connection.clone(),
            options: self.options.clone(),
            storage: StorageId::CONFIGURATION,
            store: StoreId::NONE,
        }
    }
}

impl fmt::Debug for ConfigurationStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigurationStream")
            .field("adapter", &self.adapter)
            .field(
                "connection",
                &crate::models::secrets::mask(&self.connection),
            )
            .finish_non_exhaustive()
    }
}

/// What a store is opened with: where its configuration stream is, and settings that have good
/// defaults.
///
/// ```
/// # use annals::{ConfigurationStream, EventStoreConfig, Limits};
/// let config = EventStoreConfig::new(ConfigurationStream::file("./data"))
///     .limits(Limits { payload_bytes: 64 << 10, ..Limits::default() })
///     .resolver(|name| (name == "PASSWORD").then(|| "from the vault".to_owned()));
/// ```
pub struct EventStoreConfig {
    pub(crate) configuration: ConfigurationStream,
    pub(crate) factories: Factories,
    pub(crate) limits: Limits,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) resolver: Resolver,
    pub(crate) read_only: bool,
    pub(crate) plain_secrets: bool,
    pub(crate) move_lease: Duration,
}

impl EventStoreConfig {
    /// A store that is configured by this stream.
    #[must_use]
    pub fn new(configuration: ConfigurationStream) -> Self {
        Self {
            configuration,
            factories: built_in(),
            limits: Limits::default(),
            clock: Arc::new(SystemClock),
            resolver: Arc::new(|name| std::env::var(name).ok()),
            read_only: false,
            plain_secrets: false,
            move_lease: Duration::from_secs(15),
        }
    }

    /// Adds an adapter, or replaces one that comes with the crate.
    #[must_use]
    pub fn adapter(mut self, name: impl Into<String>, factory: Arc<dyn RepositoryFactory>) -> Self {
        self.factories.insert(name.into(), factory);
        self
    }

    /// Sets how large appends and bounded reads may be.
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets where the time comes from.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets what a `${NAME}` in a connection stands for; else it is a variable of the environment.
    #[must_use]
    pub fn resolver(
        mut self,
        resolver: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.resolver = Arc::new(resolver);
        self
    }

    /// Opens the store to read only. It can be opened so beside a process that writes, and sees
    /// what that writes.
    #[must_use]
    pub const fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Sets for how long a move of a topic is left alone whose mover does not say that it is at it: 15 s
    /// if it is not set, and 100 ms at least. Then another process takes it over. All processes on one
    /// configuration stream should have the same.
    #[must_use]
    pub fn move_lease(mut self, lease: Duration) -> Self {
        self.move_lease = lease.max(Duration::from_millis(100));
        self
    }

    /// Allows passwords that stand in a connection as they are. They are recorded in the
    /// configuration stream then, for everyone to read who can read that.
    #[must_use]
    pub const fn allow_plain_secrets(mut self) -> Self {
        self.plain_secrets = true;
        self
    }
}

impl fmt::Debug for EventStoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStoreConfig")
            .field("configuration", &self.configuration)
            .field("adapters", &self.factories.keys().collect::<Vec<_>>())
            .field("limits", &self.limits)
            .field("read_only", &self.read_only)
            .finish_non_exhaustive()
    }
}
