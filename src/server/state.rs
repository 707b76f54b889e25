//! What all handlers share.

use std::sync::Arc;

use tokio::sync::watch;

use super::{
    ServerConfig,
    access::Access,
    api::Moves,
    eventstoredb::Placements,
    groups::Groups,
    live::Hubs,
    operations::{Health, Metrics},
    serve::InFlight,
    webhooks::Webhooks,
};
use crate::EventStore;

/// Shared by all handlers.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) store: EventStore,
    pub(super) config: ServerConfig,
    pub(super) access: Access,
    pub(super) metrics: Metrics,
    pub(super) health: Health,
    /// The bytes of bodies that are worked on.
    pub(super) in_flight: InFlight,
    /// Turns true when the server is to stop: answers that have no end of their own end then.
    pub(super) stopping: watch::Sender<bool>,
    /// Topics that are followed by live subscribers.
    pub(super) live: Hubs,
    /// Groups of which this server is a member.
    pub(super) groups: Groups,
    /// Moves of topics that were asked for here.
    pub(super) moves: Moves,
    /// Callbacks to which this server sends events.
    pub(super) webhooks: Webhooks,
    /// Where streams are that are named without a topic.
    pub(super) eventstoredb: Placements,
}

impl Shared {
    pub(super) fn new(store: &EventStore, config: &ServerConfig, access: Access) -> Self {
        Self {
            store: store.clone(),
            config: config.clone(),
            access,
            metrics: Metrics::new(),
            health: Health::new(),
            in_flight: InFlight::default(),
            stopping: watch::Sender::new(false),
            live: Hubs::default(),
            groups: Groups::default(),
            moves: Moves::default(),
            webhooks: Webhooks::new(config),
            eventstoredb: Placements::new(config.default_placement.clone()),
        }
    }

    /// Whether the server stops: nothing new is to be begun.
    pub(super) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Is ready when the server stops.
    pub(super) fn stopped(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let mut stopping = self.stopping.subscribe();
        async move {
            // The sender is gone only where nothing is served any more.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        }
    }

    /// Ends what waits for more, so that requests can be finished.
    pub(super) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Ends what the server does by itself, once there are no more requests.
    pub(super) async fn finish(&self) {
        self.groups.leave().await;
        self.webhooks.stop().await;
    }
}

/// The state of the router.
pub(super) type App = Arc<Shared>;
