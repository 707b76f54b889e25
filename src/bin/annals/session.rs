//! One run of a command: the store that it has opened, what it prints, and its interruption.

use std::{
    io::{self, StdoutLock, Write as _},
    sync::OnceLock,
};

use annals::EventStore;
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard, watch};

use super::{
    common::{Access, Common},
    failure::{Failure, Kind},
};

/// One run of a command.
#[derive(Debug)]
pub(crate) struct Session {
    store: OnceLock<EventStore>,
    interrupted: watch::Receiver<bool>,
    /// Held by what ends by itself when it is interrupted, and is not to be cut off.
    uncut: Mutex<()>,
}

impl Session {
    pub(crate) fn new() -> Self {
        let (interrupt, interrupted) = watch::channel(false);
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_err() {
                return interrupt.closed().await;
            }
            interrupt.send_replace(true);
            // Whoever asks twice does not want to wait for what is being finished.
            if tokio::signal::ctrl_c().await.is_ok() {
                std::process::exit(Kind::Interrupted as i32);
            }
        });
        Self {
            store: OnceLock::new(),
            interrupted,
            uncut: Mutex::default(),
        }
    }

    /// Opens the store. It is closed when the command has ended, however it ends.
    pub(crate) async fn open(
        &self,
        common: &Common,
        access: Access,
    ) -> Result<EventStore, Failure> {
        let store = EventStore::open(common.config(access)?).await?;
        // A command opens one store; another one would be closed by being dropped.
        Ok(self.store.get_or_init(|| store).clone())
    }

    pub(crate) async fn close(&self) -> Result<(), Failure> {
        match self.store.get() {
            Some(store) => Ok(store.close().await?),
            None => Ok(()),
        }
    }

    /// Waits for Ctrl-C, and for the end of what hears of it itself.
    pub(crate) async fn cut(&self) {
        self.interrupted().await;
        drop(self.uncut.lock().await);
    }

    /// As long as this is held, the command ends by itself when it is interrupted.
    pub(crate) async fn uncut(&self) -> MutexGuard<'_, ()> {
        self.uncut.lock().await
    }

    /// Waits for Ctrl-C.
    pub(crate) async fn interrupted(&self) {
        let mut interrupted = self.interrupted.clone();
        let heard = interrupted
            .wait_for(|interrupted| *interrupted)
            .await
            .is_ok();
        if !heard {
            std::future::pending::<()>().await;
        }
    }
}

/// Prints one answer: a line of JSON, or what people read.
pub(crate) fn answer(
    common: &Common,
    json: &Value,
    text: impl FnOnce() -> String,
) -> Result<(), Failure> {
    let mut out = Output::new();
    if common.json {
        out.line(json.to_string().as_bytes())?;
    } else {
        out.line(text().trim_end().as_bytes())?;
    }
    out.flush()
}

/// Standard output, buffered.
pub(crate) struct Output(io::BufWriter<StdoutLock<'static>>);

impl Output {
    pub(crate) fn new() -> Self {
        Self(io::BufWriter::with_capacity(64 << 10, io::stdout().lock()))
    }

    pub(crate) fn line(&mut self, line: &[u8]) -> Result<(), Failure> {
        let written = self
            .0
            .write_all(line)
            .and_then(|()| self.0.write_all(b"\n"));
        written.map_err(|error| Failure::output(&error))
    }

    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.0.flush().map_err(|error| Failure::output(&error))
    }
}
