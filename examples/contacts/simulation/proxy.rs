//! The network between devices and the server: it loses requests, and answers of what was done.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::dice::Dice;
use crate::Result;

/// What becomes of a connection.
enum Fate {
    Well,
    /// Nothing reaches the server.
    NotReached,
    /// The server has done what was asked, and the connection is cut before a byte of its answer.
    AnswerLost,
}

#[derive(Debug)]
struct Shared {
    /// Where the server is now; none where it is down.
    server: Mutex<Option<SocketAddr>>,
    calm: AtomicBool,
    cut: AtomicU64,
    lost: AtomicU64,
}

#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn start(mut dice: Dice) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            server: Mutex::new(None),
            calm: AtomicBool::new(false),
            cut: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        });
        let of_task = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let fate = match dice.below(100) {
                    _ if of_task.calm.load(Ordering::Relaxed) => Fate::Well,
                    0..10 => Fate::NotReached,
                    10..22 => Fate::AnswerLost,
                    _ => Fate::Well,
                };
                tokio::spawn(carry(client, fate, Arc::clone(&of_task)));
            }
        });
        Ok(Self {
            address,
            shared,
            accepting,
        })
    }

    pub(crate) fn lead_to(&self, server: Option<SocketAddr>) {
        if let Ok(mut now) = self.shared.server.lock() {
            *now = server;
        }
    }

    /// From now on nothing is lost.
    pub(crate) fn calm(&self) {
        self.shared.calm.store(true, Ordering::Relaxed);
    }

    /// How many requests, and how many answers, were lost.
    pub(crate) fn lost(&self) -> (u64, u64) {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (of(&self.shared.cut), of(&self.shared.lost))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Carries one connection; who is cut off sees that his connection is closed.
async fn carry(mut client: TcpStream, fate: Fate, shared: Arc<Shared>) {
    let server = shared.server.lock().ok().and_then(|server| *server);
    let Some(server) = server else {
        return;
    };
    if matches!(fate, Fate::NotReached) {
        shared.cut.fetch_add(1, Ordering::Relaxed);
        return;
    }
    let Ok(mut server) = TcpStream::connect(server).await else {
        return;
    };
    if matches!(fate, Fate::Well) {
        // It ends with either side.
        let _ = copy_bidirectional(&mut client, &mut server).await;
        return;
    }
    let (mut asked, mut answered) = ([0; 16384], [0; 1]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => match read {
                Ok(0) | Err(_) => return,
                Ok(read) => {
                    if server.write_all(&asked[..read]).await.is_err() {
                        return;
                    }
                }
            },
            // The server answers when it is done.
            _ = server.read(&mut answered) => {
                shared.lost.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
    }
}
