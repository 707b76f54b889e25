//! `annals import`.

use std::path::PathBuf;

use annals::{Error, EventStore, RecordedEvent, json::RecordedEventDocument};
use indicatif::ProgressBar;
use serde_json::json;

use super::{
    common::{Access, Common},
    failure::Failure,
    lines::Lines,
    place::Place,
    progress,
    session::{Session, answer},
    show::many,
};

/// The most events, and the most bytes of lines, that are imported at a time.
const BATCH: (usize, usize) = (1_000, 4 << 20);

/// Record exported events as they are: with positions, versions, ids and times.
///
/// Exporting the topic again gives the same bytes. The topic has to be empty, or to begin with the same
/// events; it may have another name than the one that was exported. Gaps, and anything that is not what the topic
/// has at the same position, are refused. An import that was interrupted is repeated: it goes on where it was.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The topic.
    topic: String,
    /// The file that `export` has written; standard input unless it is given, or where it is `-`.
    file: Option<PathBuf>,
    /// Create the topic if it is not there.
    #[arg(long)]
    create: bool,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    common: Common,
}

const EXAMPLES: &str = "\
Examples:
  annals import orders orders.ndjson --create
  annals export orders | annals import orders --data /mnt/copy --create
  gunzip -c orders.ndjson.gz | annals import orders-of-2026 --create";

/// What was imported so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Imported {
    pub(crate) imported: u64,
    pub(crate) known: u64,
    pub(crate) head: u64,
}

impl Arguments {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        if self.place.is_given() && !self.create {
            return Err(Failure::usage(
                "--adapter and --connection are for a topic that is to be created: add --create",
            ));
        }
        let mut lines = Lines::of(self.file.as_deref()).await?;
        let access = if self.create {
            Access::Create
        } else {
            Access::Write
        };
        let store = session.open(&self.common, access).await?;
        match store.get_topic(&self.topic).await {
            Err(Error::TopicNotFound { .. }) if self.create => {
                let config = self.place.topic(&self.topic, &self.common)?;
                store.create_topic(config).await?;
            }
            found => drop(found?),
        }
        let file = self.file.as_ref();
        let length = file.and_then(|file| Some(std::fs::metadata(file).ok()?.len()));
        let bar = progress::bytes(&self.common, "importing", length);
        let done = import(session, &store, &self.topic, &mut lines, &bar).await?;
        bar.finish_and_clear();
        let Imported {
            imported,
            known,
            head,
        } = done;
        let json = json!({
            "topic": self.topic, "imported": imported, "known": known, "head": head,
        });
        answer(&self.common, &json, || {
            let before = if known > 0 {
                format!(", {} known before", many(known, "event"))
            } else {
                String::new()
            };
            format!("{} imported{before}", many(imported, "event"))
        })
    }
}

/// Imports all lines into a topic. Where it fails, the failure tells what is recorded.
pub(crate) async fn import(
    session: &Session,
    store: &EventStore,
    topic: &str,
    lines: &mut Lines,
    bar: &ProgressBar,
) -> Result<Imported, Failure> {
    // What was sent is waited for, so that it can be told what is recorded.
    let _uncut = session.uncut().await;
    let mut done = Imported {
        head: store.get_latest_version(topic).await?.get(),
        ..Imported::default()
    };
    let imported = import_batches(session, store, topic, lines, bar, &mut done).await;
    imported.map_err(|failure| {
        failure
            .then(&format!(
                "the topic has {} now, and nothing of what came after; repeat the import to go on",
                many(done.head, "event")
            ))
            .with("imported", done.imported)
            .with("head", done.head)
    })?;
    Ok(done)
}

async fn import_batches(
    session: &Session,
    store: &EventStore,
    topic: &str,
    lines: &mut Lines,
    bar: &ProgressBar,
    done: &mut Imported,
) -> Result<(), Failure> {
    let mut batch = Vec::new();
    let (mut bytes, mut first) = (0, 0);
    loop {
        let more = tokio::select! {
            biased;
            () = session.interrupted() => return Err(Failure::interrupted()),
            more = lines.advance() => more?,
        };
        let length = lines.line().len();
        let full = batch.len() >= BATCH.0 || bytes + length > BATCH.1;
        if !batch.is_empty() && (full || !more) {
            let events = std::mem::take(&mut batch);
            let last = lines.number() - u64::from(more);
            let receipt = store.import_events(topic, events).await.map_err(|error| {
                let context = format!("{}, lines {first} to {last}", lines.name());
                Failure::from(error).context(&context).with("line", first)
            })?;
            done.imported += receipt.imported;
            done.known += receipt.known;
            done.head = receipt.head.get();
            bytes = 0;
            bar.set_position(lines.bytes());
        }
        if !more {
            return Ok(());
        }
        if batch.is_empty() {
            first = lines.number();
        }
        bytes += length;
        batch.push(event(lines.line()).map_err(|reason| lines.wrong(&reason))?);
    }
}

fn event(line: &[u8]) -> Result<RecordedEvent, String> {
    let document: RecordedEventDocument<'_> =
        serde_json::from_slice(line).map_err(|error| error.to_string())?;
    document.into_event().map_err(|error| match error {
        Error::InvalidEvent { reason, .. } => reason,
        error => Failure::from(error).message().to_owned(),
    })
}
