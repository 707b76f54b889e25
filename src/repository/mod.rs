//! Repositories: the contract that every adapter keeps, and the adapters themselves.
//!
//! A repository holds the events of many topics, each in a storage of its own. It knows no topic
//! configuration beyond the [`Placement`] that it is handed with every call, and it is the only
//! place where guards are checked: an expected version, an idempotency key or a condition holds
//! between processes because the repository checks it where it writes.
//!
//! To bring an adapter of your own, implement [`EventRepository`] and [`RepositoryFactory`], let
//! the conformance suite of `annals::testing` (feature `testing`) check it, and register it with
//! `EventStoreConfig::adapter`. The promises P1 to P12 are
//! written down in `ARCHITECTURE.md`.

mod batch;
#[cfg(feature = "blob")]
pub mod blob;
mod checkpoints;
mod chunk;
mod decide;
#[cfg(feature = "file")]
pub mod file;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub(crate) mod import;
mod index;
pub mod memory;
mod paging;
mod parts;
mod plan;
#[cfg(feature = "postgres")]
pub mod postgres;
mod record;
mod sequence;
mod varint;

use std::{collections::BTreeMap, fmt, sync::Arc};

use async_trait::async_trait;
use futures_util::stream::BoxStream;

pub use batch::{AppendBatch, BatchEvent, Condition};
pub use checkpoints::Checkpoints;
pub use decide::{LogView, Verdict, decide};
pub use plan::{Page, ReadPlan};

use crate::models::{
    AppendReceipt, Clock, Options, Placement, Position, RecordedEvent, RepositoryHealth, Result,
    StorageId, StoreId, StreamId, StreamState, TopicName, secrets::mask_options,
};

/// One open repository: an adapter at a connection.
///
/// # Behaviour that all methods share
/// - **Concurrency**: every method may be called from any number of tasks at once.
/// - **Cancellation**: a future that is dropped leaves the whole operation done, or nothing of it.
///   It never leaves the repository in a state in which other calls fail.
/// - **Errors**: a repository that cannot be reached answers
///   [`RepositoryUnavailable`](crate::Error::RepositoryUnavailable), soon; damage is
///   [`Corruption`](crate::Error::Corruption) and never data; after [`close`](Self::close) every
///   method answers [`Closed`](crate::Error::Closed). Messages contain no secret.
/// - **Blocking**: no method blocks the thread that polls it.
///
/// There are no default methods: a wrapper has to forward each of them, and a new one breaks every
/// adapter at compile time rather than its promises at run time.
#[async_trait]
pub trait EventRepository: fmt::Debug + Send + Sync + 'static {
    /// Makes the placement's storage if it is not there, and applies the placement's options.
    ///
    /// Idempotent. When it returns, the storage survives a crash. What a crash leaves behind
    /// before that is either nothing or a storage that [`list`](Self::list) names.
    ///
    /// # Errors
    /// [`InvalidConfig`](crate::Error::InvalidConfig) names an option that the adapter does not
    /// know, and those that it does; nothing is made then.
    async fn prepare(&self, placement: &Placement) -> Result<()>;

    /// Checks the batch by [`decide`] and records all of its events, or none.
    ///
    /// Carries P1 to P5 and P10: when it returns a receipt, the events survive a crash of the
    /// process and of the machine, they have the next positions of the topic and the next versions
    /// of their streams, and no reader has seen or will see a part of them. Events are visible to
    /// every reader as soon as it has returned (P7).
    ///
    /// # Errors
    /// Those of [`decide`], with nothing written;
    /// [`TopicSealed`](crate::Error::TopicSealed) where the placement is sealed;
    /// [`OutcomeUnknown`](crate::Error::OutcomeUnknown) where it cannot be known whether the batch
    /// was recorded.
    async fn append(&self, placement: &Placement, batch: Arc<AppendBatch>)
    -> Result<AppendReceipt>;

    /// Reads pages of events.
    ///
    /// The read ends at the topic's last event at the moment of its first poll. Each page tells up
    /// to where it has looked, matches or not; a page may be empty of events, and the last page
    /// always tells the end of the read. Pages are bounded in memory (P12): some thousand events,
    /// or some MiB, whatever the size of the topic. Nothing is read ahead of the consumer but one
    /// page. After an error the stream ends.
    ///
    /// # Errors
    /// [`StreamDeleted`](crate::Error::StreamDeleted) as the first item where the plan is for one
    /// stream, the stream is deleted, and the plan does not include deleted ones.
    fn read(&self, placement: &Placement, plan: ReadPlan) -> BoxStream<'static, Result<Page>>;

    /// The topic's head, whether it is sealed, and the state of `stream` where one is asked for.
    async fn state(&self, placement: &Placement, stream: Option<&StreamId>) -> Result<TopicState>;

    /// Waits until the topic's head is beyond `position`, and returns the head.
    ///
    /// Returns at once where it is already. Appends of this process wake it at once, those of
    /// others within the adapter's polling interval. Answers
    /// [`Closed`](crate::Error::Closed) when the repository is closed meanwhile.
    async fn wait_beyond(&self, placement: &Placement, position: Position) -> Result<Position>;

    /// Refuses all appends from now on, also those of other processes, and returns the head, which
    /// is final then. Idempotent; durable when it returns.
    ///
    /// `since` is the position in the configuration stream by which this was decided. A seal or an
    /// unseal that was decided on before one that was applied does nothing: a process that stood
    /// still does not open a topic that was sealed meanwhile. Where several processes can write,
    /// that holds between them too.
    async fn seal(&self, placement: &Placement, since: Position) -> Result<Position>;

    /// Takes appends again after [`seal`](Self::seal), with the same rule about `since`. Idempotent;
    /// durable when it returns.
    async fn unseal(&self, placement: &Placement, since: Position) -> Result<()>;

    /// Records events as they are, with their positions, versions, ids and times: the way by which
    /// a topic moves in. The first has to be the next of the topic, and they are in order; those
    /// at or below the head are skipped, so that an import can be repeated. Events that are skipped
    /// have to be the recorded ones, also where others append or import at the same time; the name of
    /// their topic does not count.
    ///
    /// # Errors
    /// [`InvalidAppend`](crate::Error::InvalidAppend) where there is a gap;
    /// [`IdempotencyConflict`](crate::Error::IdempotencyConflict) where something else is recorded at
    /// the position of an event;
    /// [`TopicSealed`](crate::Error::TopicSealed) where the placement is sealed.
    async fn import(&self, placement: &Placement, events: Vec<RecordedEvent>) -> Result<Position>;

    /// Reads and checks everything that is stored for the placement.
    ///
    /// # Errors
    /// [`Corruption`](crate::Error::Corruption) names the first place that is damaged.
    async fn verify(&self, placement: &Placement) -> Result<Verified>;

    /// Every storage in the repository, used or not, that of configuration streams left out.
    async fn list(&self) -> Result<Vec<StorageEntry>>;

    /// Erases a storage for good. Idempotent. Calls for it that are under way fail.
    async fn remove(&self, storage: StorageId) -> Result<()>;

    /// How the repository is. Never fails, and answers within some seconds.
    async fn health(&self) -> RepositoryHealth;

    /// Takes no more calls, finishes what was accepted, and lets go of all resources. Idempotent.
    async fn close(&self) -> Result<()>;
}

