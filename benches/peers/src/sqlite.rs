//! SQLite behind a writer that groups: WAL, `synchronous=FULL`, the same columns and indexes.

use std::{path::Path, sync::Mutex};

use async_trait::async_trait;
use rusqlite::{Connection, params};
use tokio::sync::{mpsc, oneshot};

use crate::{
    draft::Draft,
    target::{Result, Target},
};

/// The most events of one transaction.
const GROUP: usize = 8192;

const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE IF NOT EXISTS events (
        position INTEGER PRIMARY KEY,
        stream TEXT NOT NULL,
        version INTEGER NOT NULL,
        id BLOB NOT NULL,
        type TEXT NOT NULL,
        recorded_at INTEGER NOT NULL,
        payload BLOB NOT NULL
    );
    CREATE UNIQUE INDEX IF NOT EXISTS events_stream ON events (stream, version);
    CREATE UNIQUE INDEX IF NOT EXISTS events_id ON events (id);
    CREATE INDEX IF NOT EXISTS events_type ON events (type);
";

type Request = (Vec<Draft>, oneshot::Sender<std::result::Result<(), String>>);

/// One database and the thread that writes to it.
pub(crate) struct Sqlite {
    requests: Mutex<Option<mpsc::Sender<Request>>>,
    reader: Mutex<Connection>,
    writer: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Sqlite {
    pub(crate) fn open(directory: &Path) -> Result<Self> {
        let path = directory.join("events.sqlite");
        let writer = Connection::open(&path)?;
        writer.execute_batch(SCHEMA)?;
        let reader = Connection::open(&path)?;
        let (requests, queue) = mpsc::channel(8192);
        let thread = std::thread::spawn(move || write(writer, queue));
        Ok(Self {
            requests: Mutex::new(Some(requests)),
            reader: Mutex::new(reader),
            writer: Mutex::new(Some(thread)),
        })
    }

    fn read(&self, sql: &str, key: Option<&str>) -> Result<u64> {
        let reader = self.reader.lock().map_err(|_| "a reader panicked")?;
        let mut statement = reader.prepare_cached(sql)?;
        let mut rows = match key {
            Some(key) => statement.query([key])?,
            None => statement.query([])?,
        };
        let (mut count, mut bytes) = (0, 0);
        while let Some(row) = rows.next()? {
            let event = (
                row.get::<_, i64>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, i64>(2)?,
                row.get::<_, [u8; 16]>(3)?,
                row.get::<_, String>(4)?,
                row.get::<_, i64>(5)?,
                row.get::<_, Vec<u8>>(6)?,
            );
            count += 1;
            bytes += std::hint::black_box(event).6.len();
        }
        std::hint::black_box(bytes);
        Ok(count)
    }
}

/// Takes all that waits into one transaction. An append whose version or id is taken fails alone.
fn write(mut connection: Connection, mut queue: mpsc::Receiver<Request>) {
    let mut group = Vec::new();
    while queue.blocking_recv_many(&mut group, GROUP) > 0 {
        let mut answers = Vec::with_capacity(group.len());
        let commit = (|| {
            let transaction = connection.transaction()?;
            for (events, reply) in group.drain(..) {
                answers.push((insert(&transaction, &events), reply));
            }
            transaction.commit()
        })();
        for (answer, reply) in answers {
            let answer = commit
                .as_ref()
                .map_err(ToString::to_string)
                .and(answer.map_err(|error| error.to_string()));
            drop(reply.send(answer));
        }
    }
}

fn insert(transaction: &rusqlite::Transaction<'_>, events: &[Draft]) -> rusqlite::Result<()> {
    let mut last =
        transaction.prepare_cached("SELECT max(version) FROM events WHERE stream = ?1")?;
    let mut insert = transaction.prepare_cached(
        "INSERT INTO events (stream, version, id, type, recorded_at, payload) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let Some(first) = events.first() else {
        return Ok(());
    };
    let version: Option<i64> = last.query_row([&first.stream], |row| row.get(0))?;
    let version = version.unwrap_or(0);
    if first
        .before
        .is_some_and(|before| before != version.cast_unsigned())
    {
        return Err(rusqlite::Error::QueryReturnedNoRows);
    }
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |time| time.as_micros() as i64);
    for (event, version) in events.iter().zip(version + 1..) {
        insert.execute(params![
            event.stream,
            version,
            event.id.as_bytes(),
            event.event_type,
            now,
            event.payload
        ])?;
    }
    Ok(())
}

#[async_trait]
impl Target for Sqlite {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    async fn append(&self, _topic: usize, events: Vec<Draft>) -> Result<()> {
        let requests = self
            .requests
            .lock()
            .map_err(|_| "a client panicked")?
            .clone();
        let (reply, answer) = oneshot::channel();
        requests
            .ok_or("closed")?
            .send((events, reply))
            .await
            .map_err(|_| "the writer has ended")?;
        Ok(answer.await??)
    }

    async fn scan(&self) -> Result<u64> {
        tokio::task::block_in_place(|| {
            self.read("SELECT position, stream, version, id, type, recorded_at, payload FROM events ORDER BY position", None)
        })
    }

    async fn stream(&self, stream: &str) -> Result<u64> {
        tokio::task::block_in_place(|| {
            self.read("SELECT position, stream, version, id, type, recorded_at, payload FROM events WHERE stream = ?1 ORDER BY version", Some(stream))
        })
    }

    async fn close(&self) -> Result<()> {
        self.requests
            .lock()
            .map_err(|_| "a client panicked")?
            .take();
        let writer = self.writer.lock().map_err(|_| "a client panicked")?.take();
        if let Some(writer) = writer {
            writer.join().map_err(|_| "the writer panicked")?;
        }
        Ok(())
    }
}
