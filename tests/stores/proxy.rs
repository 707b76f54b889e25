//! A proxy between a client and a server that speak HTTP/1.1, which breaks what it is told to break.

use std::{
    io,
    sync::{
        Arc, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    /// The connection is cut before the server sees anything.
    Before,
    /// The server does it, and the connection is cut before its answer.
    Unanswered,
    /// The connection is cut in the middle of the answer.
    MidAnswer,
    /// This status is answered, and the server sees nothing.
    Instead(u16),
    /// The server does it, and this status is answered.
    After(u16),
    /// Nothing happens for so long, and then the connection is cut.
    Hang(Duration),
    /// The request is passed on after a while.
    Slow(Duration),
}

type Rule = dyn Fn(&str, &str) -> Option<Break> + Send + Sync;

/// A proxy. It ends with the runtime.
pub(crate) struct Proxy {
    port: u16,
    rule: Arc<RwLock<Option<Arc<Rule>>>>,
    broken: Arc<AtomicU64>,
}

impl Proxy {
    /// A proxy before the server at a port.
    pub(crate) async fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy = Self {
            port,
            rule: Arc::default(),
            broken: Arc::default(),
        };
        let (rule, broken) = (Arc::clone(&proxy.rule), Arc::clone(&proxy.broken));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (rule, broken) = (Arc::clone(&rule), Arc::clone(&broken));
                tokio::spawn(async move { serve(client, server, rule, broken).await });
            }
        });
        proxy
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// What breaks from now on, by method and path.
    pub(crate) fn set(&self, rule: impl Fn(&str, &str) -> Option<Break> + Send + Sync + 'static) {
        *self.rule.write().unwrap() = Some(Arc::new(rule));
    }

    pub(crate) fn heal(&self) {
        *self.rule.write().unwrap() = None;
    }

    /// How many requests were broken.
    pub(crate) fn broken(&self) -> u64 {
        self.broken.load(Ordering::Relaxed)
    }
}

/// A message: its head with the empty line, and its body.
struct Message {
    head: Vec<u8>,
    body: Vec<u8>,
}

struct Side {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Side {
    fn new(stream: TcpStream) -> Self {
        let (reader, writer) = stream.into_split();
        Self {
            reader: BufReader::new(reader),
            writer,
        }
    }

    async fn send(&mut self, message: &Message) -> io::Result<()> {
        self.writer.write_all(&message.head).await?;
        self.writer.write_all(&message.body).await
    }

    /// The next message; none at the end. `bodiless` is an answer that has none whatever it says.
    async fn receive(&mut self, bodiless: bool) -> io::Result<Option<Message>> {
        let mut head = Vec::new();
        loop {
            let before = head.len();
            if self.reader.read_until(b'\n', &mut head).await? == 0 {
                return Ok(None);
            }
            if head[before..] == *b"\r\n" {
                break;
            }
        }
        let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.map(|value| value.trim().to_owned())
        };
        let empty =
            bodiless || text.starts_with("http/1.1 204") || text.starts_with("http/1.1 304");
        let mut body = Vec::new();
        if empty {
        } else if field("transfer-encoding:").is_some_and(|coding| coding.contains("chunked")) {
            self.receive_chunks(&mut body).await?;
        } else if let Some(length) = field("content-length:") {
            body.resize(length.parse().unwrap(), 0);
            self.reader.read_exact(&mut body).await?;
        }
        Ok(Some(Message { head, body }))
    }

    async fn receive_chunks(&mut self, body: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let start = body.len();
            self.reader.read_until(b'\n', body).await?;
            let size = String::from_utf8_lossy(&body[start..]);
            let size = usize::from_str_radix(size.trim().split(';').next().unwrap(), 16).unwrap();
            let at = body.len();
            body.resize(at + size + 2, 0);
            self.reader.read_exact(&mut body[at..]).await?;
            if size == 0 {
                return Ok(());
            }
        }
    }
}

async fn serve(
    client: TcpStream,
    server: u16,
    rule: Arc<RwLock<Option<Arc<Rule>>>>,
    broken: Arc<AtomicU64>,
) -> io::Result<()> {
    let mut client = Side::new(client);
    let mut upstream = Side::new(TcpStream::connect(("127.0.0.1", server)).await?);
    while let Some(request) = client.receive(false).await? {
        let line = String::from_utf8_lossy(&request.head).into_owned();
        let mut words = line.split(' ');
        let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let rule = rule.read().unwrap().clone();
        let fault = rule.and_then(|rule| rule(method, path));
        broken.fetch_add(u64::from(fault.is_some()), Ordering::Relaxed);
        match fault {
            Some(Break::Before) => return Ok(()),
            Some(Break::Hang(time)) => {
                tokio::time::sleep(time).await;
                return Ok(());
            }
            Some(Break::Instead(status)) => {
                client.send(&answer(status)).await?;
                continue;
            }
            Some(Break::Slow(time)) => tokio::time::sleep(time).await,
            _ => {}
        }
        upstream.send(&request).await?;
        let Some(mut answered) = upstream.receive(method == "HEAD").await? else {
            return Ok(());
        };
        match fault {
            Some(Break::Unanswered) => return Ok(()),
            Some(Break::MidAnswer) => {
                answered.head.truncate(answered.head.len() / 2);
                answered.body.clear();
                client.send(&answered).await?;
                return Ok(());
            }
            Some(Break::After(status)) => answered = answer(status),
            _ => {}
        }
        client.send(&answered).await?;
    }
    Ok(())
}

fn answer(status: u16) -> Message {
    Message {
        head: format!("HTTP/1.1 {status} Broken\r\nContent-Length: 0\r\n\r\n").into_bytes(),
        body: Vec::new(),
    }
}
