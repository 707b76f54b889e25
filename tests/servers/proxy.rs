//! A proxy before a server, which cuts connections: at requests, and at answers.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Stands between a store and its server, and cuts connections.
#[derive(Debug)]
pub(crate) struct Proxy {
    port: u16,
    /// Every so many pieces that pass, a connection is cut; 0 for never.
    pub(crate) every: Arc<AtomicU64>,
}

impl Proxy {
    pub(crate) async fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let every = Arc::new(AtomicU64::new(0));
        let passed = Arc::new(AtomicU64::new(0));
        let cut = Arc::clone(&every);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(upstream) = TcpStream::connect(("127.0.0.1", server)).await else {
                    continue;
                };
                tokio::spawn(pass(
                    client,
                    upstream,
                    Arc::clone(&cut),
                    Arc::clone(&passed),
                ));
            }
        });
        Self { port, every }
    }

    /// The URL of a server at this port, through the proxy.
    pub(crate) fn instead_of(&self, server: u16, url: &str) -> String {
        let through = url.replace(&format!(":{server}/"), &format!(":{}/", self.port));
        assert_ne!(url, through);
        through
    }
}

/// Passes pieces on in both directions until one is cut: before it is passed on, or after.
async fn pass(client: TcpStream, server: TcpStream, every: Arc<AtomicU64>, passed: Arc<AtomicU64>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let to_the_server;
        let piece = tokio::select! {
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
        let number = passed.fetch_add(1, Ordering::Relaxed);
        let every = every.load(Ordering::Relaxed);
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
