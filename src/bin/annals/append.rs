//! `annals append`.

use annals::{Append, EventStore, ExpectedVersion, NewEvent, Version, json::NewEventDocument};
use serde_json::json;

use super::{
    common::{Access, Common},
    failure::Failure,
    lines::Lines,
    session::{Session, answer},
    show::many,
};

/// Append events, one a line, from standard input.
///
/// A line is a JSON object: `type`, and where you like `id`, `stream`, `tags`, `contentType`, `data` or
/// `dataBase64`, `metadata` or `metadataBase64`. Each line is an append of its own, recorded and safe
/// before the next one is read; with `--batch`, so many lines are one append: all of them or none.
///
/// A line that is wrong ends it, and nothing of its batch is recorded; what came before stays. Repeat it
/// with the same `--idempotency-key`, or with lines that have ids, and what is recorded already is not
/// recorded again.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The topic.
    topic: String,
    /// The stream of events whose line names none.
    #[arg(
        long,
        value_name = "STREAM",
        default_value = "",
        hide_default_value = true
    )]
    stream: String,
    /// The version at which that stream has to be: `any`, `no-stream`, `exists` or a number. Where there
    /// are several batches, each expects what the one before it has left.
    #[arg(long, value_name = "VERSION", default_value = "any", value_parser = expected)]
    expected: ExpectedVersion,
    /// Makes the ids of the events, so that the same input with the same key is recorded once.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// How many lines are one append.
    #[arg(long, value_name = "LINES", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
    #[command(flatten)]
    common: Common,
}

const EXAMPLES: &str = "\
Examples:
  echo '{\"type\":\"OrderPlaced\",\"data\":{\"total\":42}}' | annals append orders --stream order-1 --expected no-stream
  annals append orders --batch 1000 --idempotency-key load-2026-11 < events.ndjson";

fn expected(text: &str) -> Result<ExpectedVersion, String> {
    Ok(match text {
        "any" => ExpectedVersion::Any,
        "no-stream" => ExpectedVersion::NoStream,
        "exists" => ExpectedVersion::StreamExists,
        number => {
            let number = number
                .parse()
                .map_err(|_| "`any`, `no-stream`, `exists` or a number is expected".to_owned())?;
            ExpectedVersion::exact(number)
        }
    })
}

/// What was recorded so far.
#[derive(Clone, Copy, Debug, Default)]
struct Recorded {
    events: u64,
    duplicates: u64,
    first: Option<u64>,
    last: Option<u64>,
    version: Option<u64>,
}

/// Lines that become one append.
#[derive(Debug, Default)]
struct Batch {
    events: Vec<NewEvent>,
    /// The line of its first event, and that of its last.
    lines: (u64, u64),
    bytes: usize,
}

/// More than this is refused as an append, so no more of it has to be read.
const BATCH_BYTES: usize = 64 << 20;

