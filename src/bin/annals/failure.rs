//! How a command fails: a message for people, one for programs, and an exit code for scripts.

use std::{
    error::Error as _,
    io::{self, Write as _},
    process::ExitCode,
};

use annals::Error;
use serde_json::{Map, Value, json};

/// What kind of failure it is. The numbers are the exit codes that `docs/cli.md` promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Other = 1,
    Usage = 2,
    NotFound = 3,
    Conflict = 4,
    Unavailable = 5,
    Corruption = 6,
    Interrupted = 130,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Other => "failed",
            Self::Usage => "usage",
            Self::NotFound => "notFound",
            Self::Conflict => "conflict",
            Self::Unavailable => "unavailable",
            Self::Corruption => "corruption",
            Self::Interrupted => "interrupted",
        }
    }

    fn of(error: &Error) -> Self {
        match error {
            // What a store that is opened to be read says where none was made yet.
            Error::InvalidConfig { key, .. } if key == "configuration stream" => Self::NotFound,
            Error::InvalidTopicName { .. }
            | Error::InvalidStreamId { .. }
            | Error::InvalidEvent { .. }
            | Error::InvalidAppend { .. }
            | Error::InvalidConfig { .. }
            | Error::PositionAhead { .. }
            | Error::Serialization { .. }
            | Error::TooLarge { .. } => Self::Usage,
            Error::TopicNotFound { .. }
            | Error::StreamNotFound { .. }
            | Error::StreamDeleted { .. }
            | Error::NotMoving { .. } => Self::NotFound,
            Error::TopicAlreadyExists { .. }
            | Error::TopicNotDeleted { .. }
            | Error::WrongExpectedVersion { .. }
            | Error::ConditionFailed { .. }
            | Error::IdempotencyConflict { .. } => Self::Conflict,
            Error::Corruption { .. } => Self::Corruption,
            error if error.is_retryable() => Self::Unavailable,
            _ => Self::Other,
        }
    }
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: Kind,
    message: String,
    details: Map<String, Value>,
    /// Nobody reads the output any more: there is nothing to say, and nobody to say it to.
    quiet: bool,
}

impl Failure {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            details: Map::new(),
            quiet: false,
        }
    }

    pub(crate) fn other(message: impl Into<String>) -> Self {
        Self::new(Kind::Other, message)
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    pub(crate) fn interrupted() -> Self {
        Self::new(Kind::Interrupted, "interrupted")
    }

    /// A file, or a standard stream, that could not be read or written.
    pub(crate) fn io(what: &str, error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => Kind::NotFound,
            _ => Kind::Other,
        };
        Self::new(kind, format!("{what}: {error}"))
    }

    /// The output could not be written. Where its reader is gone (`annals read | head`), that is no
    /// failure.
    pub(crate) fn output(error: &io::Error) -> Self {
        Self {
            quiet: error.kind() == io::ErrorKind::BrokenPipe,
            ..Self::io("the output cannot be written", error)
        }
    }

    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The same where the input is a backup: what is wrong with it is damage then.
    pub(crate) fn in_a_backup(mut self) -> Self {
        if self.kind == Kind::Usage {
            self.kind = Kind::Corruption;
        }
        self
    }

    /// The same, with more for programs.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// The same, with where it happened before the message.
    pub(crate) fn context(mut self, context: &str) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// The same, with what follows from it after the message.
    pub(crate) fn then(mut self, then: &str) -> Self {
        self.message = format!("{}; {then}", self.message);
        self
    }

    /// Says on standard error what went wrong.
    pub(crate) fn report(self) -> ExitCode {
        if self.quiet {
            return ExitCode::SUCCESS;
        }
        let text = if wants_json() {
            let mut object = Map::new();
            object.insert("error".to_owned(), json!(self.kind.name()));
            object.insert("message".to_owned(), json!(self.message));
            object.insert("exitCode".to_owned(), json!(self.kind as u8));
            object.extend(self.details);
            Value::Object(object).to_string()
        } else {
            format!("annals: {}", self.message)
        };
        // Where standard error is closed, the exit code still tells.
        drop(writeln!(io::stderr(), "{text}"));
        ExitCode::from(self.kind as u8)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            message = format!("{message}: {error}");
            cause = error.source();
        }
        let failure = Self::new(Kind::of(&error), message);
        match error {
            Error::WrongExpectedVersion { stream, actual, .. } => failure
                .with("stream", stream.as_str())
                .with("actual", actual.get()),
            Error::ConditionFailed { position } | Error::IdempotencyConflict { position, .. } => {
                failure.with("position", position.get())
            }
            Error::TooLarge { limit, actual, .. } => {
                failure.with("limit", limit).with("actual", actual)
            }
            Error::Corruption { place, .. } => failure.with("place", place),
            Error::RepositoryLocked { .. } => failure.then(
                "commands that only read work beside it, what changes the store has to go through that process",
            ),
            _ => failure,
        }
    }
}

/// Whether errors are wanted as JSON. Asked of the arguments as they are, because those that clap
/// refuses have to be answered in JSON too.
fn wants_json() -> bool {
    std::env::args_os()
        .skip(1)
        .take_while(|argument| argument != "--")
        .any(|argument| argument == "--json")
}

/// What clap has to say: help, or what is wrong with the arguments.
pub(crate) fn of_arguments(error: &clap::Error) -> ExitCode {
    if error.use_stderr() && wants_json() {
        let text = error.to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
        return Failure::usage(text).report();
    }
    // A reader that is gone needs no help.
    drop(error.print());
    if error.use_stderr() {
        ExitCode::from(Kind::Usage as u8)
    } else {
        ExitCode::SUCCESS
    }
}
