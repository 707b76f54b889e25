//! `annals restore`.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    path::PathBuf,
};

use annals::{EventStore, EventStream, Read, StorageId, TopicConfig};
use serde_json::json;

use super::{
    super::{
        common::{Access, Common, key_and_value},
        failure::{Failure, Kind},
        import,
        lines::Lines,
        place::absolute,
        progress,
        session::{Session, answer},
        show::{count, many},
    },
    digest::{self, Digest},
    manifest::{Entry, Manifest},
};

/// Restore a backup into an empty store.
///
/// Every topic becomes what it was: its events with their positions, versions, ids and times, and deleted
/// topics deleted. It is read back and compared with the backup in the end. A topic goes where it was, or, if
/// it was where the configuration stream was, where that is now; `--placement` puts it elsewhere. The store gets an id
/// of its own, so tokens of clients are not valid any more.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The directory that `annals backup` has written.
    directory: PathBuf,
    /// Puts a topic elsewhere, or all with `*`; may be repeated.
    #[arg(long = "placement", value_name = "TOPIC=ADAPTER:CONNECTION", value_parser = placement)]
    placements: Vec<(String, (String, String))>,
    /// An option of a topic's adapter, or of all with `*`, instead of the one in the backup; may be repeated.
    #[arg(long = "option", value_name = "TOPIC=KEY=VALUE", value_parser = option)]
    options: Vec<(String, (String, String))>,
    /// Go on with a restore that was interrupted: topics that are there have to be those of the backup,
    /// or their beginning.
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    common: Common,
}

const EXAMPLES: &str = "\
Examples:
  annals restore /mnt/backups/2026-11-21 --data /var/lib/annals
  annals restore /mnt/backups/2026-11-21 --placement '*=file:/var/lib/annals'
  annals restore /mnt/backups/2026-11-21 --placement 'audit=postgres:${DATABASE_URL}' --resume
  annals restore /mnt/backups/2026-11-21 --option 'archive=secret_access_key=${S3_KEY}'";

fn placement(text: &str) -> Result<(String, (String, String)), String> {
    let wrong = || "TOPIC=ADAPTER:CONNECTION is expected".to_owned();
    let (topic, place) = text.split_once('=').ok_or_else(wrong)?;
    let (adapter, connection) = place.split_once(':').ok_or_else(wrong)?;
    Ok((
        topic.to_owned(),
        (adapter.to_owned(), connection.to_owned()),
    ))
}

fn option(text: &str) -> Result<(String, (String, String)), String> {
    let (topic, option) = text
        .split_once('=')
        .ok_or_else(|| "TOPIC=KEY=VALUE is expected".to_owned())?;
    Ok((topic.to_owned(), key_and_value(option)?))
}

/// Whether a password is left out of a connection, or of an option.
fn is_masked(text: &str) -> bool {
    text.contains("***")
}

