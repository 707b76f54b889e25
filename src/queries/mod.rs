//! What only reads: one operation, one file.

pub(crate) mod get_events;
pub(crate) mod get_stream;
pub(crate) mod get_topic;
pub(crate) mod health;
pub(crate) mod latest_version;
pub(crate) mod list_topics;
pub(crate) mod read_events;
pub(crate) mod subscribe;
pub(crate) mod verify_topic;
