//! One topic in this process: its view of the log, and how that is brought up to date.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};
use uuid::Uuid;

use super::{
    failure::Failure,
    keys::{SLOTS_PER_FOLDER, TopicKeys, number_of},
    looks::Looks,
    manifest::Manifest,
    mark::get_mark,
    shared::{Moment, Shared},
    slots::WINDOW,
    view::{Snapshot, View},
};
use crate::models::{Error, Position, StorageId, TopicName};

/// How often a log that others change is read again from its manifest before that is a failure.
pub(super) const ATTEMPTS: usize = 5;

/// What is known of a topic.
#[derive(Debug, Default)]
pub(super) enum State {
    /// Nothing yet.
    #[default]
    Unknown,
    Known(Box<View>),
    /// The storage is not there any more.
    Gone,
}

/// How often a reader looks again because the view was made anew meanwhile.
const MOST_LOOKS: usize = 100;

/// What is told to those who wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) head: Position,
    pub(super) gone: bool,
}

/// One topic.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) topic: TopicName,
    pub(super) storage: StorageId,
    pub(super) keys: TopicKeys,
    pub(super) shared: Arc<Shared>,
    pub(super) state: Mutex<State>,
    pub(super) seen: watch::Sender<Seen>,
    /// The write id of the slot that is being put.
    pub(super) putting: Mutex<Option<Uuid>>,
    pub(super) looks: Mutex<Looks>,
    /// Whether the log is being merged into a segment.
    compacting: AtomicBool,
    pub(super) compacted: Notify,
    pub(super) compaction: Mutex<Option<JoinHandle<()>>>,
    /// Whether segments are being merged into larger ones.
    pub(super) merging: AtomicBool,
    pub(super) merge: Mutex<Option<JoinHandle<()>>>,
    waiting_to_collect: AtomicBool,
    pub(super) polling: AtomicBool,
}

impl Core {
    pub(super) fn new(topic: TopicName, storage: StorageId, shared: Arc<Shared>) -> Self {
        Self {
            topic,
            storage,
            keys: shared.objects.keys.topic(storage),
            shared,
            state: Mutex::default(),
            seen: watch::Sender::default(),
            putting: Mutex::default(),
            looks: Mutex::default(),
            compacting: AtomicBool::new(false),
            compacted: Notify::new(),
            compaction: Mutex::default(),
            merging: AtomicBool::new(false),
            merge: Mutex::default(),
            waiting_to_collect: AtomicBool::new(false),
            polling: AtomicBool::new(false),
        }
    }

