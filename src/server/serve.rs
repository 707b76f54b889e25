//! The listener, and what it hands requests to.

use std::{future::Future, io, net::SocketAddr, sync::Arc};

use axum::Router;
use tokio::net::TcpListener;

use super::{
    ServerConfig, api, eventstoredb, groups, live, operations, page,
    state::{App, Shared},
    webhooks,
};
use crate::EventStore;

/// A server that listens, and serves once [`serve`](Self::serve) is called.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    app: App,
}

impl Server {
    /// Listens on the address of `config`.
    ///
    /// # Errors
    /// Those of the operating system, where it cannot be listened there.
    pub async fn bind(store: &EventStore, config: ServerConfig) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen).await?;
        let app = Arc::new(Shared::new(store, &config));
        Ok(Self { listener, app })
    }

    /// The address that is listened on.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown` is ready, and then finishes what was accepted. The store stays open.
    ///
    /// # Errors
    /// Those of the operating system.
    pub async fn serve(
        self,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let app = Arc::clone(&self.app);
        app.start();
        let stopping = Arc::clone(&app);
        let shutdown = async move {
            shutdown.await;
            stopping.stop();
        };
        let served = axum::serve(self.listener, router(self.app))
            .with_graceful_shutdown(shutdown)
            .await;
        app.finish().await;
        served
    }
}

fn router(app: App) -> Router {
    let v1 = Router::new()
        .merge(api::routes())
        .merge(live::routes())
        .merge(groups::routes())
        .merge(webhooks::routes())
        .method_not_allowed_fallback(api::method_not_allowed)
        .fallback(api::not_found);
    Router::new()
        .nest("/api/v1", v1)
        .merge(eventstoredb::routes())
        .merge(operations::routes())
        .merge(page::routes())
        .with_state(app)
}
