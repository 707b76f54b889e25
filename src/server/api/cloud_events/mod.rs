//! CloudEvents 1.0, in and out: structured, in batches, and in binary mode.
//!
//! A CloudEvent that is read is the CloudEvent that was written. Its `type` is the event's type, its
//! data the payload, and its media type that of the payload; the other attributes are in the event's
//! metadata, as they were: `{"cloudevents":{…}}`. The event's id is the `id` where that is a UUID, and
//! else a UUIDv5 of `source` and `id`, which together name a CloudEvent.
//!
//! Extensions that begin with `annals` are the store's: on the way in, `annalsstream` and `annalstags`
//! tell the stream and the tags; on the way out, also where the event is recorded.

mod attributes;
mod binary;
mod read;
mod write;

pub(super) use binary::{answer as binary_answer, is_binary, of_binary};
pub(super) use read::{of_batch, of_one};
pub(super) use write::write;
