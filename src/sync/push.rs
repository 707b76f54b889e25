//! Takes what a client has made offline.

use std::collections::HashMap;

use uuid::Uuid;

use crate::{
    Append, AppendReceipt, Error, EventStore, ExpectedVersion, PushEvent, PushOutcome, Read,
    RecordedEvent, Result, Version,
};

/// The most events that are shown with a conflict.
const SHOWN: u64 = 100;
/// How often an append whose outcome is unknown is repeated to find out.
const TRIES: usize = 5;

impl EventStore {
    /// Records events that a client has made offline, one after the other, in their order, and tells of
    /// each what came of it. Where one of a stream is not recorded, those that follow in the same
    /// stream are not either: they were made in the belief that it would be.
    ///
    /// Pushing the same again is safe: what is recorded is told to be a duplicate.
    ///
    /// # Errors
    /// Where the topic cannot be written to at all, such as
    /// [`RepositoryUnavailable`](Error::RepositoryUnavailable) and
    /// [`TopicNotFound`](Error::TopicNotFound): push the same again.
    pub async fn push(&self, topic: &str, events: Vec<PushEvent>) -> Result<Vec<PushOutcome>> {
        let mut outcomes = Vec::with_capacity(events.len());
        let mut refused: HashMap<String, Uuid> = HashMap::new();
        for pushed in events {
            let (id, stream) = (pushed.id(), pushed.stream.clone());
            let outcome = match refused.get(&stream) {
                Some(refused) => PushOutcome::Follows { refused: *refused },
                None => self.push_one(topic, pushed).await?,
            };
            if !outcome.is_recorded() {
                refused.entry(stream).or_insert(id);
            }
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    async fn push_one(&self, topic: &str, pushed: PushEvent) -> Result<PushOutcome> {
        let PushEvent {
            event,
            stream,
            expected,
            condition,
        } = pushed;
        // The stream is what the versions are of.
        let event = event.stream(stream.clone());
        let append = Append::new([event])
            .stream(stream.clone())
            .expected(expected);
        let append = match condition {
            Some((filter, after)) => append.unless(filter, after),
            None => append,
        };
        let mut tries = 0;
        let appended = loop {
            tries += 1;
            match self.append_events(topic, append.clone()).await {
                Err(Error::OutcomeUnknown { .. }) if tries < TRIES => {}
                appended => break appended,
            }
        };
        match appended {
            Ok(AppendReceipt {
                first,
                version,
                duplicate: false,
                ..
            }) => Ok(PushOutcome::Accepted {
                position: first,
                version,
            }),
            Ok(AppendReceipt { first, version, .. }) => Ok(PushOutcome::Duplicate {
                position: first,
                version,
            }),
            Err(Error::WrongExpectedVersion { actual, .. }) => Ok(PushOutcome::Conflict {
                version: actual,
                events: self.unexpected(topic, &stream, expected).await?,
            }),
            Err(
                error @ (Error::InvalidEvent { .. }
                | Error::InvalidAppend { .. }
                | Error::InvalidStreamId { .. }
                | Error::TooLarge { .. }
                | Error::StreamDeleted { .. }
                | Error::ConditionFailed { .. }
                | Error::IdempotencyConflict { .. }),
            ) => Ok(PushOutcome::Refused(error)),
            Err(error) => Err(error),
        }
    }

    /// What is in a stream that a client did not know of.
    async fn unexpected(
        &self,
        topic: &str,
        stream: &str,
        expected: ExpectedVersion,
    ) -> Result<Vec<RecordedEvent>> {
        let known = match expected {
            ExpectedVersion::Exact(version) => version,
            ExpectedVersion::NoStream => Version::NONE,
            // It did not say what it knew.
            ExpectedVersion::Any | ExpectedVersion::StreamExists => return Ok(Vec::new()),
        };
        let read = Read::stream(stream)
            .after_version(known)
            .include_deleted()
            .limit(SHOWN);
        self.get_events(topic, read).await
    }
}
