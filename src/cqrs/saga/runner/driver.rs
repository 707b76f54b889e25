//! Runs sagas while it has the lease: hears from the log what there is, gives each saga that has something
//! to do to a worker, and keeps how far the log is settled.

use std::{ops::ControlFlow, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};

use super::{
    SagaCounts, SagaOptions, left_behind,
    table::Table,
    worker::{Rest, Worker},
};
use crate::{
    Clock, Consume, Consumer, Error, Position, RecordedEvent, Result, STREAM_RESTORED, Timestamp,
    cqrs::saga::{
        Saga, SagaData,
        event::types,
        log::{Fence, SagaLog},
    },
};

/// How often it is recorded how far the log is settled.
const COMMIT: Duration = Duration::from_secs(1);
/// The longest sleep, so that a clock that was set is noticed.
const SLEEP: Duration = Duration::from_secs(10);
/// What a runner needs, from one lease to the next.
#[derive(Debug)]
pub(super) struct Driver<D> {
    pub(super) saga: Arc<Saga<D>>,
    pub(super) log: SagaLog<D>,
    pub(super) options: SagaOptions,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) counts: watch::Sender<Option<SagaCounts>>,
    pub(super) closing: watch::Receiver<bool>,
}

/// One lease, and what is done under it.
struct Lead<D> {
    worker: Arc<Worker<D>>,
    consumer: Consumer,
    table: Table,
    workers: JoinSet<(String, Result<Rest>)>,
    committed: Position,
}

