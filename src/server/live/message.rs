//! Messages of server-sent events, as the WHATWG's HTML standard has them.

use std::io::Write as _;

use bytes::Bytes;

use crate::{Position, RecordedEvent, json::write_event};

/// How long a client is asked to wait before it comes back, in milliseconds.
const RETRY: u64 = 1000;

/// The first message: what makes a client, and proxies before it, see that the answer has begun.
pub(super) fn hello() -> Bytes {
    Bytes::from(format!(": annals\nretry: {RETRY}\n\n"))
}

/// Appends an event. Its object has no line break, so its data is one line.
pub(super) fn write(out: &mut Vec<u8>, event: &RecordedEvent) {
    // Writing to memory has no way to fail.
    write!(out, "id: {}\ndata: ", event.position).unwrap_or(());
    write_event(out, event);
    out.extend_from_slice(b"\n\n");
}

/// A comment, which keeps the connection open, with a position to come back to: a message without
/// data is given to nobody, but its id is kept.
pub(super) fn heartbeat(position: Position) -> Bytes {
    Bytes::from(format!(": heartbeat\nid: {position}\n\n"))
}

/// All that is recorded was sent.
pub(super) fn caught_up(position: Position) -> Bytes {
    state("caught-up", position)
}

/// More is recorded than was sent, or nobody knows.
pub(super) fn behind(position: Position) -> Bytes {
    state("behind", position)
}

fn state(name: &str, position: Position) -> Bytes {
    Bytes::from(format!(
        "event: {name}\nid: {position}\ndata: {{\"position\":{position}}}\n\n"
    ))
}

/// The last message: why the answer ends.
pub(super) fn ended(position: Position, reason: &str, detail: &str) -> Bytes {
    let data =
        serde_json::json!({ "reason": reason, "detail": detail, "position": position.get() });
    Bytes::from(format!("event: ended\nid: {position}\ndata: {data}\n\n"))
}
