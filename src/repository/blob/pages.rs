//! Reads page by page.

use std::{collections::HashSet, sync::Arc};

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tokio::sync::watch;

use super::{
    core::Core,
    desk::{Desk, Fetched, fetch},
    failure::Failure,
    view::Snapshot,
};
use crate::{
    models::{Error, Position, Result},
    repository::{Page, ReadPlan, paging::Pager, parts::Parts},
};

/// How many bytes a read that goes through all events asks for at first, and at most.
const FIRST_AHEAD: u64 = 256 << 10;
const MOST_AHEAD: u64 = 4 << 20;

/// The pages of a read. `core` is asked for at the first poll.
pub(super) fn pages(
    core: impl Future<Output = Result<Arc<Core>>> + Send + 'static,
    plan: ReadPlan,
    closed: watch::Receiver<bool>,
) -> BoxStream<'static, Result<Page>> {
    enum State<F> {
        New(F, ReadPlan),
        Under(Box<Reading>),
        Over,
    }
    let new = State::New(Box::pin(core), plan);
    stream::unfold(new, move |state| {
        let closed = closed.clone();
        async move {
            let mut reading = match state {
                State::Over => return None,
                State::Under(reading) => reading,
                State::New(core, plan) => match begin(core, plan).await {
                    Ok(reading) => Box::new(reading),
                    Err(error) => return Some((Err(error), State::Over)),
                },
            };
            let page = if *closed.borrow() {
                Err(Error::Closed)
            } else {
                reading.next().await
            };
            match page {
                Ok(Some(page)) => Some((Ok(page), State::Under(reading))),
                Ok(None) => None,
                Err(error) => Some((Err(error), State::Over)),
            }
        }
    })
    .boxed()
}

async fn begin(core: impl Future<Output = Result<Arc<Core>>>, plan: ReadPlan) -> Result<Reading> {
    let core = core.await?;
    let snapshot = core.fresh().await;
    let snapshot = snapshot.map_err(|failure| core.error(failure))?;
    Ok(Reading::new(core, snapshot, plan))
}

/// A read under way.
#[derive(Debug)]
pub(super) struct Reading {
    core: Arc<Core>,
    snapshot: Snapshot,
    /// Until it has begun.
    plan: Option<ReadPlan>,
    pager: Option<Pager>,
    fetched: Fetched,
    /// What the page before this one looked at.
    touched: HashSet<(u64, u64)>,
    ahead: u64,
}

impl Reading {
    /// A read of what a snapshot shows.
    pub(super) fn new(core: Arc<Core>, snapshot: Snapshot, plan: ReadPlan) -> Self {
        Self {
            core,
            snapshot,
            plan: Some(plan),
            pager: None,
            fetched: Fetched::default(),
            touched: HashSet::new(),
            ahead: FIRST_AHEAD,
        }
    }

    /// A search for the first event that matches after a position and up to another.
    pub(super) fn first_match(
        core: Arc<Core>,
        snapshot: Snapshot,
        filter: crate::models::EventFilter,
        after: Position,
        up_to: Position,
    ) -> Self {
        let pager = Pager::for_filter(filter, after, up_to);
        Self {
            pager: Some(pager),
            plan: None,
            ..Self::new(core, snapshot, ReadPlan::all_after(after))
        }
    }

    /// The next page; none after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Page>> {
        let core = Arc::clone(&self.core);
        match self.try_next().await {
            Ok(page) => page,
            Err(failure) => Err(core.error(failure)),
        }
    }

    /// The same, with failures of the store apart.
    async fn try_next(&mut self) -> std::result::Result<Result<Option<Page>>, Failure> {
        loop {
            match self.page() {
                Ok(page) => return Ok(page),
                Err(wanted) => {
                    let (objects, caches) = (&self.core.shared.objects, &self.core.shared.caches);
                    // Who goes through everything leaves the caches to others.
                    let keep = self.ahead <= FIRST_AHEAD;
                    match fetch(objects, caches, wanted, keep).await {
                        Ok(more) => self.fetched.extend(more),
                        Err(Failure::Missing { key }) => self.go_on_without(&key).await?,
                        Err(failure) => return Err(failure),
                    }
                }
            }
        }
    }

    /// Segments were merged into others and collected: goes on with those.
    async fn go_on_without(&mut self, segment: &str) -> std::result::Result<(), Failure> {
        self.core.go_on_without(segment).await?;
        let snapshot = self.core.fresh().await?;
        // The read ends where it was to end.
        self.snapshot = Snapshot {
            head: self.snapshot.head,
            ..snapshot
        };
        self.fetched = Fetched::default();
        Ok(())
    }

    /// Makes the next page of what is at hand, or tells what it needs.
    fn page(&mut self) -> std::result::Result<Result<Option<Page>>, super::desk::Wanted> {
        let desk = Desk::new(&self.core.shared.caches, &self.fetched);
        let parts = self.snapshot.parts(&self.core.topic, &desk, self.ahead);
        let topic = Parts {
            topic: &self.core.topic,
            parts: &parts,
            head: self.snapshot.head,
            sealed: self.snapshot.sealed,
        };
        let mut pager = self.pager.clone();
        let mut made = || {
            if let Some(plan) = &self.plan {
                pager = Some(Pager::new(plan.clone(), &topic)?);
            }
            match &mut pager {
                Some(pager) => pager.next(&topic),
                None => Ok(None),
            }
        };
        let page = made();
        drop(parts);
        let (wanted, touched) = desk.into_wanted();
        if !wanted.is_empty() {
            return Err(wanted);
        }
        if page.is_ok() {
            self.plan = None;
            self.pager = pager.filter(|pager| !pager.is_done());
            // What this page did not look at any more is not needed again.
            let before = std::mem::replace(&mut self.touched, touched);
            let now = &self.touched;
            self.fetched
                .retain_blocks(|place| now.contains(place) || !before.contains(place));
            if !before.is_empty() {
                self.ahead = (self.ahead * 2).min(MOST_AHEAD);
            }
        }
        Ok(page)
    }
}
