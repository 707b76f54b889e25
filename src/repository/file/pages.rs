//! Reads page by page, away from the threads that poll futures, and one page ahead of the
//! consumer.

use std::sync::Arc;

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};

use tokio::task::JoinHandle;

use super::{
    disk::{finish, start, unblock},
    log::{Log, Published},
};
use crate::{
    models::Result,
    repository::{Page, ReadPlan, paging::Pager},
};

/// A read before its first page, or between two of them.
enum Reading {
    /// Not begun; the head is that of the moment when it begins.
    New(Arc<Log>, ReadPlan),
    /// Under way: the next page is being read, or will be when it is asked for.
    Going(Going),
    Done,
}

struct Going {
    log: Arc<Log>,
    published: Published,
    pager: Pager,
    /// The page that is read ahead.
    ahead: Option<JoinHandle<PageRead>>,
}

/// A page, and the read as it goes on from there.
type PageRead = Result<(Option<Page>, Pager)>;

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
    let mut going = match reading {
        Reading::Done => return Ok((None, Reading::Done)),
        Reading::New(log, plan) => return unblock(move || begin(log, plan)).await,
        Reading::Going(going) => going,
    };
    // A topic that was removed, or a repository that was closed, is not read any further.
    going.log.published()?;
    let (page, pager) = match going.ahead.take() {
        Some(ahead) => finish(ahead).await?,
        None => {
            let (log, published) = (Arc::clone(&going.log), going.published.clone());
            unblock(move || read(&log, &published, going.pager)).await?
        }
    };
    if pager.is_done() {
        return Ok((page, Reading::Done));
    }
    let (log, published) = (Arc::clone(&going.log), going.published.clone());
    let ahead = pager.clone();
    let ahead = start(move || read(&log, &published, ahead))?;
    Ok((
        page,
        Reading::Going(Going {
            log: going.log,
            published: going.published,
            pager,
            ahead: Some(ahead),
        }),
    ))
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
    Ok((
        page,
        Reading::Going(Going {
            log,
            published,
            pager,
            ahead: None,
        }),
    ))
}

fn read(log: &Log, published: &Published, pager: Pager) -> PageRead {
    log.ask(published, |parts| {
        let mut pager = pager.clone();
        let page = pager.next(parts)?;
        Ok((page, pager))
    })
}
