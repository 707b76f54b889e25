//! The machine where its topic moves, is out of reach for a while, or has lost events.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

use super::{
    Follower, Subscription,
    source::{Place, Source},
};
use crate::{
    models::{
        ContentType, Error, EventType, ExpectedVersion, NewEvent, Options, Placement, Position,
        RecordedEvent, Result, StorageId, StoreId, StreamId, SystemClock, Tags, TopicName,
    },
    repository::{
        AppendBatch, BatchEvent, OpenRequest, ReadPlan, RepositoryFactory, memory::MemoryFactory,
    },
};

/// A topic that can be moved, and be out of reach.
struct Movable {
    place: Mutex<Place>,
    moved: Notify,
    /// How often it cannot be found.
    failures: AtomicU64,
    history: Arc<Semaphore>,
}

impl Movable {
    fn at(place: Place) -> Arc<Self> {
        Arc::new(Self {
            place: Mutex::new(place),
            moved: Notify::new(),
            failures: AtomicU64::new(0),
            history: Arc::new(Semaphore::new(1)),
        })
    }

    fn go_to(&self, place: Place) {
        *self.place.lock() = place;
        self.moved.notify_waiters();
    }
}

#[async_trait]
impl Source for Movable {
    async fn locate(&self) -> Result<Place> {
        let counted = |left: u64| left.checked_sub(1);
        if self
            .failures
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, counted)
            .is_ok()
        {
            return Err(Error::RepositoryUnavailable {
                repository: "movable".to_owned(),
                reason: "it does not answer".to_owned(),
                source: None,
            });
        }
        Ok(self.place.lock().clone())
    }

    async fn relocate(&self, before: &Place) -> Result<Place> {
        let place = self.locate().await?;
        if place.placement.storage == before.placement.storage {
            return Err(crate::context::missing(&place.placement));
        }
        Ok(place)
    }

    fn has_left(&self, place: &Place) -> bool {
        self.place.lock().placement.storage != place.placement.storage
    }

    async fn left(&self, place: &Place) {
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            if self.has_left(place) {
                return;
            }
            moved.await;
        }
    }

    async fn closed(&self) {
        std::future::pending().await
    }

    fn history(&self) -> &Arc<Semaphore> {
        &self.history
    }
}

async fn place() -> Place {
    let request = OpenRequest {
        connection: String::new(),
        name: "memory".to_owned(),
        options: Options::new(),
        read_only: false,
        clock: Arc::new(SystemClock),
    };
    let placement = Placement {
        topic: TopicName::new("t").unwrap(),
        adapter: "memory".to_owned(),
        connection: String::new(),
        options: Options::new(),
        storage: StorageId::generate(),
        store: StoreId::NONE,
    };
    let repository = MemoryFactory::default().open(request).await.unwrap();
    repository.prepare(&placement).await.unwrap();
    Place {
        repository,
        placement,
    }
}

async fn append(place: &Place, count: usize) {
    let event = |_| BatchEvent {
        id: NewEvent::json_text("Given", "{}").event_id(),
        stream: StreamId::default(),
        event_type: EventType::new("Given").unwrap(),
        payload: bytes::Bytes::from_static(b"{}"),
        content_type: ContentType::JSON,
        metadata: bytes::Bytes::new(),
        tags: Tags::default(),
    };
    let batch = AppendBatch {
        stream: StreamId::default(),
        expected: ExpectedVersion::Any,
        condition: None,
        events: (0..count).map(event).collect(),
        beyond: None,
    };
    let appended = place.repository.append(&place.placement, Arc::new(batch));
    appended.await.unwrap();
}

async fn log(place: &Place) -> Vec<RecordedEvent> {
    let plan = ReadPlan::all_after(Position::START);
    let mut pages = place.repository.read(&place.placement, plan);
    let mut log = Vec::new();
    while let Some(page) = pages.try_next().await.unwrap() {
        log.extend(page.events);
    }
    log
}

fn subscribe(source: &Arc<Movable>, after: u64) -> Subscription {
    let plan = ReadPlan::all_after(Position::new(after));
    let follower = Follower::new(Arc::<Movable>::clone(source), plan, 1000);
    Subscription::new(TopicName::new("t").unwrap(), follower)
}

