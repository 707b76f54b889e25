//! What a case subscribes to, and how it takes what it is given.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt};

use super::{
    Delivered,
    scene::{Scene, soon},
};
use crate::{
    models::{EventFilter, Position, RecordedEvent, StreamId},
    repository::ReadPlan,
    subscription::{Fixed, Follower, Subscription},
};

/// What a case subscribes to.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) after: u64,
    pub(super) filter: EventFilter,
    pub(super) stream: Option<StreamId>,
    pub(super) behind: u64,
    /// How many subscribers may hold whole pages.
    pub(super) history: usize,
}

impl Wish {
    pub(super) fn after(position: u64) -> Self {
        Self {
            after: position,
            filter: EventFilter::all(),
            stream: None,
            behind: 1000,
            history: 1,
        }
    }

    pub(super) fn delivered(&self) -> Delivered {
        let delivered = Delivered::after(Position::new(self.after)).of(self.filter.clone());
        match &self.stream {
            Some(stream) => delivered.of_stream(stream.clone()),
            None => delivered,
        }
    }
}

pub(super) fn subscribe(scene: &Scene, wish: &Wish) -> Subscription {
    let (repository, placement) = (Arc::clone(&scene.repository), scene.placement.clone());
    let plan = ReadPlan {
        stream: wish.stream.clone(),
        filter: wish.filter.clone(),
        include_deleted: true,
        ..ReadPlan::all_after(Position::new(wish.after))
    };
    let topic = placement.topic.clone();
    let source = Arc::new(Fixed::at(repository, placement, wish.history));
    Subscription::new(topic, Follower::new(source, plan, wish.behind))
}

pub(super) async fn next(subscription: &mut Subscription) -> RecordedEvent {
    let item = soon("a delivery", subscription.next()).await;
    item.expect("it goes on").expect("nothing is in the way")
}

/// Takes events until the subscription has looked up to a position.
pub(super) async fn take_to(subscription: &mut Subscription, delivered: &mut Delivered, head: u64) {
    let taking = async {
        while subscription.position().get() < head {
            // What does not match moves the position while the next event is waited for.
            match subscription.next().now_or_never() {
                Some(item) => delivered.take(&item.expect("it goes on").expect("it is read")),
                None => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    };
    soon("to look up to the head", taking).await;
}
