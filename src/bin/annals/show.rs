//! How topics and events are shown.

use annals::{EventStore, Placement, RecordedEvent, TopicInfo, TopicStatus, json::write_event};
use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use serde_json::{Value, json};

use super::{failure::Failure, session::Output};

/// How events are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// One JSON object a line.
    #[default]
    Ndjson,
    /// Columns, cut off where they are too long.
    Table,
}

/// Prints events as they come, in either form.
pub(crate) struct Printer {
    pub(crate) out: Output,
    format: Format,
    line: Vec<u8>,
}

impl Printer {
    pub(crate) fn new(format: Format) -> Result<Self, Failure> {
        let mut out = Output::new();
        if format == Format::Table {
            let heads = [
                "position",
                "recorded at",
                "stream",
                "version",
                "type",
                "data",
            ];
            out.line(row(heads).as_bytes())?;
        }
        Ok(Self {
            out,
            format,
            line: Vec::new(),
        })
    }

    pub(crate) fn event(&mut self, event: &RecordedEvent) -> Result<(), Failure> {
        self.line.clear();
        match self.format {
            Format::Ndjson => write_event(&mut self.line, event),
            Format::Table => self.line.extend_from_slice(event_row(event).as_bytes()),
        }
        self.out.line(&self.line)
    }
}

fn event_row(event: &RecordedEvent) -> String {
    let bytes = || {
        let kind = event.content_type.as_str();
        format!("({} bytes of {kind})", event.payload.len())
    };
    let binary = bytes();
    let data = std::str::from_utf8(&event.payload).unwrap_or(&binary);
    row([
        &event.position.to_string(),
        &event.recorded_at.to_string(),
        event.stream.as_str(),
        &event.version.to_string(),
        event.event_type.as_str(),
        data,
    ])
}

/// A line of the table of events. Its columns are as wide whatever is in them, so that any number of
/// events can be printed as they come.
fn row(cells: [&str; 6]) -> String {
    let [position, time, stream, version, kind, data] = cells;
    let line = format!(
        "{position:>10}  {:<27}  {:<28}  {version:>7}  {:<28}  {}",
        cut(time, 27),
        cut(stream, 28),
        cut(kind, 28),
        cut(data, 80)
    );
    line.trim_end().to_owned()
}

/// The text, in one line and not longer than this. What moves a terminal's cursor is not let through.
fn cut(text: &str, most: usize) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let mut shown: String = text.chars().take(most).map(plain).collect();
    if text.chars().nth(most).is_some() {
        shown.pop();
        shown.push('…');
    }
    shown
}

/// A number as people read it: `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// One of these, or several.
pub(crate) fn many(number: u64, what: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {what}{s}", count(number))
}

/// A table of few rows.
pub(crate) fn table<const N: usize>(heads: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY).set_header(heads);
    table
}

/// A topic with its last position, where that can be told.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) info: TopicInfo,
    pub(crate) head: Result<Option<u64>, Failure>,
}

impl Topic {
    /// Asks the repository for the head. A repository that is away leaves the others to be shown.
    pub(crate) async fn of(store: &EventStore, info: TopicInfo) -> Self {
        let head = match info.status {
            TopicStatus::Active => match store.get_latest_version(info.name.as_str()).await {
                Ok(head) => Ok(Some(head.get())),
                Err(error) => Err(error.into()),
            },
            _ => Ok(None),
        };
        Self { info, head }
    }

    pub(crate) fn status(&self) -> &'static str {
        match (self.info.status, &self.info.moving) {
            (TopicStatus::Active, None) => "active",
            (TopicStatus::Active, Some(_)) => "moving",
            _ => "deleted",
        }
    }

    pub(crate) fn head(&self) -> String {
        match &self.head {
            Ok(Some(head)) => count(*head),
            Ok(None) => "-".to_owned(),
            Err(_) => "?".to_owned(),
        }
    }

    /// The object that the HTTP API gives for it, too.
    pub(crate) fn json(&self) -> Value {
        let info = &self.info;
        let active = info.status == TopicStatus::Active;
        let moving = info.moving.as_ref().map(|moving| {
            json!({
                "target": place(&moving.target),
                "copied": moving.copied.get(),
                "sealed": moving.sealed,
            })
        });
        let mut topic = json!({
            "name": info.name.as_str(),
            "status": if active { "active" } else { "deleted" },
            "adapter": info.placement.adapter,
            "connection": info.placement.connection,
            "options": info.placement.options,
            "storage": info.placement.storage,
            "createdAt": info.created_at.to_string(),
            "head": self.head.as_ref().ok().copied().flatten(),
            "moving": moving,
            "former": info.former.iter().map(place).collect::<Vec<_>>(),
        });
        if let (Err(failure), Some(topic)) = (&self.head, topic.as_object_mut()) {
            topic.insert("problem".to_owned(), failure.message().into());
        }
        topic
    }
}

/// `adapter:connection`.
pub(crate) fn repository(placement: &Placement) -> String {
    if placement.connection.is_empty() {
        return placement.adapter.clone();
    }
    format!("{}:{}", placement.adapter, placement.connection)
}

/// A storage, as JSON.
pub(crate) fn place(placement: &Placement) -> Value {
    json!({
        "adapter": placement.adapter,
        "connection": placement.connection,
        "storage": placement.storage,
    })
}
