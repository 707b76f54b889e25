//! The listener, and what it hands requests to.

mod activity;
mod connection;
mod guard;
mod intake;
mod patient;
mod router;
mod tls;
#[cfg(feature = "otel")]
mod traces;

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::{info, warn};

pub(super) use self::intake::InFlight;
use self::{connection::Served, tls::Tls};
use super::{
    ServerConfig,
    access::Access,
    state::{App, Shared},
    webhooks::Webhooks,
};
use crate::EventStore;

/// How long accepting rests where the system has no more files or memory to give.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// How often what was measured is put in order, whether anybody asks for it or not.
const UPKEEP: Duration = Duration::from_secs(5);

/// How long what the server does by itself may take to end, at the least.
const FINISH: Duration = Duration::from_secs(5);

/// A server that listens, and serves once [`serve`](Self::serve) is called.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    tls: Option<Tls>,
    app: App,
    reload: Arc<Notify>,
}

/// Has a server read its certificate and its access file again, without waiting for the next look.
#[derive(Clone, Debug)]
pub struct Reload(Arc<Notify>);

impl Reload {
    /// Reads them again. Where one of them cannot be used, what was read before stays, and the log says so.
    pub fn now(&self) {
        self.0.notify_one();
    }
}

impl Server {
    /// Listens on the address of `config`.
    ///
    /// # Errors
    /// [`io::ErrorKind::PermissionDenied`] for an address that other machines reach, without TLS or without
    /// access control; [`io::ErrorKind::InvalidInput`] for files that hold no certificate, key or access
    /// rules; else those of the operating system, where it cannot be listened there.
    pub async fn bind(store: &EventStore, config: ServerConfig) -> io::Result<Self> {
        refuse_unsafe(&config)?;
        let tls = match &config.tls {
            Some(files) => Some(Tls::load(files).await?),
            None => None,
        };
        let access = Access::load(config.access_file.as_deref()).await?;
        let listener = TcpListener::bind(config.listen).await?;
        if !access.is_on() {
            info!("there is no access control: whoever reaches the address may do everything");
        }
        let app = Arc::new(Shared::new(store, &config, access));
        Ok(Self {
            listener,
            tls,
            app,
            reload: Arc::new(Notify::new()),
        })
    }

    /// The address that is listened on.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// What has the certificate and the access file read again.
    #[must_use]
    pub fn reload(&self) -> Reload {
        Reload(Arc::clone(&self.reload))
    }

    /// Serves until `shutdown` is ready, and then finishes what was accepted: nothing more is accepted, live
    /// streams end, requests that have come are answered. The store stays open.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] where requests were not finished within [`ServerConfig::drain`]; they are
    /// cut off, each append recorded as a whole or not at all.
    pub async fn serve(
        self,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let app = self.app;
        Webhooks::start(&app);
        let mut background = JoinSet::new();
        background.spawn(keep_up(Arc::clone(&app), self.tls.clone(), self.reload));
        let served = Arc::new(Served::new(Arc::clone(&app), self.tls));
        let mut connections = JoinSet::new();
        tokio::select! {
            biased;
            () = shutdown => {}
            () = accept(&self.listener, &served, &mut connections) => {}
        }
        drop(self.listener);
        app.stop();
        info!(connections = connections.len(), "the server stops");
        let drained = timeout(app.config.drain, async {
            while connections.join_next().await.is_some() {}
        });
        let drained = drained.await.is_ok();
        let cut = connections.len();
        connections.shutdown().await;
        // Also where connections were cut off: nothing of the server is to go on without it.
        let finished = timeout(app.config.drain.max(FINISH), app.finish()).await;
        if finished.is_err() {
            warn!("groups and webhooks were not left in time; their events are given again");
        }
        if drained {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("{cut} connections were cut off, as they were not done in time"),
        ))
    }
}

/// Refuses what would let other machines in by mistake.
fn refuse_unsafe(config: &ServerConfig) -> io::Result<()> {
    let refused = |what: &str| Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    if config.listen.ip().is_loopback() {
        return Ok(());
    }
    if config.tls.is_none() && !config.plain_http {
        return refused(
            "other machines reach this address, and there is no TLS: give a certificate and its key, or \
             say that plain HTTP is meant (--insecure-plain-http)",
        );
    }
    if config.access_file.is_none() && !config.open_access {
        return refused(
            "other machines reach this address, and there is no access control: give an access file, or \
             say that everybody may do everything (--insecure-open-access)",
        );
    }
    Ok(())
}

/// Accepts connections for ever. Where all slots are taken, those who come wait with the operating system.
async fn accept(listener: &TcpListener, served: &Arc<Served>, connections: &mut JoinSet<()>) {
    let slots = Arc::new(Semaphore::new(served.app.config.limits.connections.max(1)));
    loop {
        tokio::select! {
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    warn!(%error, "a connection ended with a panic");
                }
            }
            Some((stream, slot)) = next(listener, &slots) => {
                connections.spawn(connection::serve(stream, Arc::clone(served), slot));
            }
        }
    }
}

async fn next(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return Some((stream, slot)),
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                warn!(%error, "no connection can be accepted");
                sleep(EXHAUSTED).await;
            }
        }
    }
}

/// Whether a client has gone before it was accepted.
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

/// What a server does beside serving: looks for changed files, and puts measurements in order.
async fn keep_up(app: App, tls: Option<Tls>, reload: Arc<Notify>) {
    let upkeep = async {
        loop {
            sleep(UPKEEP).await;
            app.metrics.upkeep();
        }
    };
    let files = async {
        loop {
            let told = timeout(app.config.reload_interval, reload.notified()).await;
            let forced = told.is_ok();
            app.access.reload(forced).await;
            if let Some(tls) = &tls {
                tls.reload(forced).await;
            }
        }
    };
    tokio::join!(upkeep, files);
}
