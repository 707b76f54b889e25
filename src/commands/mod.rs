//! What changes something: one operation, one file. Each validates, decides on the write model or
//! leaves the decision to the repository, and acts.

pub(crate) mod append_events;
pub(crate) mod cancel_move;
pub(crate) mod create_topic;
pub(crate) mod delete_stream;
pub(crate) mod delete_topic;
pub(crate) mod import_events;
pub(crate) mod purge_topic;
pub(crate) mod remove_former;
pub(crate) mod restore_stream;
pub(crate) mod restore_topic;
pub(crate) mod sweep;
pub(crate) mod update_topic;
