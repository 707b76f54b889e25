//! Reads page by page, away from the threads that poll futures, and a few pages ahead of the
//! consumer.
//!
//! One task reads ahead until it has filled the room that there is, and ends then: a consumer that
//! rests costs no thread. It is begun again when the consumer goes on.

use std::sync::Arc;

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    task::JoinHandle,
};

use super::{
    disk::{finish, start, unblock},
    log::{Log, Published},
};
use crate::{
    models::Result,
    repository::{Page, ReadPlan, paging::Pager},
};

/// How many pages may wait for the consumer.
const AHEAD: usize = 3;
/// When no more than this many are left, more are read.
const FEW: usize = 1;

/// A read before its first page, or between two of them.
enum Reading {
    /// Not begun; the head is that of the moment when it begins.
    New(Arc<Log>, ReadPlan),
    Going(Going),
    Done,
}

/// A read under way.
struct Going {
    log: Arc<Log>,
    published: Published,
    sender: mpsc::Sender<Result<Page>>,
    pages: mpsc::Receiver<Result<Page>>,
    reader: Reader,
}

/// Who reads ahead.
enum Reader {
    /// Nobody yet; the read goes on from here.
    Resting(Pager),
    /// A task, which tells from where the read goes on, if it does.
    Busy(JoinHandle<Result<Option<Pager>>>),
    /// Nobody any more: the last page waits, or was taken.
    Finished,
}

/// The pages of a read.
pub(super) fn pages(log: Arc<Log>, plan: ReadPlan) -> BoxStream<'static, Result<Page>> {
    stream::unfold(Reading::New(log, plan), |reading| async move {
        match next(reading).await {
            Ok((page, reading)) => page.map(|page| (Ok(page), reading)),
            Err(error) => Some((Err(error), Reading::Done)),
        }
    })
    .boxed()
}

async fn next(reading: Reading) -> Result<(Option<Page>, Reading)> {
    match reading {
        Reading::Done => Ok((None, Reading::Done)),
        Reading::New(log, plan) => unblock(move || begin(log, plan)).await,
        Reading::Going(mut going) => Ok(match going.next().await? {
            Some(page) => (Some(page), Reading::Going(going)),
            None => (None, Reading::Done),
        }),
    }
}

/// Reads the first page. No page is read ahead of it: most reads have one.
fn begin(log: Arc<Log>, plan: ReadPlan) -> Result<(Option<Page>, Reading)> {
    log.refresh()?;
    let published = log.published()?;
    let pager = log.ask(&published, |parts| Pager::new(plan.clone(), parts))?;
    let (page, pager) = read(&log, &published, pager)?;
    if pager.is_done() {
        return Ok((page, Reading::Done));
    }
    let (sender, pages) = mpsc::channel(AHEAD);
    Ok((
        page,
        Reading::Going(Going {
            log,
            published,
            sender,
            pages,
            reader: Reader::Resting(pager),
        }),
    ))
}

impl Going {
    async fn next(&mut self) -> Result<Option<Page>> {
        // A topic that was removed, or a repository that was closed, is not read any further.
        self.log.published()?;
        loop {
            let waiting = self.pages.try_recv().ok();
            match &mut self.reader {
                Reader::Resting(_) => self.go_on()?,
                Reader::Busy(task) if waiting.is_none() => {
                    tokio::select! {
                        biased;
                        Some(page) = self.pages.recv() => return page.map(Some),
                        done = finish(task) => self.done(done?),
                    }
                }
                Reader::Busy(task) if task.is_finished() && self.pages.len() <= FEW => {
                    let done = finish(task).await?;
                    self.done(done);
                    if matches!(self.reader, Reader::Resting(_)) {
                        self.go_on()?;
                    }
                }
                Reader::Busy(_) => {}
                Reader::Finished if waiting.is_none() => return Ok(None),
                Reader::Finished => {}
            }
            if let Some(page) = waiting {
                return page.map(Some);
            }
        }
    }

    fn done(&mut self, rest: Option<Pager>) {
        self.reader = rest.map_or(Reader::Finished, Reader::Resting);
    }

    /// Begins the task that reads ahead.
    fn go_on(&mut self) -> Result<()> {
        if let Reader::Resting(pager) = &self.reader {
            let (log, published) = (Arc::clone(&self.log), self.published.clone());
            let (pager, sender) = (pager.clone(), self.sender.clone());
            let task = start(move || Ok(read_ahead(&log, &published, pager, &sender)))?;
            self.reader = Reader::Busy(task);
        }
        Ok(())
    }
}

/// Reads pages as long as there is room for them. Tells from where to go on, if there is more.
fn read_ahead(
    log: &Log,
    published: &Published,
    mut pager: Pager,
    pages: &mpsc::Sender<Result<Page>>,
) -> Option<Pager> {
    loop {
        let room = match pages.try_reserve() {
            Ok(room) => room,
            Err(TrySendError::Full(())) => return Some(pager),
            Err(TrySendError::Closed(())) => return None,
        };
        match read(log, published, pager) {
            Ok((page, rest)) => {
                if let Some(page) = page {
                    room.send(Ok(page));
                }
                if rest.is_done() {
                    return None;
                }
                pager = rest;
            }
            Err(error) => {
                room.send(Err(error));
                return None;
            }
        }
    }
}

fn read(log: &Log, published: &Published, pager: Pager) -> Result<(Option<Page>, Pager)> {
    log.ask(published, |parts| {
        let mut pager = pager.clone();
        let page = pager.next(parts)?;
        Ok((page, pager))
    })
}
