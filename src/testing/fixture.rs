//! What the suite has to know of an adapter: how to come by a fresh, empty place of it.

use std::{fmt, sync::Arc};

use async_trait::async_trait;

use super::{Answer, Task};
use crate::{
    models::{Clock, Placement, Result},
    repository::EventRepository,
};

/// An adapter, as the suite sees it.
#[async_trait]
pub trait Fixture: fmt::Debug + Send + Sync + 'static {
    /// What the adapter is called in the names of tests.
    fn name(&self) -> &str;

    /// A site that is empty and that no other case uses. What it needs is let go of when it is
    /// dropped.
    async fn fresh(&self) -> Arc<dyn Site>;
}

/// One place where an adapter keeps data: a directory, a schema, a prefix, a name.
#[async_trait]
pub trait Site: fmt::Debug + Send + Sync + 'static {
    /// Opens the repository. Called several times, it gives further handles on the same data,
    /// within this process; called after a handle was closed or dropped, it finds the data as it
    /// was left.
    async fn open(&self, clock: Arc<dyn Clock>) -> Result<Arc<dyn EventRepository>>;

    /// Opens the repository only to read, in this process, beside those who write.
    async fn open_to_read(&self, clock: Arc<dyn Clock>) -> Result<Arc<dyn EventRepository>>;

    /// A placement for this topic at this site, with a storage that nobody used before.
    fn placement(&self, topic: &str) -> Placement;

    /// What other processes may do with the site.
    fn processes(&self) -> Processes;

    /// Lets another process do `task` with the placement, and returns its answer. Not called
    /// where [`processes`](Self::processes) answers [`Processes::None`].
    async fn elsewhere(&self, placement: &Placement, task: Task) -> Answer;
}

/// What other processes may do with a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Processes {
    /// The data are within one process: no other one can reach them.
    None,
    /// One process writes; others read beside it, and are told that it is locked where they want
    /// to write.
    OneWriter,
    /// Any number of processes read and write.
    ManyWriters,
}