impl Arguments {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        if self.idempotency_key.as_deref().is_some_and(str::is_empty) {
            return Err(Failure::usage("the idempotency key is empty"));
        }
        let store = session.open(&self.common, Access::Write).await?;
        // Where there is no such topic, nobody is to type events before hearing of it.
        store.get_topic(&self.topic).await?;
        let mut recorded = Recorded::default();
        let appended = self.append(session, &store, &mut recorded).await;
        appended.map_err(|failure| recorded.explain(failure))?;
        let Recorded {
            events,
            duplicates,
            first,
            last,
            version,
        } = recorded;
        let json = json!({
            "topic": self.topic, "events": events, "duplicates": duplicates,
            "first": first, "last": last, "version": version,
        });
        answer(&self.common, &json, || recorded.text())
    }

    async fn append(
        &self,
        session: &Session,
        store: &EventStore,
        recorded: &mut Recorded,
    ) -> Result<(), Failure> {
        // What was sent is waited for, so that it can be told what is recorded.
        let _uncut = session.uncut().await;
        let mut lines = Lines::of_input();
        let mut batch = Batch::default();
        let mut expected = self.expected;
        let mut index = 0;
        loop {
            let more = tokio::select! {
                biased;
                () = session.interrupted() => return Err(Failure::interrupted()),
                more = lines.advance() => more?,
            };
            if !more {
                break;
            }
            let event = self
                .event(lines.line(), &mut index)
                .map_err(|reason| lines.wrong(&reason))?;
            batch.add(event, &lines);
            if batch.events.len() >= self.batch as usize || batch.bytes > BATCH_BYTES {
                let full = std::mem::take(&mut batch);
                self.send(store, full, &mut expected, recorded).await?;
            }
        }
        if batch.events.is_empty() {
            return Ok(());
        }
        self.send(store, batch, &mut expected, recorded).await
    }

    /// The event of a line.
    fn event(&self, line: &[u8], index: &mut u64) -> Result<NewEvent, String> {
        let document: NewEventDocument<'_> =
            serde_json::from_slice(line).map_err(|error| error.to_string())?;
        if self.idempotency_key.is_some() && document.id.is_some() {
            return Err(
                "it has an id, and --idempotency-key makes ids; give one or the other".to_owned(),
            );
        }
        let event = document.into_event(0).map_err(|error| match error {
            annals::Error::InvalidEvent { reason, .. } => reason,
            other => other.to_string(),
        })?;
        let event = match &self.idempotency_key {
            Some(key) => event.id(Append::keyed_id(key, *index)),
            None => event,
        };
        *index += 1;
        Ok(event)
    }

    async fn send(
        &self,
        store: &EventStore,
        batch: Batch,
        expected: &mut ExpectedVersion,
        recorded: &mut Recorded,
    ) -> Result<(), Failure> {
        let Batch { events, lines, .. } = batch;
        let count = events.len() as u64;
        let append = Append::new(events)
            .stream(self.stream.clone())
            .expected(*expected);
        let receipt = store
            .append_events(&self.topic, append)
            .await
            .map_err(|error| at_lines(error, lines))?;
        if receipt.duplicate {
            recorded.duplicates += count;
        } else {
            recorded.events += count;
        }
        let (first, last) = (receipt.first.get(), receipt.last.get());
        recorded.first = Some(recorded.first.map_or(first, |before| before.min(first)));
        recorded.last = Some(recorded.last.map_or(last, |before| before.max(last)));
        recorded.version = Some(receipt.version.get());
        *expected = following(*expected, receipt.version);
        Ok(())
    }
}

impl Batch {
    fn add(&mut self, event: NewEvent, lines: &Lines) {
        if self.events.is_empty() {
            self.lines.0 = lines.number();
        }
        self.lines.1 = lines.number();
        self.bytes += lines.line().len();
        self.events.push(event);
    }
}

/// What the next batch expects.
const fn following(expected: ExpectedVersion, version: Version) -> ExpectedVersion {
    match expected {
        ExpectedVersion::NoStream | ExpectedVersion::Exact(_) => {
            ExpectedVersion::exact(version.get())
        }
        other => other,
    }
}

/// An append that was refused, by the lines that it was made of.
fn at_lines(error: annals::Error, (first, last): (u64, u64)) -> Failure {
    let context = if first < last {
        format!("standard input, lines {first} to {last}")
    } else {
        format!("standard input, line {first}")
    };
    Failure::from(error).context(&context).with("line", first)
}

impl Recorded {
    fn text(&self) -> String {
        let Some(last) = self.last else {
            return "nothing to append".to_owned();
        };
        let mut text = format!(
            "{} recorded, the last at position {last}",
            many(self.events, "event")
        );
        if self.duplicates > 0 {
            text.push_str(&format!(
                ", {} recorded before",
                many(self.duplicates, "event")
            ));
        }
        text
    }

    /// Says what stays of it where it failed.
    fn explain(self, failure: Failure) -> Failure {
        let done = self.events + self.duplicates;
        let then = match self.last {
            Some(last) => format!(
                "recorded before: {}, the last at position {last}",
                many(done, "event")
            ),
            None => "nothing was recorded".to_owned(),
        };
        failure
            .then(&then)
            .with("recorded", done)
            .with("last", self.last)
    }
}
