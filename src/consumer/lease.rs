//! The lease of a consumer: taken by compare and swap, renewed while it is held, and proven by every
//! write of a checkpoint.
//!
//! Clocks decide when somebody may try to take it over; whether he succeeds, and whether the one before
//! him can still write, is decided by the checkpoint alone.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{Mutex, watch},
    task::JoinHandle,
};
use uuid::Uuid;

use crate::{
    Checkpoint, Clock, Commit, Error, Holder, Position, Result, Timestamp, repository::Checkpoints,
};

/// How often one who waits for a lease looks, at least and at most.
const LOOK: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// A lease that is held, until it is lost, released or dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    shared: Arc<Shared>,
    /// None where whoever holds it is known to live by something else.
    renewing: Option<JoinHandle<()>>,
    released: bool,
}

#[derive(Debug)]
struct Shared {
    checkpoints: Arc<dyn Checkpoints>,
    clock: Arc<dyn Clock>,
    key: String,
    owner: Uuid,
    epoch: u64,
    time: Duration,
    /// The record as it was written last. Whoever writes holds it until he knows what came of it.
    record: Mutex<Checkpoint>,
    standing: watch::Sender<Standing>,
}

/// Whether the holder may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It may until then, as its own clock counts.
    Until(Instant),
    /// Another one has the lease.
    Lost,
}

