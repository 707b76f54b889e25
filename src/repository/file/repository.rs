//! One handle of a `file` repository: the contract, in terms of logs.

use std::{
    fs, io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use async_trait::async_trait;
use futures_util::{
    FutureExt, StreamExt,
    stream::{self, BoxStream},
};
use tokio::sync::watch;

use super::{
    disk::{self, unblock},
    layout,
    log::{self, Log, Role, Standing},
    options::FileOptions,
    pages::pages,
    shared::{POLL, Shared},
    verify,
};
use crate::{
    models::{
        AppendReceipt, Clock, Error, HealthStatus, Placement, Position, RecordedEvent,
        RepositoryHealth, Result, StorageId, StreamId,
    },
    repository::{
        AppendBatch, EventRepository, OpenRequest, Page, ReadPlan, StorageEntry, TopicState,
        Verified, import::import,
    },
};

/// One handle of a `file` repository. All handles of one process to one directory share it; the
/// last one that is closed closes it.
#[derive(Debug)]
pub struct FileRepository {
    shared: Arc<Shared>,
    name: String,
    clock: Arc<dyn Clock>,
    read_only: bool,
    closed: watch::Sender<bool>,
    left: AtomicBool,
}

impl FileRepository {
    pub(super) fn new(shared: Arc<Shared>, request: OpenRequest) -> Self {
        Self {
            shared,
            name: request.name,
            clock: request.clock,
            read_only: request.read_only,
            closed: watch::Sender::new(false),
            left: AtomicBool::new(false),
        }
    }

    fn check_open(&self) -> Result<()> {
        if *self.closed.borrow() {
            Err(Error::Closed)
        } else {
            Ok(())
        }
    }

    fn check_writable(&self, operation: &'static str) -> Result<()> {
        self.check_open()?;
        if self.read_only {
            Err(Error::ReadOnly { operation })
        } else {
            Ok(())
        }
    }

    async fn log(&self, placement: &Placement) -> Result<Arc<Log>> {
        self.check_open()?;
        self.shared.log(placement).await
    }

    /// Waits until a topic that this process writes is beyond a position.
    async fn wait_for_writer(&self, log: &Log, position: Position) -> Result<Position> {
        let mut published = log.published.subscribe();
        let found = published
            .wait_for(|now| now.head > position || now.standing != Standing::Open)
            .await
            .map(|now| now.head);
        log.published()?;
        found.map_err(|_| Error::Closed)
    }

    /// Looks from time to time whether another process has written.
    async fn wait_for_others(&self, log: &Arc<Log>, position: Position) -> Result<Position> {
        let (mut pause, longest) = POLL;
        loop {
            let looking = Arc::clone(log);
            unblock(move || looking.refresh()).await?;
            let head = log.published()?.head;
            if head > position {
                return Ok(head);
            }
            tokio::time::sleep(pause).await;
            pause = longest.min(pause * 2);
        }
    }
}

impl Drop for FileRepository {
    /// A handle that was not closed still counts no longer. What was accepted is finished by the
    /// threads that write; nothing acknowledged is lost.
    fn drop(&mut self) {
        if !self.left.swap(true, Ordering::AcqRel) {
            self.shared.abandon();
        }
    }
}

/// Whether the directory can be listed and, where it is to be, written to.
fn probe(shared: &Shared, writes: bool) -> io::Result<u64> {
    if writes {
        let probe = shared.directory.join("probe");
        let written = fs::write(&probe, b"annals");
        // A write that failed may have left an empty file.
        let removed = fs::remove_file(&probe);
        written.and(removed)?;
    }
    Ok(layout::storages(&shared.directory)?.len() as u64)
}

#[async_trait]
impl EventRepository for FileRepository {
    async fn prepare(&self, placement: &Placement) -> Result<()> {
        self.check_writable("make storage")?;
        let options = FileOptions::parse(&placement.options)?;
        let (shared, wanted, now) = (
            Arc::clone(&self.shared),
            placement.clone(),
            self.clock.now(),
        );
        unblock(move || shared.make(&wanted, now)).await?;
        let log = self.log(placement).await?;
        *log.writer()?.options.lock() = options;
        Ok(())
    }

    async fn append(
        &self,
        placement: &Placement,
        batch: Arc<AppendBatch>,
    ) -> Result<AppendReceipt> {
        self.check_writable("append")?;
        self.log(placement)
            .await?
            .append(batch, self.clock.now())
            .await
    }

    fn read(&self, placement: &Placement, plan: ReadPlan) -> BoxStream<'static, Result<Page>> {
        let (shared, placement, open) = (
            Arc::clone(&self.shared),
            placement.clone(),
            self.check_open(),
        );
        let closed = self.closed.subscribe();
        let log = async move {
            open?;
            shared.log(&placement).await
        };
        log.into_stream()
            .flat_map(move |log| match log {
                Ok(log) => {
                    let closed = closed.clone();
                    let check = move |page| {
                        if *closed.borrow() {
                            Err(Error::Closed)
                        } else {
                            page
                        }
                    };
                    pages(log, plan.clone()).map(check).boxed()
                }
                Err(error) => stream::iter([Err(error)]).boxed(),
            })
            .boxed()
    }

    async fn state(&self, placement: &Placement, stream: Option<&StreamId>) -> Result<TopicState> {
        let log = self.log(placement).await?;
        if let Role::Writes(_) = log.role
            && stream.is_none()
        {
            let published = log.published()?;
            return Ok(TopicState {
                head: published.head,
                sealed: published.sealed,
                stream: None,
            });
        }
        let stream = stream.cloned();
        unblock(move || {
            log.refresh()?;
            let published = log.published()?;
            log.ask(&published, |parts| log::state(parts, stream.as_ref()))
        })
        .await
    }

    async fn wait_beyond(&self, placement: &Placement, position: Position) -> Result<Position> {
        let log = self.log(placement).await?;
        let mut closed = self.closed.subscribe();
        tokio::select! {
            head = async {
                match log.role {
                    Role::Writes(_) => self.wait_for_writer(&log, position).await,
                    Role::Follows(_) => self.wait_for_others(&log, position).await,
                }
            } => head,
            _ = closed.wait_for(|closed| *closed) => Err(Error::Closed),
        }
    }

    async fn seal(&self, placement: &Placement, since: Position) -> Result<Position> {
        self.check_writable("seal a topic")?;
        self.log(placement).await?.set_sealed(true, since).await
    }

    async fn unseal(&self, placement: &Placement, since: Position) -> Result<()> {
        self.check_writable("unseal a topic")?;
        self.log(placement)
            .await?
            .set_sealed(false, since)
            .await
            .map(drop)
    }

    async fn import(&self, placement: &Placement, events: Vec<RecordedEvent>) -> Result<Position> {
        self.check_writable("import events")?;
        let log = self.log(placement).await?;
        import(self, placement, events, |rest| log.import(rest)).await
    }

    async fn verify(&self, placement: &Placement) -> Result<Verified> {
        let log = self.log(placement).await?;
        unblock(move || verify::verify(&log)).await
    }

    async fn list(&self) -> Result<Vec<StorageEntry>> {
        self.check_open()?;
        let shared = Arc::clone(&self.shared);
        unblock(move || {
            let failed = |error| shared.files.failed("list", &shared.directory, error);
            let mut entries = Vec::new();
            for storage in layout::storages(&shared.directory).map_err(failed)? {
                if storage == StorageId::CONFIGURATION {
                    continue;
                }
                let path = layout::storage_path(&shared.directory, storage);
                match layout::read_descriptor(&path) {
                    Ok(Ok(found)) => entries.push(StorageEntry {
                        storage,
                        store: found.store,
                        topic: found.topic,
                    }),
                    Ok(Err((offset, reason))) => {
                        let path = layout::descriptor_path(&path);
                        return Err(disk::corruption(&path, offset, reason));
                    }
                    // It was removed meanwhile.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => {
                        let path = layout::descriptor_path(&path);
                        return Err(shared.files.failed("read", &path, error));
                    }
                }
            }
            Ok(entries)
        })
        .await
    }

    async fn remove(&self, storage: StorageId) -> Result<()> {
        self.check_writable("remove storage")?;
        let shared = Arc::clone(&self.shared);
        unblock(move || shared.remove(storage)).await
    }

    async fn health(&self) -> RepositoryHealth {
        let started = Instant::now();
        let health = |status| RepositoryHealth::new(&self.name, status).latency(started.elapsed());
        if let Err(error) = self.check_open() {
            return health(HealthStatus::Down).last_error(error.to_string());
        }
        let poisoned = self.shared.poisoned();
        let notes = self.shared.notes.lock().clone();
        let (shared, writes) = (
            Arc::clone(&self.shared),
            self.shared.writes() && !self.read_only,
        );
        let probed = unblock(move || {
            probe(&shared, writes).map_err(|error| {
                disk::unavailable(&shared.files.repository, "use", &shared.directory, error)
            })
        });
        match (probed.await, poisoned) {
            (Err(error), _) => {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
                let text = format!("{error}{}", cause.unwrap_or_default());
                health(HealthStatus::Down).last_error(text).notes(notes)
            }
            (Ok(topics), Some(why)) => health(HealthStatus::Degraded)
                .last_error(why)
                .topics(topics)
                .notes(notes),
            (Ok(topics), None) => health(HealthStatus::Up).topics(topics).notes(notes),
        }
    }

    async fn close(&self) -> Result<()> {
        self.closed.send_replace(true);
        if !self.left.swap(true, Ordering::AcqRel) {
            self.shared.abandon();
        }
        // Also where it was closed before: whoever did that may have given up waiting.
        self.shared.finish_after_last().await
    }
}