impl<D: SagaData> Driver<D> {
    /// Runs sagas until it is closed, or the topic or the store is gone. While another runner has the
    /// lease, it waits for it.
    pub(super) async fn run(mut self) -> Result<()> {
        let mut pause = Duration::from_millis(100);
        loop {
            let begun = Instant::now();
            let led = self.lead().await;
            self.counts.send_replace(None);
            match led {
                Ok(()) => return Ok(()),
                Err(error @ (Error::Closed | Error::TopicNotFound { .. })) => {
                    tracing::error!(saga = self.saga.name, %error, "sagas have ended");
                    return Err(error);
                }
                Err(Error::LeaseLost { .. } | Error::ConditionFailed { .. }) => {
                    tracing::warn!(
                        saga = self.saga.name,
                        "another runner has taken the sagas over"
                    );
                }
                Err(error) => {
                    tracing::error!(saga = self.saga.name, %error, "sagas stopped; trying again");
                }
            }
            if begun.elapsed() > SLEEP {
                pause = Duration::from_millis(100);
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = closed(&mut self.closing) => return Ok(()),
            }
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    /// Takes the lease, and runs sagas for as long as it holds. Ends well where it is closed.
    async fn lead(&mut self) -> Result<()> {
        let mut closing = self.closing.clone();
        let mut lead = tokio::select! {
            taken = self.take() => taken?,
            () = closed(&mut closing) => return Ok(()),
        };
        let led = self.drive(&mut lead).await;
        if led.is_ok() {
            let finishing = self.finish(&mut lead);
            drop(tokio::time::timeout(self.options.grace, finishing).await);
        }
        lead.workers.shutdown().await;
        if led.is_ok() {
            drop(lead.settle().await);
            drop(lead.consumer.release().await);
        }
        led
    }

    async fn take(&self) -> Result<Lead<D>> {
        let consume = Consume::named(format!("saga {}", self.saga.name))
            .filter(self.log.filter())
            .lease(self.options.lease);
        let consumer = self.log.store.consume(&self.log.topic, consume).await?;
        let fence = Fence::raise(&self.log).await?;
        let mut table = Table::default();
        // Newer than the checkpoint perhaps, so that some come again by the log.
        for (id, position) in left_behind::read(&self.log).await? {
            table.left_behind(&id, position);
        }
        let worker = Worker {
            saga: Arc::clone(&self.saga),
            log: self.log.clone(),
            fence,
            clock: Arc::clone(&self.clock),
            closing: self.closing.clone(),
        };
        Ok(Lead {
            worker: Arc::new(worker),
            committed: consumer.position(),
            consumer,
            table,
            workers: JoinSet::new(),
        })
    }

    async fn drive(&self, lead: &mut Lead<D>) -> Result<()> {
        let mut closing = self.closing.clone();
        let mut commits = tokio::time::interval(COMMIT);
        commits.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let now = self.clock.now();
            lead.table.fire(now);
            lead.fill(self.options.concurrency);
            self.tell(lead.table.counts());
            let room = lead.table.queued() < self.options.concurrency;
            let sleep = lead.table.next_due().map_or(SLEEP, |due| pause(now, due));
            tokio::select! {
                () = closed(&mut closing) => return Ok(()),
                Some(done) = lead.workers.join_next() => {
                    let Ok((id, rest)) = done else { continue };
                    lead.table.rest(&id, rest?);
                }
                event = lead.consumer.next(), if room => match event {
                    Some(event) => lead.notice(&event?),
                    None => return Err(Error::Closed),
                },
                () = tokio::time::sleep(sleep) => {}
                _ = commits.tick() => {
                    if let ControlFlow::Break(error) = lead.commit().await {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Lets the workers finish the steps that are under way.
    async fn finish(&self, lead: &mut Lead<D>) {
        while let Some(done) = lead.workers.join_next().await {
            if let Ok((id, Ok(rest))) = done {
                lead.table.rest(&id, rest);
            }
        }
    }

    fn tell(&self, counts: SagaCounts) {
        self.counts.send_if_modified(|told| {
            let modified = *told != Some(counts);
            *told = Some(counts);
            modified
        });
    }
}

impl<D: SagaData> Lead<D> {
    /// Gives sagas to workers, as many as there are places.
    fn fill(&mut self, places: usize) {
        while self.workers.len() < places {
            let Some(id) = self.table.take() else {
                return;
            };
            let worker = Arc::clone(&self.worker);
            self.workers.spawn(async move {
                let working = AssertUnwindSafe(worker.work(&id)).catch_unwind().await;
                let rest = match working {
                    Ok(rest) => rest.or_else(|error| spare(&id, error, worker.clock.now())),
                    Err(_) => {
                        tracing::error!(saga = id, "a worker has panicked; trying again");
                        Ok(later(worker.clock.now()))
                    }
                };
                (id, rest)
            });
        }
    }

    fn notice(&mut self, event: &RecordedEvent) {
        let Some(id) = self.worker.log.id(event) else {
            return;
        };
        match event.event_type.as_str() {
            // One that was deleted was forgotten, and comes again where it is restored.
            types::STARTED | STREAM_RESTORED => self.table.started(id, event.position),
            types::SIGNAL | types::RESUMED => self.table.wake(id),
            _ => {}
        }
    }

    /// Records how far the log is settled. Only what says that another one has taken over is an end.
    async fn commit(&mut self) -> ControlFlow<Error> {
        match self.settle().await {
            Err(
                error @ (Error::LeaseLost { .. } | Error::ConditionFailed { .. } | Error::Closed),
            ) => ControlFlow::Break(error),
            Err(error) => {
                tracing::warn!(%error, "not recorded how far sagas are settled; trying again");
                ControlFlow::Continue(())
            }
            Ok(()) => ControlFlow::Continue(()),
        }
    }

    async fn settle(&mut self) -> Result<()> {
        let looked_to = self.consumer.position();
        let behind = looked_to
            .get()
            .saturating_sub(self.table.settled(looked_to).get());
        if behind > left_behind::BEHIND
            && let Some(list) = self.table.list(left_behind::MOST)
        {
            match left_behind::write(&self.worker.log, &self.worker.fence, &list).await {
                Ok(()) => self.table.listed(list),
                // Ids so long that they do not fit: the checkpoint goes as far as it can without.
                Err(Error::TooLarge { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let settled = self.table.settled(looked_to);
        if settled > self.committed {
            self.consumer.commit_to(settled).await?;
            self.committed = settled;
        }
        Ok(())
    }
}

/// What is wrong with one saga does not stop the others: it is tried again later.
fn spare(id: &str, error: Error, now: Timestamp) -> Result<Rest> {
    match error {
        Error::Closed | Error::ConditionFailed { .. } | Error::TopicNotFound { .. } => Err(error),
        error => {
            tracing::error!(saga = id, %error, "a saga cannot go on; trying again");
            Ok(later(now))
        }
    }
}

fn later(now: Timestamp) -> Rest {
    let micros = i64::try_from(SLEEP.as_micros()).unwrap_or(0);
    Rest::Waits(Timestamp::from_micros(
        now.as_micros().saturating_add(micros),
    ))
}

/// How long to sleep until then.
fn pause(now: Timestamp, due: Timestamp) -> Duration {
    // Timers of the runtime are in milliseconds.
    (now.until(due) + Duration::from_millis(1)).min(SLEEP)
}

/// Ready once it is closed, or nobody is there who could close it.
pub(super) async fn closed(closing: &mut watch::Receiver<bool>) {
    drop(closing.wait_for(|closing| *closing).await);
}
