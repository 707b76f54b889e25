//! The task that records what waits for a topic: one slot at a time, and in each all that waits.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use object_store::PutPayload;
use tokio::{
    sync::mpsc,
    time::{Duration, Instant, sleep},
};
use uuid::Uuid;

use super::{
    commit::{Outcome, put_or_lose},
    compaction,
    core::Core,
    deciding::{Decided, Lack, decide_all},
    desk::fetch,
    failure::Failure,
    mark::put_mark,
    pace::Pace,
    pages::Reading,
    request::{Checked, Request, Work},
    shared::Moment,
    slot::{HEADER, Header, Kind},
};
use crate::models::{Position, Result};

/// A slot has no more bytes of records than this, but for a single append.
pub(super) const GROUP_BYTES: usize = 8 << 20;
pub(super) const GROUP_EVENTS: usize = 10_000;
/// After so long without an append it is noted how far the log is.
const IDLE: Duration = Duration::from_secs(60);
/// How often those who were answered are let run before the next slot, where they do come back.
const MOST_YIELDS: usize = 16;
/// So often is a lost race run again before the callers are told that the store is too busy.
pub(super) const MOST_RACES: usize = 10_000;

/// The task of a topic.
pub(super) struct Committer {
    pub(super) core: Arc<Core>,
    waiting: VecDeque<Work>,
    /// Appends for which something is being fetched.
    aside: FuturesUnordered<BoxFuture<'static, (Request, Result<(), Failure>)>>,
    pace: Pace,
    /// How many appends were answered by the last slot.
    answered: usize,
    /// Whether anything was recorded since the log was noted to be so far.
    recorded: bool,
    marked: u64,
}

/// What came of a group's slot.
pub(super) enum Done {
    Recorded,
    /// Somebody else has the slot: all is to be decided again.
    Again,
    Failed(Outcome),
}

