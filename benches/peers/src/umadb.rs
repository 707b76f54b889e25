//! UmaDB's core with its own writer thread that groups, without its server.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot, watch};
use umadb_core::{
    db::UmaDb,
    mvcc::{Mvcc, StorageOptions},
    writer_thread_blocking::writer_thread_blocking,
    writer_thread_request::WriterThreadRequest,
};
use umadb_dcb::{DcbAppendCondition, DcbEvent, DcbEventStoreSync, DcbQuery, DcbQueryItem};

use crate::{
    draft::Draft,
    target::{Result, Target},
};

/// The most events of one commit.
const GROUP: usize = 8192;

/// One database and the thread that writes to it.
pub(crate) struct Uma {
    database: UmaDb,
    requests: mpsc::Sender<WriterThreadRequest>,
    writer: Mutex<Option<std::thread::JoinHandle<()>>>,
    /// The last position of each stream that was written to: what a decision was made on.
    known: Mutex<std::collections::HashMap<String, u64>>,
}

impl Uma {
    pub(crate) fn open(directory: &Path) -> Result<Self> {
        let options = StorageOptions::default().db_path(directory);
        let mvcc = Arc::new(Mvcc::new(false, options)?);
        let (requests, queue) = mpsc::channel(8192);
        let (head, _) = watch::channel(None);
        let writer = {
            let mvcc = Arc::clone(&mvcc);
            std::thread::spawn(move || writer_thread_blocking(mvcc, queue, head, GROUP))
        };
        Ok(Self {
            database: UmaDb::from_arc(mvcc),
            requests,
            writer: Mutex::new(Some(writer)),
            known: Mutex::default(),
        })
    }

    fn read(&self, query: Option<DcbQuery>) -> Result<u64> {
        let (mut count, mut bytes) = (0, 0);
        for event in self.database.read(query, None, false, None)? {
            count += 1;
            bytes += event?.event.data.len();
        }
        std::hint::black_box(bytes);
        Ok(count)
    }
}

fn of_stream(stream: &str) -> DcbQuery {
    DcbQuery::new().item(DcbQueryItem::new().tags([stream.to_owned()]))
}

#[async_trait]
impl Target for Uma {
    fn name(&self) -> &'static str {
        "umadb"
    }

    async fn append(&self, _topic: usize, events: Vec<Draft>) -> Result<()> {
        let Some(first) = events.first() else {
            return Ok(());
        };
        let stream = first.stream.clone();
        let condition = first.before.is_some().then(|| {
            let after = self
                .known
                .lock()
                .ok()
                .and_then(|known| known.get(&stream).copied());
            DcbAppendCondition::new(of_stream(&stream)).after(after)
        });
        let events = events
            .into_iter()
            .map(|draft| {
                DcbEvent::new()
                    .event_type(draft.event_type)
                    .data(draft.payload)
                    .tags([draft.stream])
                    .uuid(draft.id)
            })
            .collect();
        let (reply, answer) = oneshot::channel();
        let request = WriterThreadRequest::Append {
            events,
            condition,
            tracking_info: None,
            response_tx: reply,
            cancel: None,
        };
        self.requests
            .send(request)
            .await
            .map_err(|_| "the writer has ended")?;
        let last = answer.await??;
        self.known
            .lock()
            .map_err(|_| "a client panicked")?
            .insert(stream, last);
        Ok(())
    }

    async fn scan(&self) -> Result<u64> {
        tokio::task::block_in_place(|| self.read(None))
    }

    async fn stream(&self, stream: &str) -> Result<u64> {
        tokio::task::block_in_place(|| self.read(Some(of_stream(stream))))
    }

    async fn close(&self) -> Result<()> {
        drop(self.requests.send(WriterThreadRequest::Shutdown).await);
        let writer = self.writer.lock().map_err(|_| "a client panicked")?.take();
        if let Some(writer) = writer {
            writer.join().map_err(|_| "the writer panicked")?;
        }
        Ok(())
    }
}
