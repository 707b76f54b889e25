//! Work that a second process does at a site, and how it is handed over.

use std::{path::PathBuf, process::Command, sync::Arc};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{draft::Draft, scene};
use crate::{
    models::{Placement, Position, Result, SystemClock},
    repository::{OpenRequest, ReadPlan, RepositoryFactory},
};

/// The variable in which a worker finds its job.
const JOB: &str = "ANNALS_TESTING_JOB";
/// Begins the line in which a worker answers.
const ANSWER: &str = "annals-testing-answer ";

/// What a second process is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Task {
    /// Open the repository to write, and append this many events, one at a time.
    Append(u64),
    /// Open the repository to read, and read every event.
    Read,
    /// Open the repository to read, and try to append.
    AppendReadOnly,
}

/// What came of a [`Task`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The events that were appended or read, in order.
    pub events: Vec<(Position, Uuid)>,
    /// The variant of the error that stopped the task, and its message.
    pub error: Option<String>,
}

/// A task with all that a worker needs for it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    connection: String,
    placement: Placement,
    task: Task,
}

impl Job {
    pub(super) fn new(connection: &str, placement: Placement, task: Task) -> Self {
        Self {
            connection: connection.to_owned(),
            placement,
            task,
        }
    }

    /// The job of this process, where it was started as a worker.
    #[must_use]
    pub fn from_environment() -> Option<Self> {
        let text = std::env::var(JOB).ok()?;
        Some(serde_json::from_str(&text).expect("the job is whole"))
    }

    /// The adapter with which the job is to be done.
    #[must_use]
    pub fn adapter(&self) -> &str {
        &self.placement.adapter
    }

    /// Does the job, and prints the answer for the process that started this one.
    pub async fn run(self, factory: Arc<dyn RepositoryFactory>) {
        let mut answer = Answer::default();
        if let Err(error) = self.attempt(&*factory, &mut answer).await {
            answer.error = Some(format!("{error:?}"));
        }
        let answer = serde_json::to_string(&answer).expect("an answer is JSON");
        println!("{ANSWER}{answer}");
    }

    async fn attempt(&self, factory: &dyn RepositoryFactory, answer: &mut Answer) -> Result<()> {
        let connection = factory.normalise(&self.connection, &self.placement.options)?;
        let request = OpenRequest {
            name: format!("{}:{connection}", self.placement.adapter),
            connection,
            options: self.placement.options.clone(),
            read_only: !matches!(self.task, Task::Append(_)),
            clock: Arc::new(SystemClock),
        };
        let repository = factory.open(request).await?;
        let count = match self.task {
            Task::Append(count) => count,
            Task::AppendReadOnly => 1,
            Task::Read => 0,
        };
        for _ in 0..count {
            let batch = Draft::to("elsewhere").event("Elsewhere").build();
            let id = batch.events[0].id;
            let receipt = repository.append(&self.placement, batch).await?;
            answer.events.push((receipt.first, id));
        }
        if self.task == Task::Read {
            let plan = ReadPlan::all_after(Position::START);
            let pages = scene::collect(repository.read(&self.placement, plan)).await?;
            let events = pages.into_iter().flat_map(|page| page.events);
            answer.events = events.map(|event| (event.position, event.id)).collect();
        }
        repository.close().await
    }
}

/// Starts the worker, and waits for its answer.
pub(super) async fn run(worker: PathBuf, job: Job) -> Answer {
    let text = serde_json::to_string(&job).expect("a job is JSON");
    let output = tokio::task::spawn_blocking(move || {
        Command::new(&worker)
            .env(JOB, text)
            .output()
            .expect("the worker can be started")
    })
    .await
    .expect("the worker was waited for");
    let printed = String::from_utf8_lossy(&output.stdout);
    let Some(answer) = printed.lines().find_map(|line| line.strip_prefix(ANSWER)) else {
        let errors = String::from_utf8_lossy(&output.stderr);
        panic!("the worker gave no answer: {printed}{errors}");
    };
    serde_json::from_str(answer).expect("the answer is whole")
}

impl Answer {
    /// Whether the task was stopped by this kind of error.
    #[must_use]
    pub fn failed_with(&self, variant: &str) -> bool {
        self.error
            .as_ref()
            .is_some_and(|error| error.starts_with(variant))
    }
}