/// The state of a topic in its repository.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TopicState {
    /// The position of the last event.
    pub head: Position,
    /// Whether appends are refused.
    pub sealed: bool,
    /// The state of the stream that was asked for.
    pub stream: Option<StreamState>,
}

/// One storage in a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageEntry {
    /// The storage.
    pub storage: StorageId,
    /// The store that made it.
    pub store: StoreId,
    /// The topic for which it was made.
    pub topic: TopicName,
}

/// What a walk through everything that is stored has found to be whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Events that were read and checked.
    pub events: u64,
    /// Bytes that were read and checked.
    pub bytes: u64,
    /// Files, or objects or tables, that were checked.
    pub parts: u64,
}

/// What a factory needs to open a repository.
#[derive(Clone)]
pub struct OpenRequest {
    /// The connection with its `${NAME}`s resolved. It may contain secrets: do not log it.
    pub connection: String,
    /// What to call the repository in errors, logs and health: `adapter:connection`, masked.
    pub name: String,
    /// The options of the topic for which the repository is opened, with their `${NAME}`s resolved.
    /// In placements they stand unresolved.
    pub options: BTreeMap<String, String>,
    /// Whether the repository is only read.
    pub read_only: bool,
    /// Tells the time at which events are recorded.
    pub clock: Arc<dyn Clock>,
}

impl fmt::Debug for OpenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The connection is resolved, so a secret may stand anywhere in it: the name tells enough.
        f.debug_struct("OpenRequest")
            .field("name", &self.name)
            .field("options", &mask_options(&self.options))
            .field("read_only", &self.read_only)
            .finish_non_exhaustive()
    }
}

/// Opens repositories of one adapter.
///
/// An error that it makes must not tell the connection: it may contain secrets. The name in the
/// request has none.
///
/// One factory serves one store, so an adapter that keeps its data in the process (as `memory`
/// does) can keep it in the factory.
#[async_trait]
pub trait RepositoryFactory: fmt::Debug + Send + Sync + 'static {
    /// Turns a resolved connection into the form under which the registry keeps the repository:
    /// two connections to the same place have the same form.
    ///
    /// Nothing is opened or made here, so this is where options are checked for the first time.
    ///
    /// # Errors
    /// [`InvalidConfig`](crate::Error::InvalidConfig) where the connection is malformed, or an
    /// option is not known or wrong.
    fn normalise(&self, connection: &str, options: &Options) -> Result<String>;

    /// Opens the repository. The registry calls it once for each normalised connection, and again
    /// after a failure.
    ///
    /// # Errors
    /// [`RepositoryUnavailable`](crate::Error::RepositoryUnavailable),
    /// [`RepositoryLocked`](crate::Error::RepositoryLocked) or
    /// [`InvalidConfig`](crate::Error::InvalidConfig).
    async fn open(&self, request: OpenRequest) -> Result<Arc<dyn EventRepository>>;
}