async fn take(live: &mut Subscription, count: usize) -> Vec<RecordedEvent> {
    let taking = live.take(count).try_collect();
    let taken = tokio::time::timeout(Duration::from_secs(20), taking).await;
    taken.expect("events come").unwrap()
}

/// Moves the topic with what it has, and appends more where it is then.
async fn move_on(source: &Movable, remove: bool) -> Place {
    let old = source.place.lock().clone();
    let new = place().await;
    old.repository
        .seal(&old.placement, Position::START)
        .await
        .unwrap();
    let events = log(&old).await;
    new.repository.import(&new.placement, events).await.unwrap();
    append(&new, 3).await;
    source.go_to(new.clone());
    if remove {
        let storage = old.placement.storage;
        old.repository.remove(storage).await.unwrap();
    }
    new
}

#[tokio::test]
async fn a_topic_that_moves_is_followed_in_every_state() {
    for remove in [false, true] {
        let first = place().await;
        let source = Movable::at(first.clone());
        append(&first, 5000).await;
        let mut never_asked = subscribe(&source, 0);
        let mut reads = subscribe(&source, 0);
        let mut waits = subscribe(&source, 5000);
        let read = take(&mut reads, 10).await;
        assert!(waits.next().now_or_never().is_none());
        tokio::task::yield_now().await;
        let second = move_on(&source, remove).await;
        let log_now = log(&second).await;
        assert_eq!(log_now.len(), 5003);
        assert_eq!(take(&mut waits, 3).await, log_now[5000..]);
        assert_eq!(take(&mut never_asked, 5003).await, log_now);
        assert_eq!(read, log_now[..10]);
        assert_eq!(take(&mut reads, 4993).await, log_now[10..]);
        let third = move_on(&source, remove).await;
        let log_now = log(&third).await;
        for mut live in [waits, never_asked, reads] {
            assert_eq!(take(&mut live, 3).await, log_now[5003..]);
            assert!(live.next().now_or_never().is_none());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_topic_out_of_reach_is_waited_for() {
    let first = place().await;
    let source = Movable::at(first.clone());
    append(&first, 10).await;
    let mut live = subscribe(&source, 0);
    source.failures.store(50, Ordering::SeqCst);
    let begun = tokio::time::Instant::now();
    // A server may be down for longer than anybody would watch here.
    let taken: Vec<_> = live.by_ref().take(10).try_collect().await.unwrap();
    assert_eq!(taken, log(&first).await);
    let waited = begun.elapsed();
    assert!(waited > Duration::from_secs(20), "{waited:?} is no pause");
    assert!(waited < Duration::from_secs(200), "{waited:?} is too long");
}

#[tokio::test]
async fn a_topic_that_has_lost_what_was_delivered_is_an_error() {
    let (first, second) = (place().await, place().await);
    append(&first, 10).await;
    append(&second, 9).await;
    let source = Movable::at(first);
    let mut live = subscribe(&source, 0);
    assert_eq!(take(&mut live, 10).await.len(), 10);
    assert!(live.next().now_or_never().is_none());
    source.go_to(second);
    let error = live.next().await.unwrap().unwrap_err();
    assert!(
        matches!(&error, Error::PositionAhead { head, .. } if head.get() == 9),
        "{error}"
    );
    assert!(live.next().await.is_none());
}

#[tokio::test]
async fn a_storage_that_is_lost_is_an_error() {
    let first = place().await;
    append(&first, 10).await;
    let source = Movable::at(first.clone());
    let mut live = subscribe(&source, 10);
    assert!(live.next().now_or_never().is_none());
    let storage = first.placement.storage;
    first.repository.remove(storage).await.unwrap();
    let error = live.next().await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Corruption { .. }), "{error}");
}

/// One that does not know how far it has looked would be woken again and again.
#[tokio::test]
async fn what_does_not_match_is_not_looked_at_again() {
    let first = place().await;
    append(&first, 10).await;
    let plan = ReadPlan {
        filter: crate::models::EventFilter::all().types(["NeverThere"]),
        ..ReadPlan::all_after(Position::START)
    };
    let mut follower = Follower::new(Movable::at(first.clone()), plan, 1000);
    for head in [10, 11, 12] {
        while follower.position().get() < head {
            let step = tokio::time::timeout(Duration::from_secs(20), follower.step());
            step.await.expect("it moves on").unwrap().unwrap();
        }
        assert_eq!(follower.position().get(), head);
        append(&first, 1).await;
    }
}
