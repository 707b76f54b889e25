//! Reads page by page. Each page is made while it is polled for, which takes microseconds.

use std::sync::Arc;

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tokio::sync::watch;

use super::{log::Log, part::MemoryPart};
use crate::{
    models::{Error, Result},
    repository::{Page, ReadPlan, paging::Pager},
};

/// The pages of a read.
pub(super) fn pages(
    log: Result<Arc<Log>>,
    plan: ReadPlan,
    closed: watch::Receiver<bool>,
) -> BoxStream<'static, Result<Page>> {
    let state = Reading {
        log,
        closed,
        plan: Some(plan),
        pager: None,
    };
    stream::unfold(
        state,
        |mut state| async move { Some((state.next()?, state)) },
    )
    .boxed()
}

/// A read under way.
struct Reading {
    log: Result<Arc<Log>>,
    closed: watch::Receiver<bool>,
    plan: Option<ReadPlan>,
    pager: Option<Pager>,
}

impl Reading {
    fn next(&mut self) -> Option<Result<Page>> {
        let page = self.page();
        if page.is_err() {
            self.plan = None;
            self.pager = None;
        }
        page.transpose()
    }

    fn page(&mut self) -> Result<Option<Page>> {
        if self.plan.is_none() && self.pager.is_none() {
            return Ok(None);
        }
        let log = match &mut self.log {
            Ok(log) => Arc::clone(log),
            failed => return std::mem::replace(failed, Err(Error::Closed)).map(|_| None),
        };
        if *self.closed.borrow() {
            return Err(Error::Closed);
        }
        let parts = [MemoryPart(&log)];
        let parts = log.parts(&parts)?;
        if let Some(plan) = self.plan.take() {
            self.pager = Some(Pager::new(plan, &parts)?);
        }
        let Some(pager) = &mut self.pager else {
            return Ok(None);
        };
        let page = pager.next(&parts)?;
        if pager.is_done() {
            self.pager = None;
        }
        Ok(page)
    }
}
