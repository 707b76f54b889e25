//! The signals that a server hears: to stop, and to read its files again.

use std::{io, process};

use annals::server::Reload;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

/// What 128 and the number of a signal make: how shells tell that one ended a program.
const INTERRUPTED: i32 = 130;
const TERMINATED: i32 = 143;

/// Hears signals from when it is made.
pub(super) struct Signals {
    stop: watch::Receiver<bool>,
    /// Taken where there is something to read again.
    hangup: Signal,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let hangup = signal(SignalKind::hangup())?;
        let (sender, stop) = watch::channel(false);
        tokio::spawn(async move {
            loop {
                let code = tokio::select! {
                    Some(()) = interrupt.recv() => INTERRUPTED,
                    Some(()) = terminate.recv() => TERMINATED,
                    else => return,
                };
                if sender.send_replace(true) {
                    // The second one: whoever sends it does not want to wait. What was acknowledged is safe.
                    process::exit(code);
                }
            }
        });
        Ok(Self { stop, hangup })
    }

    /// Is ready once the server is to stop.
    pub(super) fn stop(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let mut stop = self.stop.clone();
        async move {
            if stop.wait_for(|stop| *stop).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Has files read again at each hangup.
    pub(super) fn reload_with(self, reload: Reload) {
        let mut hangup = self.hangup;
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                reload.now();
            }
        });
    }
}