    /// Does something with the view.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut View) -> T) -> Result<T, Failure> {
        let mut state = self.state.lock();
        let done = match &mut *state {
            State::Known(view) => {
                let done = work(view);
                let head = view.head;
                self.seen.send_if_modified(|seen| {
                    let further = head > seen.head;
                    seen.head = head;
                    further
                });
                Ok(done)
            }
            State::Unknown => Err(Failure::unsent("the topic was not read yet")),
            State::Gone => Err(Failure::Gone),
        };
        drop(state);
        done
    }

    /// Goes on with another view.
    fn replace(&self, view: View) -> Result<(), Failure> {
        let mut state = self.state.lock();
        if matches!(*state, State::Gone) {
            return Err(Failure::Gone);
        }
        *state = State::Known(Box::new(view));
        drop(state);
        Ok(())
    }

    /// Forgets a view that could not be made.
    fn forget(&self) {
        let mut state = self.state.lock();
        if matches!(*state, State::Known(_)) {
            *state = State::Unknown;
        }
    }

    /// The storage is not there any more.
    pub(super) fn lose(&self) {
        *self.state.lock() = State::Gone;
        self.seen.send_modify(|seen| seen.gone = true);
    }

    /// The topic as it was known last, without a look.
    pub(super) fn known(&self) -> Result<Snapshot, Failure> {
        self.with(|view| view.snapshot())
    }

    /// The topic as it is: all that was recorded before the call, by whomever, is in it.
    pub(super) async fn fresh(self: &Arc<Self>) -> Result<Snapshot, Failure> {
        let asked = Moment::now();
        for _ in 0..MOST_LOOKS {
            self.look().await?;
            // Another look may have begun since with a view of which the log is still to be read.
            let fresh = self.with(|view| {
                let is_fresh = view.proven.is_some_and(|proven| !proven.is_before(asked));
                is_fresh.then(|| view.snapshot())
            })?;
            if let Some(snapshot) = fresh {
                return Ok(snapshot);
            }
        }
        let reason = "the log was read anew all the time";
        Err(Failure::unsent(reason))
    }

    pub(super) async fn catch_up(self: &Arc<Self>) -> Result<(), Failure> {
        let done = self.try_catch_up().await;
        if matches!(done, Err(Failure::Gone)) {
            self.lose();
        }
        done
    }

    async fn try_catch_up(self: &Arc<Self>) -> Result<(), Failure> {
        let settings = &self.shared.settings;
        let old = {
            let state = self.state.lock();
            match &*state {
                State::Gone => return Err(Failure::Gone),
                State::Unknown => None,
                State::Known(view) => {
                    let long = view.log_slots() >= settings.compact_slots * 2;
                    Some((view.may_be_collected(), long))
                }
            }
        };
        match old {
            None => return self.open().await,
            Some((true, _)) => self.reload().await?,
            Some((false, true)) => self.adopt_newest().await?,
            Some((false, false)) => {}
        }
        self.read_slots().await
    }

    /// Reads the topic for the first time.
    async fn open(self: &Arc<Self>) -> Result<(), Failure> {
        let mut lost = None;
        for _ in 0..ATTEMPTS {
            let began = Moment::now();
            let manifest = self.newest_manifest().await?;
            self.replace(View::new(manifest, &self.keys, began))?;
            match self.read_log().await {
                // Others may have merged and collected it meanwhile.
                Err(failure @ Failure::Corrupt { .. }) => {
                    let unchanged = lost.as_ref().is_some_and(|(_, number)| {
                        self.with(|view| view.manifest.number).ok() == Some(*number)
                    });
                    let number = self.with(|view| view.manifest.number)?;
                    self.forget();
                    if unchanged {
                        return Err(failure);
                    }
                    lost = Some((failure, number));
                }
                Err(failure) => {
                    self.forget();
                    return Err(failure);
                }
                Ok(()) => return Ok(()),
            }
        }
        Err(lost.map_or(Failure::Closed, |(failure, _)| failure))
    }

    /// Reads the log to its end, and sees to it that there is nothing behind that.
    async fn read_log(self: &Arc<Self>) -> Result<(), Failure> {
        for _ in 0..ATTEMPTS {
            self.read_slots().await?;
            let next = self.with(|view| view.next)?;
            if !self.is_beyond(next).await? {
                return Ok(());
            }
            // It may have come while we looked.
            if self.get_slot(next).await?.is_none() {
                let reason = "it is not there, and there are, or were, slots behind it";
                return Err(Failure::corrupt(&self.keys.slot(next), reason));
            }
        }
        Ok(())
    }

    /// Whether there are, or were, slots from this one on.
    async fn is_beyond(&self, next: u64) -> Result<bool, Failure> {
        let objects = &self.shared.objects;
        if get_mark(self).await? > next {
            return Ok(true);
        }
        let folder = self.keys.folder(next);
        let folders = objects.folders(&self.keys.log()).await?;
        if folders.last().is_some_and(|last| *last > folder) {
            return Ok(true);
        }
        if folders.last() != Some(&folder) {
            return Ok(false);
        }
        let after = next
            .checked_sub(1)
            .filter(|_| !next.is_multiple_of(SLOTS_PER_FOLDER));
        let after = after.map(|slot| self.keys.slot(slot));
        let listed = objects.list(&folder, after.as_ref()).await?;
        let slots = listed.iter().filter_map(|one| number_of(&one.location));
        Ok(slots.max().is_some_and(|last| last >= next))
    }

    /// Goes on from the newest manifest, where slots may have been collected that this view does not
    /// know of: what it takes for the end of the log need not be one.
    pub(super) async fn reload(self: &Arc<Self>) -> Result<(), Failure> {
        let began = Moment::now();
        let manifest = self.newest_manifest().await?;
        let mut state = self.state.lock();
        match &mut *state {
            State::Known(view) if manifest.log_start <= view.next => {
                view.freeze();
                view.adopt(manifest, &self.keys);
                view.anchor(began);
            }
            State::Gone => return Err(Failure::Gone),
            State::Known(_) | State::Unknown => {
                let view = View::new(manifest, &self.keys, began);
                *state = State::Known(Box::new(view));
            }
        }
        drop(state);
        Ok(())
    }

    /// Goes on with the newest manifest, so that what it has merged is not kept in memory.
    pub(super) async fn adopt_newest(self: &Arc<Self>) -> Result<(), Failure> {
        let began = Moment::now();
        let manifest = self.newest_manifest().await?;
        let behind = |view: &mut View| manifest.log_start.saturating_sub(view.next);
        if (1..=WINDOW).contains(&self.with(behind)?) {
            self.read_slots().await?;
        }
        if self.with(behind)? > 0 {
            // The segments say more than this view does.
            self.replace(View::new(manifest, &self.keys, began))?;
            return self.read_slots().await;
        }
        self.with(|view| {
            if manifest.log_start <= view.next {
                view.anchor(began);
            }
            if manifest.number > view.manifest.number {
                view.freeze();
                view.adopt(manifest, &self.keys);
            }
        })
    }

    /// A segment was not there: goes on with the newest manifest, which names others in its place. A
    /// segment that it still names is lost.
    pub(super) async fn go_on_without(self: &Arc<Self>, segment: &str) -> Result<(), Failure> {
        self.adopt_newest().await?;
        let is_named = self.with(|view| {
            let mut keys = view.segments.iter().map(|one| one.key.as_ref());
            keys.any(|key| key == segment)
        })?;
        if is_named {
            return Err(Failure::Missing {
                key: segment.to_owned(),
            });
        }
        Ok(())
    }

    /// The manifest with the greatest number.
    pub(super) async fn newest_manifest(&self) -> Result<Manifest, Failure> {
        let objects = &self.shared.objects;
        for _ in 0..ATTEMPTS {
            let listed = objects.list(&self.keys.manifests(), None).await?;
            let Some(newest) = listed
                .iter()
                .filter_map(|one| number_of(&one.location))
                .max()
            else {
                return Err(self.without_manifest().await);
            };
            let key = self.keys.manifest(newest);
            // It may have been collected since, where newer ones came.
            let Some(object) = objects.get(&key).await? else {
                continue;
            };
            let manifest = Manifest::decode(&object, newest)
                .map_err(|reason| Failure::corrupt(&key, reason))?;
            if manifest.removed {
                return Err(Failure::Gone);
            }
            return Ok(manifest);
        }
        Err(Failure::corrupt(
            &self.keys.manifests(),
            "the newest manifest is listed, and is not there",
        ))
    }

    async fn without_manifest(&self) -> Failure {
        let objects = &self.shared.objects;
        let descriptor = objects.keys.descriptor(self.storage);
        match objects.get(&descriptor).await {
            Ok(None) => Failure::Gone,
            Ok(Some(_)) => Failure::corrupt(&self.keys.manifests(), "there is no manifest"),
            Err(failure) => failure,
        }
    }

    pub(super) async fn get_slot(&self, slot: u64) -> Result<Option<Bytes>, Failure> {
        self.shared.objects.get(&self.keys.slot(slot)).await
    }

    /// The error of a call that is about this topic.
    pub(super) fn error(&self, failure: Failure) -> Error {
        failure.error(&self.shared.objects.name, Some(&self.topic))
    }

    /// Whether somebody may begin to merge now; he says so when he has done.
    pub(super) fn begin_compacting(&self) -> bool {
        !self.compacting.swap(true, Ordering::AcqRel)
    }

    pub(super) fn end_compacting(&self) {
        self.compacting.store(false, Ordering::Release);
        self.compacted.notify_waiters();
    }

    /// Stops what runs beside the calls, and waits until it asks for nothing any more: merging can be
    /// stopped anywhere. What is on its way to the store may still be done there. What merges the log is
    /// stopped first, since it starts what merges segments.
    pub(super) async fn stop(&self) {
        for task in [&self.compaction, &self.merge] {
            let running = task.lock().take();
            if let Some(running) = running {
                running.abort();
                // That it was stopped is no failure.
                drop(running.await);
            }
        }
    }

    pub(super) fn begin_waiting_to_collect(&self) -> bool {
        !self.waiting_to_collect.swap(true, Ordering::AcqRel)
    }

    pub(super) fn end_waiting_to_collect(&self) {
        self.waiting_to_collect.store(false, Ordering::Release);
    }
}
