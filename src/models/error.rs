//! What can go wrong, and whether trying again helps.

use super::{Position, StreamId, TopicName, Version};

/// An error of a package that we use, kept as the source of ours.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// The result of an operation of the store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong: what was asked, what was found and what to do.
///
/// No message contains a secret. The cause, where there is one, is in
/// [`source`](std::error::Error::source), not in the text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store was closed.
    #[error("the store is closed; open it again to go on")]
    Closed,

    /// The store was opened read-only.
    #[error("the store was opened read-only and cannot {operation}; open it without `read_only`")]
    ReadOnly {
        /// What was asked.
        operation: &'static str,
    },

    /// A topic's name breaks the rule.
    #[error(
        "invalid topic name {name:?}: a name begins with a letter or digit, goes on with letters, digits, `.`, `_` or `-`, and has at most 128 bytes"
    )]
    InvalidTopicName {
        /// The name, cut off after 128 characters.
        name: String,
    },

    /// A stream's id breaks the rule.
    #[error("invalid stream id: {reason}")]
    InvalidStreamId {
        /// The rule that it breaks.
        reason: String,
    },

    /// An event breaks a rule; nothing of its append was written.
    #[error("invalid event {index} of the append (counted from 0): {reason}")]
    InvalidEvent {
        /// Which event of the append, counted from 0.
        index: usize,
        /// The rule that it breaks.
        reason: String,
    },

    /// An append breaks a rule as a whole; nothing was written.
    #[error("invalid append: {reason}")]
    InvalidAppend {
        /// The rule that it breaks.
        reason: String,
    },

    /// A setting is wrong.
    #[error("invalid configuration, {key}: {reason}")]
    InvalidConfig {
        /// The setting.
        key: String,
        /// What is wrong with it, and what is allowed.
        reason: String,
    },

    /// Something is larger than its limit; nothing was written.
    #[error("{what} too large: {actual}, and the limit is {limit}{}", hint(.what))]
    TooLarge {
        /// What was measured, with its unit.
        what: &'static str,
        /// The limit.
        limit: u64,
        /// What was found.
        actual: u64,
    },

    /// There is no such topic, or it is deleted.
    #[error("there is no topic {topic:?} (a deleted one can be brought back with `restore_topic`)")]
    TopicNotFound {
        /// The name that was asked for.
        topic: String,
    },

    /// There is a topic of this name already.
    #[error("there is a topic {topic:?} already")]
    TopicAlreadyExists {
        /// The name.
        topic: TopicName,
    },

    /// A topic has to be deleted before it can be purged.
    #[error("the topic {topic:?} is in use; delete it before it is purged")]
    TopicNotDeleted {
        /// The name.
        topic: TopicName,
    },

    /// The topic's placement takes no more appends: it is moving elsewhere.
    #[error("the topic {topic:?} is sealed where it was placed; it is moving, try again")]
    TopicSealed {
        /// The topic.
        topic: TopicName,
    },

    /// The topic is being moved, and cannot be deleted, updated or moved elsewhere meanwhile.
    #[error(
        "the topic {topic:?} is being moved; wait until that has ended, or end it with `cancel_move`"
    )]
    TopicMoving {
        /// The topic.
        topic: TopicName,
    },

    /// The topic is not being moved.
    #[error("the topic {topic:?} is not being moved")]
    NotMoving {
        /// The topic.
        topic: TopicName,
    },

    /// The topic was not moved: it is where it was, and takes appends there.
    #[error("the topic {topic:?} was not moved and stays where it was: {reason}")]
    MoveFailed {
        /// The topic.
        topic: TopicName,
        /// What went wrong.
        reason: String,
        /// The cause.
        #[source]
        source: Option<BoxError>,
    },

    /// There is no such stream.
    #[error("the topic {topic:?} has no stream {stream:?}")]
    StreamNotFound {
        /// The topic.
        topic: TopicName,
        /// The stream.
        stream: StreamId,
    },

    /// The stream was deleted.
    #[error(
        "the stream {stream:?} is deleted; bring it back with `restore_stream`, or read its history with `Read::include_deleted`"
    )]
    StreamDeleted {
        /// The stream.
        stream: StreamId,
    },

    /// A position is beyond the topic's last event: it comes from another topic, or from events that
    /// are not recorded any more.
    #[error(
        "the position {position} is beyond the last event of topic {topic:?}, {head}; it comes from another topic, or its events were lost: begin anew"
    )]
    PositionAhead {
        /// The topic.
        topic: TopicName,
        /// The position that was given.
        position: Position,
        /// That of the topic's last event.
        head: Position,
    },

    /// A token of a client is of another store, or of a topic that is gone.
    #[error("the token is not valid here: {reason}; begin anew with `SyncToken::START`")]
    TokenExpired {
        /// What was found.
        reason: String,
    },

    /// The stream is not at the version that the append expected; nothing was written.
    #[error("the stream {stream:?} was expected {expected} and is at version {actual}")]
    WrongExpectedVersion {
        /// The stream.
        stream: StreamId,
        /// What the append expected.
        expected: super::ExpectedVersion,
        /// The version at which the stream is.
        actual: Version,
    },

    /// An event that the append ruled out was recorded; nothing was written.
    #[error("an event that the append's condition rules out is recorded at position {position}")]
    ConditionFailed {
        /// The first such event.
        position: Position,
    },

    /// Event ids of the append are recorded already, but not by the same append; nothing was
    /// written.
    #[error("event ids of this append are recorded already, but {reason}; nothing was written")]
    IdempotencyConflict {
        /// How the append differs from what is recorded.
        reason: String,
        /// Where the first of the ids is recorded.
        position: Position,
    },

    /// Another instance of the consumer has its lease; nothing was written.
    #[error("the consumer {consumer:?} has lost its lease; another instance of it goes on")]
    LeaseLost {
        /// The consumer's key.
        consumer: String,
    },

    /// A checkpoint was replaced by somebody else, or would go back; nothing was written.
    #[error(
        "the checkpoint of {consumer:?} is not the one that was read, or would go back; load it and decide again"
    )]
    CheckpointConflict {
        /// The consumer's key.
        consumer: String,
    },

    /// Another process writes to the repository.
    #[error(
        "the repository {repository} is in use by another process; close it there, or open this store read-only"
    )]
    RepositoryLocked {
        /// The repository, with secrets masked.
        repository: String,
    },

    /// The repository cannot be reached, or refuses to work. Nothing was written.
    #[error("the repository {repository} is unavailable: {reason}")]
    RepositoryUnavailable {
        /// The repository, with secrets masked.
        repository: String,
        /// What it could not do.
        reason: String,
        /// The cause.
        #[source]
        source: Option<BoxError>,
    },

    /// Whether the append was recorded cannot be known. Appending the same events again is safe:
    /// they are recorded once.
    #[error(
        "the outcome is unknown: {reason}; repeat the same append to find out, it is recorded once"
    )]
    OutcomeUnknown {
        /// What happened.
        reason: String,
        /// The cause.
        #[source]
        source: Option<BoxError>,
    },

    /// What is stored is not what was written.
    #[error("corruption at {place}: {reason}")]
    Corruption {
        /// The file and offset, the table or the object.
        place: String,
        /// What was found, and what was expected.
        reason: String,
    },

    /// The configuration stream holds an event that this version does not know.
    #[error(
        "the configuration stream has an event of the unknown type {event_type:?} at position {position}; it was written by a newer version, use that one"
    )]
    UnknownConfigurationEvent {
        /// The type.
        event_type: String,
        /// Where it is.
        position: Position,
    },

    /// An event has a type that its reader does not know.
    #[error(
        "the event at position {position} of topic {topic:?} has the type {event_type:?}, which the schema does not know; add it there, or let it skip unknown types"
    )]
    UnknownEventType {
        /// The type.
        event_type: String,
        /// The topic.
        topic: TopicName,
        /// Where it is.
        position: Position,
    },

    /// A projection has stopped, and what is waited for does not come.
    #[error(
        "the projection {projection:?} has stopped; its status tells why, start it again to go on"
    )]
    ProjectionStopped {
        /// The projection's name.
        projection: String,
        /// The cause; none where it was asked to.
        #[source]
        source: Option<BoxError>,
    },

    /// Something could not be turned into bytes, or back.
    #[error("cannot convert {what}")]
    Serialization {
        /// What.
        what: String,
        /// The cause.
        #[source]
        source: BoxError,
    },
}

