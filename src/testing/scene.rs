//! Where a case plays: a fresh site, open, with one topic that is prepared.

use std::{future::Future, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::BoxStream};
use tokio::{sync::Barrier, task::JoinSet};

use super::{
    Fixture, Site, TestClock,
    draft::{Draft, stream_id},
    oracle::{check_log, check_pages, expected_events},
};
use crate::{
    models::{AppendReceipt, Error, Placement, Position, RecordedEvent, Result, StreamState},
    repository::{EventRepository, Page, ReadPlan},
};

/// A topic in an open repository. Clones share both.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub(super) site: Arc<dyn Site>,
    pub(super) clock: Arc<TestClock>,
    pub(super) repository: Arc<dyn EventRepository>,
    pub(super) placement: Placement,
}

impl Scene {
    pub(super) async fn begin(fixture: &dyn Fixture) -> Self {
        let site = fixture.fresh().await;
        let clock = Arc::new(TestClock::default());
        let repository = site
            .open(Arc::<TestClock>::clone(&clock))
            .await
            .expect("the site opens");
        let placement = site.placement("topic");
        repository
            .prepare(&placement)
            .await
            .expect("it is prepared");
        Self {
            site,
            clock,
            repository,
            placement,
        }
    }

    /// The same topic through a further handle.
    pub(super) async fn further_handle(&self) -> Self {
        let opened = self.site.open(Arc::<TestClock>::clone(&self.clock)).await;
        let repository = opened.expect("the site opens again");
        let scene = Self {
            repository,
            ..self.clone()
        };
        let prepared = scene.repository.prepare(&scene.placement).await;
        prepared.expect("it is prepared again");
        scene
    }

    /// The same topic after a close and an open.
    pub(super) async fn reopened(self) -> Self {
        self.repository.close().await.expect("it closes");
        let Self {
            site,
            clock,
            repository,
            placement,
        } = self;
        drop(repository);
        let repository = site
            .open(Arc::<TestClock>::clone(&clock))
            .await
            .expect("it opens again");
        repository
            .prepare(&placement)
            .await
            .expect("it is prepared again");
        Self {
            site,
            clock,
            repository,
            placement,
        }
    }

    /// Another topic in the same repository.
    pub(super) async fn other_topic(&self, name: &str) -> Self {
        let placement = self.site.placement(name);
        self.repository
            .prepare(&placement)
            .await
            .expect("it is prepared");
        Self {
            placement,
            ..self.clone()
        }
    }

    pub(super) async fn append(&self, draft: Draft) -> Result<AppendReceipt> {
        self.repository.append(&self.placement, draft.build()).await
    }

    /// Appends what has to be recorded now, and checks the receipt against the head.
    pub(super) async fn write(&self, draft: Draft) -> AppendReceipt {
        let count = draft.batch().events.len() as u64;
        let receipt = self.append(draft).await.expect("the append is recorded");
        assert!(!receipt.duplicate, "it was recorded now: {receipt:?}");
        assert_eq!(receipt.first.forward(count - 1), receipt.last);
        receipt
    }

    /// Appends what has to be refused, and checks that nothing was written.
    pub(super) async fn refuse(&self, draft: Draft) -> Error {
        let before = self.head().await;
        let outcome = self.append(draft.clone()).await;
        let Err(error) = outcome else {
            panic!("{draft:?} was not refused: {outcome:?}");
        };
        assert_eq!(self.head().await, before, "a refused append wrote: {error}");
        error
    }

    /// Appends what is recorded already, and checks that nothing was written.
    pub(super) async fn repeat(&self, draft: Draft) -> AppendReceipt {
        let before = self.head().await;
        let receipt = self.append(draft.clone()).await.expect("it is recognised");
        assert!(
            receipt.duplicate,
            "{draft:?} was written again: {receipt:?}"
        );
        assert_eq!(self.head().await, before, "a duplicate wrote");
        receipt
    }

    pub(super) async fn head(&self) -> u64 {
        let state = self.repository.state(&self.placement, None).await;
        state.expect("the state can be asked for").head.get()
    }

