//! Copies events from one placement to another, and compares what is there.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use futures_util::StreamExt;

use super::{PATIENCE, Place, digest::Digest, mover::Mover};
use crate::{
    context::Context,
    models::{Error, MovePhase, MoveProgress, Placement, Position, RecordedEvent, Result},
    repository::ReadPlan,
};

/// The first and the longest pause after a failure.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// How far a move has copied and compared.
pub(super) struct Copying<'a> {
    mover: &'a Mover,
    /// How long a failure is tried again.
    pub(super) patience: Duration,
    /// What was read where the topic is.
    source: Digest,
    /// What was read where it goes.
    target: Digest,
    /// The last event that is there.
    there: Position,
    head: Position,
    began: Instant,
    /// How many events were copied.
    count: u64,
}

impl<'a> Copying<'a> {
    pub(super) fn new(mover: &'a Mover) -> Self {
        Self {
            mover,
            patience: PATIENCE,
            source: Digest::new(),
            target: Digest::new(),
            there: Position::START,
            head: Position::START,
            began: Instant::now(),
            count: 0,
        }
    }

    /// Makes the storage where the topic goes.
    pub(super) async fn prepare(&mut self) -> Result<()> {
        let Place {
            repository,
            placement,
        } = &self.mover.target;
        let mut retry = Retry::new(self);
        while let Err(error) = repository.prepare(placement).await {
            retry.after(error).await?;
        }
        Ok(())
    }

    /// The last event of the topic, where it is.
    pub(super) async fn source_head(&mut self) -> Result<Position> {
        self.head = head(&self.mover.from, Retry::new(self)).await?;
        Ok(self.head)
    }

    /// Seals the topic where it is, and tells its last event.
    pub(super) async fn seal(&mut self, since: Position) -> Result<Position> {
        let Place {
            repository,
            placement,
        } = &self.mover.from;
        let mut retry = Retry::new(self);
        self.head = loop {
            match repository.seal(placement, since).await {
                Ok(head) => break head,
                Err(error) => retry.after(error).await?,
            }
        };
        Ok(self.head)
    }

    /// Copies events up to this position.
    pub(super) async fn copy(&mut self, up_to: Position, phase: MovePhase) -> Result<()> {
        let mut retry = Retry::new(self);
        self.there = head(&self.mover.target, Retry::new(self)).await?;
        while self.source.at < up_to {
            let before = self.source.at;
            match self.copy_some(up_to, phase).await {
                Ok(()) if self.source.at == before => {
                    return Err(damaged(&self.mover.from, before.next(), "is missing"));
                }
                Ok(()) => {}
                Err(error) => retry.after(error).await?,
            }
            if self.source.at > before {
                retry = Retry::new(self);
            }
        }
        Ok(())
    }

    async fn copy_some(&mut self, up_to: Position, phase: MovePhase) -> Result<()> {
        let plan = ReadPlan {
            up_to,
            include_deleted: true,
            ..ReadPlan::all_after(self.source.at)
        };
        let Place {
            repository,
            placement,
        } = &self.mover.from;
        let mut pages = repository.read(placement, plan);
        let mut next = pages.next().await;
        while let Some(page) = next {
            let events = page?.events;
            self.check_open()?;
            // Where nothing ever waits, it is still to be heard that somebody is at it.
            tokio::task::consume_budget().await;
            let before = self.source.clone();
            for event in &events {
                if !self.source.add(event) {
                    let expected = self.source.at.next();
                    return Err(damaged(&self.mover.from, expected, "does not follow"));
                }
            }
            // The next page is read meanwhile.
            let (imported, following) = futures_util::future::join(
                import(&self.mover.target, self.there, events),
                pages.next(),
            )
            .await;
            match imported {
                Ok(head) => self.there = self.there.max(head),
                Err(error) => {
                    // These are read again.
                    self.source = before;
                    return Err(error);
                }
            }
            self.count += self.source.at.get() - before.at.get();
            next = following;
            self.tell(phase);
        }
        Ok(())
    }