fn hint(what: &str) -> &'static str {
    if what.starts_with("result") {
        "; read it with `read_events`, or set a limit"
    } else {
        ""
    }
}

impl Error {
    /// Whether the same call may succeed later, without anything being changed by the caller.
    ///
    /// Conflicts are not retryable in this sense: decide again on what is recorded now.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::RepositoryUnavailable { .. }
                | Self::RepositoryLocked { .. }
                | Self::OutcomeUnknown { .. }
                | Self::TopicSealed { .. }
                | Self::TopicMoving { .. }
        )
    }

    /// Whether somebody else was faster: the append was refused by its expected version or its
    /// condition. Read what is recorded now, decide again.
    #[must_use]
    pub const fn is_conflict(&self) -> bool {
        matches!(
            self,
            Self::WrongExpectedVersion { .. } | Self::ConditionFailed { .. }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_small_enough_to_be_returned_by_value() {
        assert!(size_of::<Error>() <= 96, "{}", size_of::<Error>());
    }

    #[test]
    fn messages_say_what_to_do() {
        let error = Error::TooLarge {
            what: "result in events",
            limit: 1,
            actual: 2,
        };
        assert_eq!(
            error.to_string(),
            "result in events too large: 2, and the limit is 1; read it with `read_events`, or set a limit"
        );
    }
}
