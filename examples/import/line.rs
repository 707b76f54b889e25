//! One line of the file.

use annals::NewEvent;
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use uuid::Uuid;

/// A line as it is written.
#[derive(Deserialize)]
struct Line<'a> {
    stream: String,
    #[serde(rename = "type")]
    event_type: String,
    id: Uuid,
    time: String,
    #[serde(default)]
    tags: Vec<String>,
    /// Taken over as it is, byte for byte.
    #[serde(borrow)]
    data: &'a RawValue,
}

/// Turns a line into an event, or says why it is none.
pub(crate) fn parse(line: &str) -> Result<NewEvent, String> {
    let line: Line<'_> = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let time: annals::Timestamp = line
        .time
        .parse()
        .map_err(|_| format!("the time {:?} is not RFC 3339", line.time))?;
    let _checked = time;
    NewEvent::json_text(line.event_type, line.data.get().to_owned())
        .id(line.id)
        .stream(line.stream)
        .tags(line.tags)
        .metadata(&json!({ "occurred_at": line.time }))
        .map_err(|error| error.to_string())
}