impl Committer {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self {
            core,
            waiting: VecDeque::new(),
            aside: FuturesUnordered::new(),
            pace: Pace::default(),
            answered: 0,
            recorded: false,
            marked: 0,
        }
    }

    /// Records what comes, until nobody can send any more and all is done.
    pub(super) async fn run(mut self, mut work: mpsc::UnboundedReceiver<Work>) {
        loop {
            if self.waiting.is_empty() {
                tokio::select! {
                    next = work.recv() => match next {
                        Some(next) => self.waiting.push_back(next),
                        None if self.aside.is_empty() => return self.rest().await,
                        None => self.await_aside().await,
                    },
                    Some((request, done)) = self.aside.next() => self.back(request, done),
                    () = sleep(IDLE), if self.recorded => self.rest().await,
                }
            }
            self.gather(&mut work).await;
            while let Some(Some((request, done))) = self.aside.next().now_or_never() {
                self.back(request, done);
            }
            self.turn().await;
        }
    }

    /// Takes what is there. Those who have just been answered are let run first: they may come back
    /// with the next append, which costs no slot of its own then.
    async fn gather(&mut self, work: &mut mpsc::UnboundedReceiver<Work>) {
        let mut drain = |waiting: &mut VecDeque<Work>| {
            while let Ok(next) = work.try_recv() {
                waiting.push_back(next);
            }
            waiting.len()
        };
        let mut count = drain(&mut self.waiting);
        let expected = count + std::mem::take(&mut self.answered);
        for _ in 0..MOST_YIELDS {
            if count >= expected {
                return;
            }
            tokio::task::yield_now().await;
            let now = drain(&mut self.waiting);
            if now == count {
                return;
            }
            count = now;
        }
    }

    /// Notes how far the log is, since nothing else is to be done.
    async fn rest(&mut self) {
        if std::mem::take(&mut self.recorded)
            && let Err(failure) = put_mark(&self.core, &mut self.marked).await
        {
            let topic = &self.core.topic;
            tracing::debug!(%topic, %failure, "how far the log is could not be noted");
        }
    }

    async fn await_aside(&mut self) {
        if let Some((request, done)) = self.aside.next().await {
            self.back(request, done);
        }
    }

    /// An append for which all was fetched waits again, before all others.
    fn back(&mut self, request: Request, done: Result<(), Failure>) {
        match done {
            Ok(()) => self.waiting.push_front(Work::Append(request)),
            Err(failure) => request.fail(self.core.error(failure)),
        }
    }

    /// Does what waits longest, and all appends that wait behind it and fit in.
    async fn turn(&mut self) {
        match self.waiting.pop_front() {
            None => {}
            Some(Work::Append(request)) => {
                let group = self.group(request);
                self.record(group).await;
            }
            Some(Work::Import(events, reply)) => {
                drop(reply.send(self.import(&events).await));
            }
            Some(Work::Mark(kind, since, reply)) => {
                drop(reply.send(self.mark(kind, since).await));
            }
        }
        compaction::compact_if_due(&self.core);
    }

    fn group(&mut self, first: Request) -> Vec<Request> {
        let (mut bytes, mut events) = (first.weight, first.batch.events.len());
        let mut group = vec![first];
        while let Some(Work::Append(next)) = self.waiting.front() {
            bytes += next.weight;
            events += next.batch.events.len();
            if bytes > GROUP_BYTES || events > GROUP_EVENTS {
                break;
            }
            if let Some(Work::Append(next)) = self.waiting.pop_front() {
                group.push(next);
            }
        }
        group
    }

    /// Records a group, or tells each of its appends why not.
    async fn record(&mut self, mut group: Vec<Request>) {
        for _ in 0..MOST_RACES {
            if group.is_empty() {
                return;
            }
            if let Err(failure) = self.ready().await {
                return self.fail_all(group, &failure);
            }
            let core = Arc::clone(&self.core);
            let mut group_left = Some(std::mem::take(&mut group));
            let decided = core.with(|view| {
                let requests = group_left.take().unwrap_or_default();
                let decided = decide_all(&core, view, requests);
                let known = (view.proven, view.anchored);
                (decided, view.header(Kind::Events), known)
            });
            let (mut decided, header, (proven, anchored)) = match decided {
                Ok(decided) => decided,
                Err(failure) => {
                    return self.fail_all(group_left.unwrap_or_default(), &failure);
                }
            };
            for (request, lack) in std::mem::take(&mut decided.lacking) {
                self.set_aside(request, lack);
            }
            if decided.staged.is_empty() {
                match self.answer_unwritten(decided, proven).await {
                    Ok(again) => group = again,
                    Err((again, failure)) => return self.fail_all(again, &failure),
                }
                continue;
            }
            match self.put(&header, &decided.chunks, anchored).await {
                Done::Recorded => {
                    self.answered = decided.staged.len();
                    return answer(decided);
                }
                Done::Again => group = requests(decided),
                Done::Failed(outcome) => return self.fail_staged(decided, &outcome),
            }
        }
        let failure = Failure::unsent("other writers were faster all the time");
        self.fail_all(group, &failure);
    }

    /// Answers where nothing is to be written: a refusal only counts if nothing was recorded before
    /// the append came that this process does not know of. Gives back what is to be decided again.
    async fn answer_unwritten(
        &mut self,
        decided: Decided,
        proven: Option<Moment>,
    ) -> Result<Vec<Request>, (Vec<Request>, Failure)> {
        for (request, receipt) in decided.known {
            request.answer(Ok(receipt));
        }
        let mut again = Vec::new();
        for (request, error) in decided.refused {
            if proven.is_some_and(|proven| request.came.is_before(proven)) {
                request.fail(error);
            } else {
                again.push(request);
            }
        }
        if again.is_empty() {
            return Ok(again);
        }
        match self.core.look().await {
            Ok(()) => Ok(again),
            Err(failure) => Err((again, failure)),
        }
    }

    /// Sees to it that the topic is known, and that it does not take more memory than it may.
    pub(super) async fn ready(&mut self) -> Result<(), Failure> {
        let known = self.core.known();
        if let Err(Failure::Unavailable { .. }) = known {
            self.core.look().await?;
        }
        compaction::wait_if_late(&self.core).await
    }

    /// Fetches what an append needs, while others go on.
    fn set_aside(&self, mut request: Request, lack: Lack) {
        let core = Arc::clone(&self.core);
        let work = async move {
            let done = supply(&core, &mut request, lack).await;
            (request, done)
        };
        self.aside.push(work.boxed());
    }

    /// Puts a slot with what is staged, or with a mark.
    /// `anchored` is when it was last known that the slot is not merged, where this was decided.
    pub(super) async fn put(
        &mut self,
        header: &Header,
        chunks: &[Bytes],
        anchored: Moment,
    ) -> Done {
        let core = Arc::clone(&self.core);
        *core.putting.lock() = Some(header.write_id);
        let pieces = std::iter::once(header.encode(chunks)).chain(chunks.iter().cloned());
        let payload: PutPayload = pieces.collect();
        let key = core.keys.slot(header.slot);
        let own = header.write_id;
        let (began, started) = (Moment::now(), Instant::now());
        let patience = core.shared.settings.outcome_timeout;
        let is_own = |object: &Bytes| write_id(object) == Some(own);
        let objects = &core.shared.objects;
        let outcome = put_or_lose(objects, &key, &payload, is_own, patience).await;
        let done = match outcome {
            Outcome::Won => match self.confirm(header, began, anchored).await {
                Ok(true) => Done::Recorded,
                Ok(false) => Done::Again,
                Err(Failure::Gone) => Done::Failed(Outcome::NotSent(Failure::Gone)),
                Err(failure) => Done::Failed(Outcome::Unknown(failure)),
            },
            Outcome::Lost => match core.read_slots().await {
                Ok(()) => Done::Again,
                Err(failure) => Done::Failed(Outcome::NotSent(failure)),
            },
            failed => Done::Failed(failed),
        };
        *core.putting.lock() = None;
        if matches!(done, Done::Recorded) {
            self.recorded = true;
            self.pace.won(started.elapsed()).await;
        } else {
            if let Done::Failed(Outcome::NotSent(Failure::Gone)) = done {
                core.lose();
            }
            drop(core.with(super::view::View::unstage));
            self.pace.lost();
        }
        done
    }

    /// The slot is there and it is ours. It counts unless it had been there before, and was merged
    /// and collected while this process stood still: then nobody will ever read it.
    async fn confirm(
        &mut self,
        header: &Header,
        began: Moment,
        anchored: Moment,
    ) -> Result<bool, Failure> {
        let core = Arc::clone(&self.core);
        let grace = core.with(|view| view.manifest.grace())?;
        if anchored.elapsed() > grace / 4 {
            let manifest = core.newest_manifest().await?;
            if manifest.log_start > header.slot {
                core.reload().await?;
                return Ok(false);
            }
        }
        core.with(|view| {
            view.commit(header);
            if view.next == header.slot + 1 && view.previous == header.write_id {
                view.prove(began);
            }
        })?;
        Ok(true)
    }

    fn fail_all(&self, group: Vec<Request>, failure: &Failure) {
        for request in group {
            request.fail(self.core.error(failure.clone()));
        }
    }

    /// What was staged is recorded or not; what was refused was not proven to be.
    fn fail_staged(&self, decided: Decided, outcome: &Outcome) {
        let (failure, unknown) = match outcome {
            Outcome::Unknown(failure) => (failure.clone(), true),
            Outcome::NotSent(failure) => (failure.clone(), false),
            Outcome::Won | Outcome::Lost => (Failure::Closed, true),
        };
        for (request, _) in decided.staged {
            let failure = failure.clone();
            request.fail(if unknown {
                failure.unknown()
            } else {
                self.core.error(failure)
            });
        }
        for (request, _) in decided.refused {
            request.fail(self.core.error(failure.clone()));
        }
        for (request, receipt) in decided.known {
            // It may be a duplicate of what was staged with it.
            if receipt.last <= self.core.seen.borrow().head {
                request.answer(Ok(receipt));
            } else if unknown {
                request.fail(failure.clone().unknown());
            } else {
                request.fail(self.core.error(failure.clone()));
            }
        }
    }
}