    /// Compares what was copied with what is there.
    pub(super) async fn compare(&mut self, phase: MovePhase) -> Result<()> {
        let mut retry = Retry::new(self);
        self.tell(phase);
        while self.target.at < self.source.at {
            let before = self.target.at;
            match self.compare_some().await {
                Ok(()) if self.target.at == before => {
                    return Err(damaged(&self.mover.target, before.next(), "is missing"));
                }
                Ok(()) => {}
                Err(error) => retry.after(error).await?,
            }
            if self.target.at > before {
                retry = Retry::new(self);
            }
        }
        if self.target.value() == self.source.value() {
            Ok(())
        } else {
            let last = self.target.at;
            Err(damaged(
                &self.mover.target,
                last,
                "or one before it is not as it was copied",
            ))
        }
    }

    async fn compare_some(&mut self) -> Result<()> {
        let plan = ReadPlan {
            up_to: self.source.at,
            include_deleted: true,
            ..ReadPlan::all_after(self.target.at)
        };
        let Place {
            repository,
            placement,
        } = &self.mover.target;
        let mut pages = repository.read(placement, plan);
        while let Some(page) = pages.next().await {
            self.check_open()?;
            tokio::task::consume_budget().await;
            for event in &page?.events {
                if !self.target.add(event) {
                    let expected = self.target.at.next();
                    return Err(damaged(&self.mover.target, expected, "does not follow"));
                }
            }
        }
        Ok(())
    }

    /// Checks that neither place has an event behind the last that was compared.
    pub(super) async fn check_heads(&mut self, last: Position) -> Result<()> {
        for place in [&self.mover.from, &self.mover.target] {
            let head = head(place, Retry::new(self)).await?;
            if head != last {
                return Err(damaged(
                    place,
                    head,
                    "is the last, and another one was to be",
                ));
            }
        }
        Ok(())
    }

    /// A store that is closed does not wait for a long move.
    fn check_open(&self) -> Result<()> {
        if self.mover.context.gate.is_closed() {
            return Err(Error::Closed);
        }
        Ok(())
    }

    fn tell(&self, phase: MovePhase) {
        self.mover
            .copied
            .store(self.source.at.get(), Ordering::Relaxed);
        let seconds = self.began.elapsed().as_secs_f64();
        self.mover.options.tell(&MoveProgress {
            topic: self.mover.topic().clone(),
            phase,
            copied: self.source.at,
            head: self.head,
            events_per_second: self.count as f64 / seconds.max(f64::MIN_POSITIVE),
        });
    }
}

/// Records events where they are not there yet, and tells the last that is there.
async fn import(target: &Place, there: Position, events: Vec<RecordedEvent>) -> Result<Position> {
    if events.last().is_none_or(|last| last.position <= there) {
        return Ok(there);
    }
    target.repository.import(&target.placement, events).await
}

async fn head(place: &Place, mut retry: Retry<'_>) -> Result<Position> {
    loop {
        match place.repository.state(&place.placement, None).await {
            Ok(state) => return Ok(state.head),
            Err(error) => retry.after(error).await?,
        }
    }
}

fn damaged(place: &Place, position: Position, what: &str) -> Error {
    let Placement {
        topic,
        adapter,
        storage,
        ..
    } = &place.placement;
    Error::Corruption {
        place: format!("topic {topic} in `{adapter}`, storage {storage}"),
        reason: format!("the event at position {position} {what}"),
    }
}

/// Tries again after failures that may pass.
struct Retry<'a> {
    context: &'a Context,
    until: Instant,
    pause: Duration,
}

impl<'a> Retry<'a> {
    fn new(copying: &Copying<'a>) -> Self {
        Self {
            context: &copying.mover.context,
            until: Instant::now() + copying.patience,
            pause: RETRY.0,
        }
    }

    /// Rests after a failure, or gives it back where it has lasted too long.
    async fn after(&mut self, error: Error) -> Result<()> {
        if !error.is_retryable() || Instant::now() + self.pause > self.until {
            return Err(error);
        }
        let closing = tokio::select! {
            () = tokio::time::sleep(self.pause) => false,
            () = self.context.gate.closing() => true,
        };
        if closing {
            return Err(Error::Closed);
        }
        self.pause = RETRY.1.min(self.pause * 2);
        Ok(())
    }
}
