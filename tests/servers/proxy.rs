//! A proxy before a server, which cuts connections: at requests, and at answers.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

/// Stands between a store and its server, and cuts connections.
#[derive(Debug)]
pub(crate) struct Proxy {
    port: u16,
    /// Every so many pieces that pass, a connection is cut; 0 for never.
    pub(crate) every: Arc<AtomicU64>,
    /// Every so many commits, the server's answer is swallowed, and the next record of a checkpoint is
    /// refused; 0 for never.
    pub(crate) lose_commits: Arc<AtomicU64>,
    /// How many answers to commits were swallowed.
    pub(crate) lost: Arc<AtomicU64>,
}

/// What the connections of a proxy share.
#[derive(Clone, Debug, Default)]
struct Shared {
    every: Arc<AtomicU64>,
    passed: Arc<AtomicU64>,
    lose_commits: Arc<AtomicU64>,
    commits: Arc<AtomicU64>,
    lost: Arc<AtomicU64>,
    /// Whether the next record of a checkpoint is to be refused.
    refuse: Arc<AtomicBool>,
    /// Cuts all connections.
    cut: Arc<Notify>,
}

impl Proxy {
    pub(crate) async fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Shared::default();
        let proxy = Self {
            port,
            every: Arc::clone(&shared.every),
            lose_commits: Arc::clone(&shared.lose_commits),
            lost: Arc::clone(&shared.lost),
        };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(upstream) = TcpStream::connect(("127.0.0.1", server)).await else {
                    continue;
                };
                tokio::spawn(pass(client, upstream, shared.clone()));
            }
        });
        proxy
    }

    /// The URL of a server at this port, through the proxy.
    pub(crate) fn instead_of(&self, server: u16, url: &str) -> String {
        let through = url.replace(&format!(":{server}/"), &format!(":{}/", self.port));
        assert_ne!(url, through);
        through
    }
}

impl Shared {
    /// Whether the answer to this request is to be lost.
    fn loses(&self, request: &[u8]) -> bool {
        let every = self.lose_commits.load(Ordering::SeqCst);
        let loses = every > 0
            && holds(request, b"COMMIT")
            && self
                .commits
                .fetch_add(1, Ordering::SeqCst)
                .is_multiple_of(every);
        if loses {
            self.lost.fetch_add(1, Ordering::SeqCst);
        }
        loses
    }

    /// Whether this request is refused: a checkpoint that is replaced.
    fn refuses(&self, request: &[u8]) -> bool {
        holds(request, b"WITH patience") && self.refuse.swap(false, Ordering::SeqCst)
    }
}

fn holds(piece: &[u8], text: &[u8]) -> bool {
    piece.windows(text.len()).any(|window| window == text)
}

/// Passes pieces on in both directions until one is cut: before it is passed on, or after.
async fn pass(client: TcpStream, server: TcpStream, shared: Shared) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut loses = false;
    loop {
        let to_the_server;
        let piece = tokio::select! {
            () = shared.cut.notified() => return,
            count = from_client.read(&mut asked) => {
                to_the_server = true;
                count.map(|count| &asked[..count])
            }
            count = from_server.read(&mut answered) => {
                to_the_server = false;
                count.map(|count| &answered[..count])
            }
        };
        let Ok(piece) = piece else { return };
        if piece.is_empty() {
            return;
        }
        if to_the_server && shared.refuses(piece) {
            return;
        }
        if loses && !to_the_server {
            // So that all connections begin anew, and what they ask can be told.
            shared.refuse.store(true, Ordering::SeqCst);
            shared.cut.notify_waiters();
            return;
        }
        loses |= to_the_server && shared.loses(piece);
        let number = shared.passed.fetch_add(1, Ordering::Relaxed);
        let every = shared.every.load(Ordering::Relaxed);
        let cut = every > 0 && number.is_multiple_of(every);
        // Half of the cuts swallow the piece, the others come right behind it.
        if cut && number.is_multiple_of(2 * every) {
            return;
        }
        let sent = if to_the_server {
            to_server.write_all(piece).await
        } else {
            to_client.write_all(piece).await
        };
        if sent.is_err() || cut {
            return;
        }
    }
}