    pub(super) async fn stream(&self, stream: &str) -> StreamState {
        let stream = stream_id(stream);
        let state = self.repository.state(&self.placement, Some(&stream)).await;
        let state = state.expect("the state can be asked for");
        state.stream.expect("the state of the stream was asked for")
    }

    pub(super) async fn pages(&self, plan: ReadPlan) -> Result<Vec<Page>> {
        collect(self.repository.read(&self.placement, plan)).await
    }

    pub(super) async fn read(&self, plan: ReadPlan) -> Result<Vec<RecordedEvent>> {
        let pages = self.pages(plan).await?;
        Ok(pages.into_iter().flat_map(|page| page.events).collect())
    }

    /// Every event of the topic, with what holds for every log checked.
    pub(super) async fn log(&self) -> Vec<RecordedEvent> {
        let plan = ReadPlan::all_after(Position::START);
        let pages = self
            .pages(plan.clone())
            .await
            .expect("the topic can be read");
        let log: Vec<RecordedEvent> = pages.iter().flat_map(|page| page.events.clone()).collect();
        check_log(&log);
        log
    }

    /// Reads by `plan`, and compares events and pages with what `log`, the whole topic, says.
    pub(super) async fn check_read(&self, log: &[RecordedEvent], plan: ReadPlan) {
        let pages = self
            .pages(plan.clone())
            .await
            .expect("the plan can be read");
        let events: Vec<&RecordedEvent> = pages.iter().flat_map(|page| &page.events).collect();
        let expected = expected_events(log, &plan);
        let places = |events: &[&RecordedEvent]| -> Vec<u64> {
            events.iter().map(|event| event.position.get()).collect()
        };
        let expected: Vec<&RecordedEvent> = expected.iter().collect();
        assert_eq!(places(&events), places(&expected), "positions of {plan:?}");
        assert_eq!(events, expected, "events of {plan:?}");
        check_pages(log, &plan, &pages);
    }

    /// Appends as many small appends as are needed for the topic to have `head` events, many at a
    /// time.
    pub(super) async fn fill(&self, head: u64) {
        let missing = head.saturating_sub(self.head().await);
        let tasks = 20_u64;
        let outcomes = race(tasks, |number| {
            let scene = self.clone();
            async move {
                let own = missing / tasks + u64::from(number < missing % tasks);
                for count in 0..own {
                    let stream = format!("filled-{}", count % 10);
                    scene.write(Draft::to(&stream).event("Filled")).await;
                }
            }
        });
        outcomes.await;
        assert_eq!(self.head().await, head);
    }
}

/// All pages of a read, or its error.
pub(super) async fn collect(mut read: BoxStream<'static, Result<Page>>) -> Result<Vec<Page>> {
    let mut pages = Vec::new();
    while let Some(page) = read.next().await {
        match page {
            Ok(page) => pages.push(page),
            Err(error) => {
                assert!(read.next().await.is_none(), "a read goes on after {error}");
                return Err(error);
            }
        }
    }
    Ok(pages)
}

/// Runs `count` tasks that begin together, and returns what they return, in their order.
pub(super) async fn race<T, F>(count: u64, mut task: impl FnMut(u64) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let start = Arc::new(Barrier::new(usize::try_from(count).expect("tasks are few")));
    let mut tasks = JoinSet::new();
    for number in 0..count {
        let start = Arc::clone(&start);
        let work = task(number);
        tasks.spawn(async move {
            start.wait().await;
            (number, work.await)
        });
    }
    let mut outcomes = Vec::new();
    while let Some(outcome) = tasks.join_next().await {
        match outcome {
            Ok(outcome) => outcomes.push(outcome),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => panic!("a task was stopped: {error}"),
            },
        }
    }
    outcomes.sort_by_key(|(number, _)| *number);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// What `work` gives, if it does within ten seconds.
pub(super) async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(10), work).await {
        Ok(outcome) => outcome,
        Err(_) => panic!("{what} took more than ten seconds"),
    }
}
