//! What an import has done.

use super::Position;

/// What an import has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportReceipt {
    /// The topic's last event.
    pub head: Position,
    /// How many events were recorded.
    pub imported: u64,
    /// How many were recorded before, as they are.
    pub known: u64,
}

impl ImportReceipt {
    pub(crate) const fn new(head: Position, imported: u64, known: u64) -> Self {
        Self {
            head,
            imported,
            known,
        }
    }
}
