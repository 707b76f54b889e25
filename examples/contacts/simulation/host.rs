//! The server of a simulation: a process that is killed and started again; or, where all is in memory,
//! one in this process, that hangs up in the middle and listens elsewhere.

use std::{net::SocketAddr, process::Stdio};

use annals::EventStore;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    task::JoinHandle,
};

use crate::{
    Kept, Result, http,
    ledger::{self, Ledger},
};

/// How it is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Run {
    /// As another process.
    Process,
    /// In this process.
    Here,
}

pub(crate) struct Host {
    kept: Kept,
    run: Run,
    /// Where the store is in memory it has to stay.
    store: Option<EventStore>,
    running: Option<Running>,
    pub(crate) address: SocketAddr,
}

enum Running {
    Process {
        child: Child,
        /// Kept, so that the process can go on writing.
        _out: Lines<BufReader<ChildStdout>>,
    },
    Here {
        ledger: Ledger,
        serving: JoinHandle<()>,
    },
}

impl Host {
    pub(crate) async fn start(kept: &Kept, run: Run) -> Result<Self> {
        let mut host = Self {
            kept: kept.clone(),
            run,
            store: None,
            running: None,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        host.start_again().await?;
        Ok(host)
    }

    pub(crate) async fn start_again(&mut self) -> Result<()> {
        let (running, address) = match self.run {
            Run::Process => self.start_process().await?,
            Run::Here => self.start_here().await?,
        };
        (self.running, self.address) = (Some(running), address);
        Ok(())
    }

    async fn start_process(&self) -> Result<(Running, SocketAddr)> {
        let Kept {
            adapter,
            connection,
            read_models,
        } = &self.kept;
        let read_models = read_models.iter();
        let mut child = Command::new(std::env::current_exe()?)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(["--adapter", adapter, "--connection", connection])
            .args(read_models.map(|url| format!("--read-models={url}")))
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let out = child.stdout.take().ok_or("the process has no output")?;
        let mut lines = BufReader::new(out).lines();
        let line = lines.next_line().await?.ok_or("the server has ended")?;
        let address = line.rsplit('/').next().unwrap_or_default().parse()?;
        Ok((Running::Process { child, _out: lines }, address))
    }

    async fn start_here(&mut self) -> Result<(Running, SocketAddr)> {
        let Kept {
            adapter,
            connection,
            read_models,
        } = &self.kept;
        let store = match &self.store {
            Some(store) => store.clone(),
            None => ledger::open_store(adapter, connection).await?,
        };
        if adapter == "memory" {
            self.store = Some(store.clone());
        }
        let ledger = Ledger::open(store, read_models.as_deref()).await?;
        let (listener, address) = http::listen("127.0.0.1:0").await?;
        let serving = ledger.clone();
        let serving = tokio::spawn(async move {
            let serving = http::serve(listener, serving, std::future::pending());
            if let Err(error) = serving.await {
                tracing::error!(%error, "the server has ended");
            }
        });
        Ok((Running::Here { ledger, serving }, address))
    }

    /// Ends it in the middle of what it does.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        match self.running.take() {
            Some(Running::Process { mut child, .. }) => child.kill().await?,
            Some(Running::Here { ledger, serving }) => {
                serving.abort();
                ledger.views.close().await;
                if self.store.is_none() {
                    ledger.store.close().await?;
                }
            }
            None => {}
        }
        Ok(())
    }
}
