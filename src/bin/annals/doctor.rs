//! `annals doctor`.

use std::time::Duration;

use annals::{
    EventStore, HealthReport, HealthStatus, RepositoryHealth, TopicInfo, repository::StorageEntry,
};
use serde_json::{Value, json};

use super::{
    common::{Access, Common},
    failure::{Failure, Kind},
    session::{Session, answer},
    show::{place, repository},
};

/// Tell how the store is: its repositories, storage that no topic uses, moves that have not ended.
///
/// It changes nothing, unless `--fix` has it remove the storage that no topic uses: what a crash has left of
/// creating, moving or purging a topic. The exit code is 0 where all is well, 5 where a repository is not
/// up, 1 where there is storage to remove.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Remove the storage that no topic uses.
    #[arg(long)]
    fix: bool,
    /// Only storage that is older: what is younger may belong to a topic that is just being created.
    #[arg(long, value_name = "MINUTES", default_value_t = 60)]
    older_than: u64,
    #[command(flatten)]
    common: Common,
}

const EXAMPLES: &str = "\
Examples:
  annals doctor
  annals doctor --fix
  annals doctor --json | jq .status";

/// What was found.
struct Findings {
    health: HealthReport,
    topics: Vec<TopicInfo>,
    unused: Vec<StorageEntry>,
    /// Why storage could not be looked for, or removed.
    problem: Option<Failure>,
}

impl Arguments {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let access = if self.fix {
            Access::Write
        } else {
            Access::Read
        };
        let store = session.open(&self.common, access).await?;
        let findings = self.look(&store).await?;
        answer(&self.common, &findings.json(self.fix), || {
            findings.text(self.fix)
        })?;
        if findings.health.status != HealthStatus::Up {
            let reason = "not every repository is up";
            return Err(Failure::new(Kind::Unavailable, reason));
        }
        if let Some(problem) = findings.problem {
            return Err(problem);
        }
        if !self.fix && !findings.unused.is_empty() {
            let reason = "there is storage that no topic uses; `annals doctor --fix` removes it";
            return Err(Failure::other(reason));
        }
        Ok(())
    }

    async fn look(&self, store: &EventStore) -> Result<Findings, Failure> {
        let topics = store.list_topics().await?;
        for topic in &topics {
            // So that its repository is open, or known to be down; the health tells which.
            drop(store.get_latest_version(topic.name.as_str()).await);
        }
        let age = Duration::from_secs(self.older_than.saturating_mul(60));
        let unused = if self.fix {
            store.sweep_older_than(age).await
        } else {
            store.unused_storage(age).await
        };
        let (unused, problem) = match unused {
            Ok(unused) => (unused, None),
            Err(error) => (Vec::new(), Some(Failure::from(error))),
        };
        Ok(Findings {
            health: store.health().await,
            topics,
            unused,
            problem,
        })
    }
}

impl Findings {
    fn json(&self, fixed: bool) -> Value {
        let moving = self.topics.iter().filter_map(|topic| {
            let moving = topic.moving.as_ref()?;
            Some(json!({
                "topic": topic.name.as_str(),
                "target": place(&moving.target),
                "copied": moving.copied.get(),
                "sealed": moving.sealed,
                "renewedAt": moving.renewed_at.to_string(),
            }))
        });
        let former = self.topics.iter().flat_map(|topic| {
            let place_of =
                |storage| json!({ "topic": topic.name.as_str(), "place": place(storage) });
            topic.former.iter().map(place_of)
        });
        let unused = self
            .unused
            .iter()
            .map(|entry| json!({ "topic": entry.topic.as_str(), "storage": entry.storage }));
        let unused: Vec<_> = unused.collect();
        json!({
            "status": status(self.health.status),
            "repositories": self.health.repositories.iter().map(repository_json).collect::<Vec<_>>(),
            "moving": moving.collect::<Vec<_>>(),
            "former": former.collect::<Vec<_>>(),
            "unused": if fixed { Vec::new() } else { unused.clone() },
            "removed": if fixed { unused } else { Vec::new() },
            "problem": self.problem.as_ref().map(Failure::message),
        })
    }

    fn text(&self, fixed: bool) -> String {
        let mut lines = vec![format!("store: {}", status(self.health.status))];
        for one in &self.health.repositories {
            let topics = one
                .topics
                .map_or_else(String::new, |topics| format!(", {topics} storages"));
            let (name, latency) = (&one.repository, one.latency.as_millis());
            lines.push(format!(
                "{name}: {}{topics}, {latency} ms",
                status(one.status)
            ));
            let error = one.last_error.iter().map(|error| format!("  {error}"));
            let notes = one.notes.iter().map(|note| format!("  note: {note}"));
            lines.extend(error.chain(notes));
        }
        for topic in &self.topics {
            if let Some(moving) = &topic.moving {
                let (to, at) = (repository(&moving.target), moving.renewed_at);
                lines.push(format!(
                    "topic {} is moving to {to}, {} events copied, last heard of at {at}",
                    topic.name, moving.copied
                ));
            }
            for former in &topic.former {
                let at = repository(former);
                lines.push(format!("topic {} has left its storage in {at}", topic.name));
            }
        }
        let what = if fixed { "removed" } else { "unused" };
        for entry in &self.unused {
            lines.push(format!(
                "{what}: storage {} of topic {}",
                entry.storage, entry.topic
            ));
        }
        if self.unused.is_empty() && self.problem.is_none() {
            lines.push("no storage is unused".to_owned());
        }
        lines.join("\n")
    }
}

fn repository_json(one: &RepositoryHealth) -> Value {
    json!({
        "repository": one.repository,
        "status": status(one.status),
        "latencyMs": one.latency.as_secs_f64() * 1000.0,
        "topics": one.topics,
        "lastError": one.last_error,
        "notes": one.notes,
    })
}

const fn status(status: HealthStatus) -> &'static str {
    match status {
        HealthStatus::Up => "up",
        HealthStatus::Degraded => "degraded",
        _ => "down",
    }
}