impl Arguments {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let manifest = Manifest::read(&self.directory)?;
        self.check(&manifest)?;
        let store = session.open(&self.common, Access::Create).await?;
        let deleted = store.list_deleted_topics().await?;
        let active = store.list_topics().await?;
        let empty = deleted.is_empty() && active.is_empty();
        if !self.resume && !empty {
            return Err(Failure::new(
                Kind::Conflict,
                "the store has topics; restore into an empty one, or go on with --resume where a restore was interrupted",
            ));
        }
        let mut done: BTreeMap<String, VecDeque<StorageId>> = BTreeMap::new();
        for info in deleted {
            let of_name = done.entry(info.name.to_string()).or_default();
            of_name.push_back(info.placement.storage);
        }
        let (mut events, mut deleted) = (0, 0);
        for entry in &manifest.topics {
            let before = if entry.deleted {
                done.get_mut(&entry.name).and_then(VecDeque::pop_front)
            } else {
                None
            };
            match before {
                Some(storage) => {
                    let restored = store.read_deleted_topic(storage, Read::all());
                    self.compare(entry, restored).await?;
                }
                None => self.restore(session, &store, entry).await?,
            }
            events += entry.events;
            deleted += u64::from(entry.deleted);
        }
        let topics = manifest.topics.len() as u64;
        let json = json!({
            "topics": topics, "deletedTopics": deleted,
            "withDeleted": manifest.with_deleted, "events": events, "verified": true,
        });
        answer(&self.common, &json, || {
            let of_them = if manifest.with_deleted {
                format!("{} of them deleted", count(deleted))
            } else {
                "the backup has no deleted ones".to_owned()
            };
            let (topics, events) = (many(topics, "topic"), many(events, "event"));
            format!("{topics} ({of_them}), {events}, compared with the backup")
        })
    }

    /// Finds out what cannot go well before anything is made.
    fn check(&self, manifest: &Manifest) -> Result<(), Failure> {
        let placed = self
            .placements
            .iter()
            .map(|(topic, _)| (topic, "a placement"));
        let options = self.options.iter().map(|(topic, _)| (topic, "an option"));
        for (topic, what) in placed.chain(options) {
            if topic != "*" && !manifest.topics.iter().any(|entry| entry.name == *topic) {
                let reason =
                    format!("the backup has no topic {topic:?}, for which {what} is given");
                return Err(Failure::usage(reason));
            }
        }
        for entry in &manifest.topics {
            let path = entry.path(&self.directory)?;
            if !path.is_file() {
                let reason = format!("{} is missing in the backup", path.display());
                return Err(Failure::new(Kind::Corruption, reason));
            }
            let elsewhere = entry.home || self.placement(&entry.name).is_some();
            if is_masked(&entry.connection) && !elsewhere {
                return Err(Failure::usage(format!(
                    "the password in the connection of topic {0} is not in the backup; give --placement '{0}=ADAPTER:CONNECTION'",
                    entry.name
                )));
            }
            let (adapter, _) = self.place(entry)?;
            let options = self.options(entry, &adapter);
            if let Some((key, _)) = options.iter().find(|(_, value)| is_masked(value)) {
                return Err(Failure::usage(format!(
                    "the option `{key}` of topic {0} holds a secret, which is not in the backup; give --option '{0}={key}=${{NAME}}'",
                    entry.name
                )));
            }
        }
        Ok(())
    }

    /// The placement that is given for a topic; one for the topic itself counts before one for all.
    fn placement(&self, topic: &str) -> Option<&(String, String)> {
        let given = |name: &str| {
            let mut placements = self.placements.iter();
            placements.find(|(topic, _)| topic == name)
        };
        given(topic).or_else(|| given("*")).map(|(_, place)| place)
    }

    /// The adapter and the connection that a topic gets.
    fn place(&self, entry: &Entry) -> Result<(String, String), Failure> {
        match self.placement(&entry.name) {
            Some((adapter, connection)) => Ok((adapter.clone(), absolute(adapter, connection)?)),
            None if entry.home => self.common.home(),
            None => Ok((entry.adapter.clone(), entry.connection.clone())),
        }
    }

    /// The options that a topic gets: those of the backup where its adapter stays, and over them those that
    /// are given, one for the topic itself before one for all.
    fn options<'a>(&'a self, entry: &'a Entry, adapter: &str) -> BTreeMap<&'a str, &'a str> {
        let kept = entry.options.iter().filter(|_| adapter == entry.adapter);
        let kept = kept.map(|(key, value)| (&**key, &**value));
        let given = ["*", &entry.name].into_iter().flat_map(|wanted| {
            let of_topic = self
                .options
                .iter()
                .filter(move |(topic, _)| topic == wanted);
            of_topic.map(|(_, (key, value))| (&**key, &**value))
        });
        kept.chain(given).collect()
    }

    fn config(&self, entry: &Entry) -> Result<TopicConfig, Failure> {
        let (adapter, connection) = self.place(entry)?;
        let config = TopicConfig::new(&entry.name, &adapter, connection);
        let options = self.options(entry, &adapter);
        let with = |config: TopicConfig, (key, value)| config.option(key, value);
        Ok(options.into_iter().fold(config, with))
    }

    async fn restore(
        &self,
        session: &Session,
        store: &EventStore,
        entry: &Entry,
    ) -> Result<(), Failure> {
        let title = entry.title();
        let there = store.get_topic(&entry.name).await.is_ok();
        if !there {
            let created = store.create_topic(self.config(entry)?).await;
            created.map_err(|error| Failure::from(error).context(&title))?;
        }
        let path = entry.path(&self.directory)?;
        let mut lines = Lines::of(Some(&path)).await?;
        let bar = progress::bytes(&self.common, &entry.name, Some(entry.bytes));
        let imported = import::import(session, store, &entry.name, &mut lines, &bar).await;
        bar.finish_and_clear();
        imported.map_err(|failure| failure.in_a_backup().context(&title))?;
        self.compare(entry, store.read_events(&entry.name, Read::all()))
            .await?;
        if entry.deleted {
            store.delete_topic(&entry.name).await?;
        }
        Ok(())
    }

    /// Reads a topic back.
    async fn compare(&self, entry: &Entry, restored: EventStream) -> Result<(), Failure> {
        let bar = progress::events(&self.common, &entry.name, entry.events);
        let found = digest::write(restored, &mut io::sink(), &bar).await?;
        bar.finish_and_clear();
        let expected = Digest {
            events: entry.events,
            bytes: entry.bytes,
            sha256: entry.sha256.clone(),
        };
        if found == expected {
            return Ok(());
        }
        Err(Failure::new(
            Kind::Corruption,
            format!(
                "{} is not what the backup says: {} of SHA-256 {} were restored, and {} of {} were backed up",
                entry.title(),
                many(found.events, "event"),
                found.sha256,
                many(expected.events, "event"),
                expected.sha256
            ),
        ))
    }
}