fn answer(decided: Decided) {
    for (request, receipt) in decided.staged.into_iter().chain(decided.known) {
        request.answer(Ok(receipt));
    }
    for (request, error) in decided.refused {
        request.fail(error);
    }
}

fn requests(decided: Decided) -> Vec<Request> {
    let admitted = decided.staged.into_iter().chain(decided.known);
    let refused = decided.refused.into_iter().map(|(request, _)| request);
    admitted
        .map(|(request, _)| request)
        .chain(refused)
        .collect()
}

/// The write id in the object of a slot.
fn write_id(object: &Bytes) -> Option<Uuid> {
    let bytes = object.get(..HEADER)?.get(32..48)?;
    Uuid::from_slice(bytes).ok()
}

/// Fetches what an append needs.
async fn supply(core: &Arc<Core>, request: &mut Request, lack: Lack) -> Result<(), Failure> {
    let (filter, after, up_to) = match lack {
        Lack::Blocks(wanted) => {
            let got = fetch(&core.shared.objects, &core.shared.caches, wanted, true).await;
            return match got {
                Ok(fetched) => {
                    request.fetched = fetched;
                    Ok(())
                }
                // Segments were merged and collected: it is decided anew by those that there are.
                Err(Failure::Missing { key }) => core.go_on_without(&key).await,
                Err(failure) => Err(failure),
            };
        }
        Lack::Check(filter, after, up_to) => (filter, after, up_to),
    };
    request.checked = check(core, filter, after, up_to).await?;
    Ok(())
}

/// Looks for an event that a condition rules out, in what is merged into segments.
pub(super) async fn check(
    core: &Arc<Core>,
    filter: crate::models::EventFilter,
    after: Position,
    up_to: Position,
) -> Result<Checked, Failure> {
    let snapshot = core.known()?;
    let mut search = Reading::first_match(Arc::clone(core), snapshot, filter, after, up_to);
    loop {
        let page = search.next().await?;
        let matched = page.as_ref().and_then(|page| page.events.first());
        if let Some(event) = matched {
            return Ok(Checked {
                up_to,
                matched: Some(event.position),
            });
        }
        if page.is_none() {
            return Ok(Checked {
                up_to,
                matched: None,
            });
        }
    }
}