impl Lease {
    /// Takes the lease as soon as nobody has it.
    pub(crate) async fn acquire(
        checkpoints: Arc<dyn Checkpoints>,
        clock: Arc<dyn Clock>,
        key: String,
        origin: String,
        time: Duration,
    ) -> Result<Self> {
        let owner = Uuid::new_v4();
        let mut watched: Option<(u64, Instant)> = None;
        let mut pause = LOOK.0;
        loop {
            let asked = Instant::now();
            let found = checkpoints.load(&key).await?;
            let revision = found.revision;
            if is_free(&found, clock.now(), watched, time) {
                let taken = taken(found, &origin, owner, until(&*clock, time));
                let taking = take(
                    Arc::clone(&checkpoints),
                    Arc::clone(&clock),
                    key.clone(),
                    (owner, taken, asked),
                    time,
                );
                // A task of its own: where the caller is dropped, what was taken is given back.
                match tokio::spawn(taking).await.map_err(|_| Error::Closed)? {
                    Err(Error::CheckpointConflict { .. }) => continue,
                    // It can be read, so this is about the one record: its holder is writing it.
                    Err(Error::RepositoryUnavailable { .. }) => {}
                    taken => return taken,
                }
            }
            if watched.is_none_or(|(before, _)| before != revision) {
                watched = Some((revision, asked));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min((time / 10).clamp(LOOK.0, LOOK.1));
        }
    }

    /// Takes a lease that is not renewed, over from whoever has it, if the record is still as it was
    /// `found`: that the one who has it does not live any more is for the caller to know.
    pub(crate) async fn seize(
        checkpoints: Arc<dyn Checkpoints>,
        clock: Arc<dyn Clock>,
        key: String,
        origin: &str,
        (owner, found): (Uuid, Checkpoint),
    ) -> Result<Option<Self>> {
        let asked = Instant::now();
        let time = Duration::MAX / 4;
        let mut taken = taken(found, origin, owner, until(&*clock, time));
        match checkpoints.replace(&key, &taken).await {
            Ok(revision) => {
                taken.revision = revision;
                let held = (owner, taken, asked);
                Ok(Some(Self::hold(
                    checkpoints,
                    clock,
                    key,
                    Duration::ZERO,
                    held,
                )))
            }
            Err(Error::CheckpointConflict { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn hold(
        checkpoints: Arc<dyn Checkpoints>,
        clock: Arc<dyn Clock>,
        key: String,
        time: Duration,
        (owner, record, until): (Uuid, Checkpoint, Instant),
    ) -> Self {
        let shared = Arc::new(Shared {
            checkpoints,
            clock,
            key,
            owner,
            epoch: record.epoch,
            time,
            record: Mutex::new(record),
            standing: watch::Sender::new(Standing::Until(until)),
        });
        Self {
            shared,
            renewing: None,
            released: false,
        }
    }

    /// How far the consumer had come when it took the lease, or what was committed since.
    pub(crate) async fn record(&self) -> Checkpoint {
        self.shared.record.lock().await.clone()
    }

    /// Tells whether the holder may go on.
    pub(crate) fn standing(&self) -> watch::Receiver<Standing> {
        self.shared.standing.subscribe()
    }

    /// Writes how far the consumer has come, and a note where one is given.
    pub(crate) async fn commit(&self, position: Position, note: Option<String>) -> Result<()> {
        let change = |next: &mut Checkpoint| {
            next.position = Some(position);
            if let Some(note) = &note {
                next.note.clone_from(note);
            }
        };
        self.shared.write(change).await
    }

    /// What proves that the holder has come to a position.
    pub(crate) fn pending(&self, position: Position) -> Commit {
        Commit {
            consumer: self.shared.key.clone(),
            position,
            owner: self.shared.owner,
            epoch: self.shared.epoch,
        }
    }

    /// Gives the lease back.
    pub(crate) async fn release(mut self) -> Result<()> {
        self.stop_renewing();
        self.released = true;
        self.shared.release().await
    }
}

impl Lease {
    fn stop_renewing(&self) {
        if let Some(renewing) = &self.renewing {
            renewing.abort();
        }
    }
}

impl Drop for Lease {
    /// The lease is given back in the background, if the runtime goes on for so long.
    fn drop(&mut self) {
        self.stop_renewing();
        if self.released {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let shared = Arc::clone(&self.shared);
            runtime.spawn(async move { shared.release().await });
        }
    }
}

impl Shared {
    /// Replaces the record, with the lease renewed.
    async fn write(&self, change: impl Fn(&mut Checkpoint)) -> Result<()> {
        let mut record = self.record.lock().await;
        loop {
            if *self.standing.borrow() == Standing::Lost {
                return Err(self.lost());
            }
            let asked = Instant::now();
            let mut next = record.clone();
            next.holder = Some(Holder {
                owner: self.owner,
                until: until(&*self.clock, self.time),
            });
            change(&mut next);
            match self.checkpoints.replace(&self.key, &next).await {
                Ok(revision) => {
                    next.revision = revision;
                    *record = next;
                    let standing = Standing::Until(asked + self.time);
                    self.standing.send_replace(standing);
                    return Ok(());
                }
                // It may have been written in a transaction of the user's, or by a try of ours of
                // which we did not hear.
                Err(error @ Error::CheckpointConflict { .. }) => {
                    let found = self.checkpoints.load(&self.key).await?;
                    if found.epoch != self.epoch
                        || found.holder.is_none_or(|holder| holder.owner != self.owner)
                    {
                        self.standing.send_replace(Standing::Lost);
                        return Err(self.lost());
                    }
                    if found.revision == record.revision {
                        return Err(error);
                    }
                    *record = found;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn release(&self) -> Result<()> {
        let released = self.write(|next| next.holder = None).await;
        self.standing.send_replace(Standing::Lost);
        match released {
            Err(Error::LeaseLost { .. }) => Ok(()),
            released => released,
        }
    }

    fn lost(&self) -> Error {
        Error::LeaseLost {
            consumer: self.key.clone(),
        }
    }
}

/// Takes a lease, and renews it from then on.
async fn take(
    checkpoints: Arc<dyn Checkpoints>,
    clock: Arc<dyn Clock>,
    key: String,
    (owner, mut taken, asked): (Uuid, Checkpoint, Instant),
    time: Duration,
) -> Result<Lease> {
    taken.revision = checkpoints.replace(&key, &taken).await?;
    let held = (owner, taken, asked + time);
    let mut lease = Lease::hold(checkpoints, clock, key, time, held);
    let renewing = renew(Arc::clone(&lease.shared));
    lease.renewing = Some(tokio::spawn(renewing));
    Ok(lease)
}

/// Renews a lease until it is lost.
async fn renew(shared: Arc<Shared>) {
    let mut pause = shared.time / 3;
    loop {
        tokio::time::sleep(pause).await;
        pause = match shared.write(|_| {}).await {
            Ok(()) => shared.time / 3,
            Err(Error::LeaseLost { .. }) => {
                tracing::warn!(consumer = %shared.key, "another instance has taken over");
                return;
            }
            Err(Error::Closed) => return,
            Err(error) => {
                tracing::warn!(consumer = %shared.key, %error, "lease not renewed; trying again");
                shared.time / 10
            }
        };
    }
}

/// Whether a lease may be taken: nobody has it, its time is over, or it was not renewed for its time
/// as who wants it has `watched`.
fn is_free(
    found: &Checkpoint,
    now: Timestamp,
    watched: Option<(u64, Instant)>,
    time: Duration,
) -> bool {
    let Some(holder) = found.holder else {
        return true;
    };
    let stands_still = watched
        .is_some_and(|(revision, since)| revision == found.revision && since.elapsed() > time);
    holder.until < now || stands_still
}

/// The record once the lease is taken.
fn taken(found: Checkpoint, origin: &str, owner: Uuid, until: Timestamp) -> Checkpoint {
    let holder = Some(Holder { owner, until });
    let epoch = found.epoch + 1;
    if found.origin == origin {
        return Checkpoint {
            epoch,
            holder,
            ..found
        };
    }
    // The topic was created anew, so its positions are others.
    Checkpoint {
        revision: found.revision,
        origin: origin.to_owned(),
        epoch,
        holder,
        ..Checkpoint::default()
    }
}

fn until(clock: &dyn Clock, time: Duration) -> Timestamp {
    let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(clock.now().as_micros().saturating_add(micros))
}
