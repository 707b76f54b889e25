//! `annals backup`.

use std::{
    fs,
    io::BufWriter,
    path::{Path, PathBuf},
};

use annals::{Clock as _, EventStore, Position, Read, SystemClock, TopicInfo, TopicStatus};
use serde_json::json;

use super::{
    super::{
        common::{Access, Common},
        failure::{Failure, Kind},
        progress,
        session::{Session, answer},
        show::{count, many},
    },
    digest,
    manifest::{Entry, Manifest},
};

/// Write a backup of a whole store into a directory.
///
/// All topics, deleted ones too, with all their events: a file of lines for each, as `annals export` writes
/// them, and `manifest.json`, which is written last. The store may be in use meanwhile: of each topic the
/// backup has what it had when the backup began. What was purged, and storage that topics have left by moving, is not in
/// it. Connections are kept as they were given, `${NAME}` unresolved; passwords that stand in them are masked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The directory; it is made, or has to be empty.
    directory: PathBuf,
    /// Leave out topics that were deleted.
    #[arg(long)]
    without_deleted: bool,
    #[command(flatten)]
    common: Common,
}

const EXAMPLES: &str = "\
Examples:
  annals backup /mnt/backups/2026-11-21
  annals backup /mnt/backups/2026-11-21 --configuration-adapter postgres --configuration-connection '${DATABASE_URL}'";

impl Arguments {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let store = session.open(&self.common, Access::Read).await?;
        make(&self.directory)?;
        let topics = self.topics(&store).await?;
        let mut manifest = Manifest::new(
            store.id().to_string(),
            SystemClock.now().to_string(),
            !self.without_deleted,
        );
        for (number, (info, head)) in topics.into_iter().enumerate() {
            let entry = self.back_up(&store, &info, head, number + 1).await?;
            manifest.topics.push(entry);
        }
        manifest
            .write(&self.directory)
            .map_err(|error| Failure::io("the manifest cannot be written", &error))?;
        let events = manifest.topics.iter().map(|entry| entry.events).sum();
        let bytes = manifest.topics.iter().map(|entry| entry.bytes).sum();
        let deleted = manifest.topics.iter().filter(|entry| entry.deleted).count() as u64;
        let topics = manifest.topics.len() as u64;
        let json = json!({
            "directory": self.directory.display().to_string(), "topics": topics,
            "deletedTopics": deleted, "withDeleted": manifest.with_deleted,
            "events": events, "bytes": bytes,
        });
        answer(&self.common, &json, || {
            let of_them = if self.without_deleted {
                "deleted ones left out".to_owned()
            } else {
                format!("{} of them deleted", count(deleted))
            };
            format!(
                "{} ({of_them}), {}, {} bytes",
                many(topics, "topic"),
                many(events, "event"),
                count(bytes)
            )
        })
    }

    /// All topics, with the last event of those that may grow. All of them are looked at before any is
    /// written, so that what refers to each other in several topics is as near together as can be.
    async fn topics(&self, store: &EventStore) -> Result<Vec<(TopicInfo, Position)>, Failure> {
        let mut topics = Vec::new();
        if !self.without_deleted {
            let deleted = store.list_deleted_topics().await?;
            topics.extend(deleted.into_iter().map(|info| (info, Position::MAX)));
        }
        for info in store.list_topics().await? {
            let head = store.get_latest_version(info.name.as_str()).await?;
            topics.push((info, head));
        }
        Ok(topics)
    }

    async fn back_up(
        &self,
        store: &EventStore,
        info: &TopicInfo,
        head: Position,
        number: usize,
    ) -> Result<Entry, Failure> {
        let deleted = info.status == TopicStatus::Deleted;
        let read = Read::all().up_to(head);
        let events = if deleted {
            store.read_deleted_topic(info.placement.storage, read)
        } else {
            store.read_events(info.name.as_str(), read)
        };
        // Names that differ in case only would be one file in some file systems.
        let file = format!("{number:05}-{}.ndjson", info.name);
        let path = self.directory.join(&file);
        let failed = |error| Failure::io(&path.display().to_string(), &error);
        let mut out = BufWriter::with_capacity(256 << 10, fs::File::create(&path).map_err(failed)?);
        let length = if deleted { 0 } else { head.get() };
        let bar = progress::events(&self.common, info.name.as_str(), length);
        let digest = digest::write(events, &mut out, &bar)
            .await
            .map_err(|failure| failure.context(info.name.as_str()))?;
        bar.finish_and_clear();
        let written = out
            .into_inner()
            .map_err(|error| failed(error.into_error()))?;
        written.sync_all().map_err(failed)?;
        let (adapter, connection) = self.common.home()?;
        let placement = &info.placement;
        Ok(Entry {
            name: info.name.to_string(),
            deleted,
            home: placement.adapter == adapter && placement.connection == connection,
            adapter: placement.adapter.clone(),
            connection: placement.connection.clone(),
            options: placement.options.clone(),
            created_at: info.created_at.to_string(),
            events: digest.events,
            bytes: digest.bytes,
            sha256: digest.sha256,
            file,
        })
    }
}

/// Makes the directory. One that holds anything is left alone.
fn make(directory: &Path) -> Result<(), Failure> {
    let shown = directory.display();
    let failed = |error| Failure::io(&shown.to_string(), &error);
    fs::create_dir_all(directory).map_err(failed)?;
    if fs::read_dir(directory).map_err(failed)?.next().is_some() {
        let reason = format!("{shown} is not empty; name a directory that is, or is not there");
        return Err(Failure::new(Kind::Conflict, reason));
    }
    Ok(())
}
