//! The fixture that serves every adapter which a factory opens.

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use tempfile::TempDir;

use super::{Answer, Fixture, Job, Processes, Site, Task, elsewhere};
use crate::{
    models::{Clock, Options, Placement, Result, StorageId, StoreId, TopicName},
    repository::{EventRepository, OpenRequest, RepositoryFactory},
};

type MakeFactory = dyn Fn() -> Arc<dyn RepositoryFactory> + Send + Sync;

/// How a site comes by a connection that nobody else uses.
#[derive(Clone)]
enum Place {
    Name,
    Directory(Arc<dyn Fn(&str) -> String + Send + Sync>),
    Made(Arc<dyn Fn() -> String + Send + Sync>),
}

/// A fixture for an adapter that a [`RepositoryFactory`] opens: each site is a factory of its own
/// with a connection of its own.
pub struct FactoryFixture {
    name: String,
    make_factory: Arc<MakeFactory>,
    place: Place,
    options: Options,
    processes: Processes,
    worker: Option<PathBuf>,
}

impl FactoryFixture {
    /// An adapter that keeps its data in the process, in what the factory holds; connections are
    /// names.
    pub fn in_memory(
        name: impl Into<String>,
        make_factory: impl Fn() -> Arc<dyn RepositoryFactory> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            make_factory: Arc::new(make_factory),
            place: Place::Name,
            options: Options::new(),
            processes: Processes::None,
            worker: None,
        }
    }

    /// An adapter that keeps its data in a directory; connections are temporary directories.
    /// `worker` is a program that calls [`Job::from_environment`] and runs the job, so that the
    /// suite can see what a second process sees; a test binary can be its own worker.
    pub fn in_directory(
        name: impl Into<String>,
        processes: Processes,
        worker: impl Into<PathBuf>,
        make_factory: impl Fn() -> Arc<dyn RepositoryFactory> + Send + Sync + 'static,
    ) -> Self {
        Self {
            place: Place::Directory(Arc::new(str::to_owned)),
            processes,
            worker: Some(worker.into()),
            ..Self::in_memory(name, make_factory)
        }
    }

    /// The same, with connections that are made of the directory's path.
    pub fn in_directory_as(
        name: impl Into<String>,
        processes: Processes,
        worker: impl Into<PathBuf>,
        connect: impl Fn(&str) -> String + Send + Sync + 'static,
        make_factory: impl Fn() -> Arc<dyn RepositoryFactory> + Send + Sync + 'static,
    ) -> Self {
        Self {
            place: Place::Directory(Arc::new(connect)),
            ..Self::in_directory(name, processes, worker, make_factory)
        }
    }

    /// An adapter that keeps its data on a server; `connect` makes a connection to a place there
    /// that is empty and that nobody else uses. `worker` is as in
    /// [`in_directory`](Self::in_directory).
    pub fn on_server(
        name: impl Into<String>,
        processes: Processes,
        worker: impl Into<PathBuf>,
        connect: impl Fn() -> String + Send + Sync + 'static,
        make_factory: impl Fn() -> Arc<dyn RepositoryFactory> + Send + Sync + 'static,
    ) -> Self {
        Self {
            place: Place::Made(Arc::new(connect)),
            processes,
            worker: Some(worker.into()),
            ..Self::in_memory(name, make_factory)
        }
    }

    /// Sets an option of every placement.
    #[must_use]
    pub fn option(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.insert(key.into(), value.into());
        self
    }
}

impl fmt::Debug for FactoryFixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FactoryFixture")
            .field("name", &self.name)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Fixture for FactoryFixture {
    fn name(&self) -> &str {
        &self.name
    }

    async fn fresh(&self) -> Arc<dyn Site> {
        static SITES: AtomicU64 = AtomicU64::new(0);
        let mut directory = None;
        let connection = match &self.place {
            Place::Name => format!("site-{}", SITES.fetch_add(1, Ordering::Relaxed)),
            Place::Made(connect) => connect(),
            Place::Directory(connect) => {
                let made = TempDir::new().expect("a temporary directory can be made");
                let connection = connect(&made.path().to_string_lossy());
                directory = Some(made);
                connection
            }
        };
        Arc::new(FactorySite {
            adapter: self.name.clone(),
            factory: (self.make_factory)(),
            connection,
            options: self.options.clone(),
            processes: self.processes,
            worker: self.worker.clone(),
            store: StoreId::generate(),
            _directory: directory,
        })
    }
}

/// One factory and one connection.
#[derive(Debug)]
struct FactorySite {
    adapter: String,
    factory: Arc<dyn RepositoryFactory>,
    connection: String,
    options: Options,
    processes: Processes,
    worker: Option<PathBuf>,
    store: StoreId,
    _directory: Option<TempDir>,
}

impl FactorySite {
    fn request(&self, clock: Arc<dyn Clock>, read_only: bool) -> Result<OpenRequest> {
        let connection = self.factory.normalise(&self.connection, &self.options)?;
        Ok(OpenRequest {
            name: format!("{}:{connection}", self.adapter),
            connection,
            options: self.options.clone(),
            read_only,
            clock,
        })
    }
}

#[async_trait]
impl Site for FactorySite {
    async fn open(&self, clock: Arc<dyn Clock>) -> Result<Arc<dyn EventRepository>> {
        self.factory.open(self.request(clock, false)?).await
    }

    async fn open_to_read(&self, clock: Arc<dyn Clock>) -> Result<Arc<dyn EventRepository>> {
        self.factory.open(self.request(clock, true)?).await
    }

    fn placement(&self, topic: &str) -> Placement {
        Placement {
            topic: TopicName::new(topic).expect("the topic's name is valid"),
            adapter: self.adapter.clone(),
            connection: self.connection.clone(),
            options: self.options.clone(),
            storage: StorageId::generate(),
            store: self.store,
        }
    }

    fn processes(&self) -> Processes {
        self.processes
    }

    async fn elsewhere(&self, placement: &Placement, task: Task) -> Answer {
        let worker = self.worker.clone().expect("the fixture has a worker");
        let job = Job::new(&self.connection, placement.clone(), task);
        elsewhere::run(worker, job).await
    }
}
