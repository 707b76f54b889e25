//! How the store and its repositories are.

use std::time::Duration;

/// How well something works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum HealthStatus {
    /// All works.
    Up,
    /// Some of it works.
    Degraded,
    /// None of it works.
    Down,
}

/// How the store is: the worst that matters, and each repository.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HealthReport {
    /// [`HealthStatus::Down`] where the configuration stream is down, [`HealthStatus::Degraded`]
    /// where any repository is not up.
    pub status: HealthStatus,
    /// Every open repository, that of the configuration stream first.
    pub repositories: Vec<RepositoryHealth>,
}

impl HealthReport {
    /// A report of these repositories, the first being that of the configuration stream.
    #[must_use]
    pub fn new(repositories: Vec<RepositoryHealth>) -> Self {
        let configuration = repositories.first().map(|one| one.status);
        let worst = repositories.iter().map(|one| one.status).max();
        let status = match (configuration, worst) {
            (Some(HealthStatus::Down) | None, _) | (_, None) => HealthStatus::Down,
            (_, Some(HealthStatus::Up)) => HealthStatus::Up,
            _ => HealthStatus::Degraded,
        };
        Self {
            status,
            repositories,
        }
    }
}

/// How one repository is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RepositoryHealth {
    /// The repository, as `adapter:connection`, with secrets masked.
    pub repository: String,
    /// How well it works.
    pub status: HealthStatus,
    /// How long it took to find out.
    pub latency: Duration,
    /// How many topics it holds, where it could tell.
    pub topics: Option<u64>,
    /// What went wrong last, and is still wrong.
    pub last_error: Option<String>,
    /// What it did on its own that an operator should know: a torn tail cut off, an index rebuilt.
    pub notes: Vec<String>,
}

impl RepositoryHealth {
    /// The health of `repository`, which is `status`.
    #[must_use]
    pub fn new(repository: impl Into<String>, status: HealthStatus) -> Self {
        Self {
            repository: repository.into(),
            status,
            latency: Duration::ZERO,
            topics: None,
            last_error: None,
            notes: Vec::new(),
        }
    }

    /// The same, found out in `latency`.
    #[must_use]
    pub const fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// The same, with this many topics.
    #[must_use]
    pub const fn topics(mut self, topics: u64) -> Self {
        self.topics = Some(topics);
        self
    }

    /// The same, with what is wrong.
    #[must_use]
    pub fn last_error(mut self, error: impl Into<String>) -> Self {
        self.last_error = Some(error.into());
        self
    }

    /// The same, with what it did on its own.
    #[must_use]
    pub fn notes(mut self, notes: Vec<String>) -> Self {
        self.notes = notes;
        self
    }
}
