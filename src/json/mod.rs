//! Events as JSON: the one form in which the HTTP API, the command line and exports show them.
//!
//! A recorded event is one object, and one line:
//!
//! ```json
//! {"topic":"orders","position":17,"stream":"order-42","version":3,
//!  "id":"01989f3e-7a54-7d2b-9d54-3a6c6a1b2c3d","type":"OrderPaid","recordedAt":"2026-11-21T14:20:00.123456Z",
//!  "tags":["customer:7"],"contentType":"application/json","data":{"by":"card"},"metadata":{"user":"eve"}}
//! ```
//!
//! (The breaks are for the reader: there is none in the line itself.)
//!
//! `data` is the payload, byte for byte, where its content type is JSON and its bytes are one JSON text
//! that can stand in a line; any other payload is in `dataBase64`, and an empty one in neither. The same
//! with `metadata` and `metadataBase64`. So nothing is lost on the way: an event that is read back from
//! its object has the same bytes.
//!
//! A new event has only `type`, and where it likes `id`, `stream`, `tags`, `contentType`
//! (`application/json` where it is missing), `data` or `dataBase64`, `metadata` or `metadataBase64`.

mod read;
mod write;

pub use read::{NewEventDocument, RecordedEventDocument, Tagged};
pub use write::{event_line, is_one_line, write_event};
