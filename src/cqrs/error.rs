//! Why a command was not carried out.

use crate::Error;

/// Why a command was not carried out. Nothing was recorded, unless the store says that the outcome is
/// unknown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError<E: std::error::Error + 'static> {
    /// The decision was no.
    #[error(transparent)]
    Rejected(E),
    /// Others wrote first, each time that it was decided.
    #[error("gave up after {attempts} decisions: each time somebody else wrote first; try again")]
    Contended {
        /// How often it was decided.
        attempts: u32,
        /// The last conflict.
        #[source]
        source: Error,
    },
    /// The store, or the schema.
    #[error(transparent)]
    Store(#[from] Error),
}

impl<E: std::error::Error> CommandError<E> {
    /// Whether the same command may succeed later, without anything being changed by the caller.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Rejected(_) => false,
            Self::Contended { .. } => true,
            Self::Store(error) => error.is_retryable(),
        }
    }

    /// The reason for which it was rejected, where it was.
    #[must_use]
    pub const fn rejection(&self) -> Option<&E> {
        match self {
            Self::Rejected(reason) => Some(reason),
            _ => None,
        }
    }
}
