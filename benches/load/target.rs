//! What the load is put on.

use async_trait::async_trait;

use super::draft::Draft;

/// Whatever goes wrong in a benchmark ends it.
pub(crate) type Result<T> = std::result::Result<T, BoxError>;

/// What goes wrong.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A store that takes the load: Annals, or one to compare it with.
#[async_trait]
pub(crate) trait Target: Send + Sync {
    /// What the lines of the report call it.
    fn name(&self) -> &'static str;
    /// Records the events of one append, as durably as the store was opened.
    async fn append(&self, topic: usize, events: Vec<Draft>) -> Result<()>;
    /// Reads all events, decoded, and tells how many there are.
    async fn scan(&self) -> Result<u64>;
    /// Reads one stream.
    async fn stream(&self, stream: &str) -> Result<u64>;
    /// Finishes, and tells how many bytes the files of the store have.
    async fn close(&self) -> Result<()>;
}
