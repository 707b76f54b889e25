//! The groups of which this server is a member, each with a task of its own.

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};

use super::{
    Newest,
    member::{Hands, Request},
    settings::{FORGOTTEN, GROUP_CONFIGURED, GroupSettings, Stored},
};
use crate::{Error, EventStore, Version, server::problem::Problem};

/// How many requests may wait for one group.
const WAITING: usize = 1024;

/// The groups of which this server is a member.
#[derive(Debug)]
pub(in crate::server) struct Groups {
    /// What groups are like.
    pub(super) settings: Newest,
    /// How far consumers have come.
    pub(super) checkpoints: Newest,
    /// Guards the table only.
    members: Mutex<Members>,
}

#[derive(Debug, Default)]
struct Members {
    joined: HashMap<(String, String), Joined>,
    /// All of them, those that are about to leave included.
    tasks: JoinSet<()>,
    /// Nobody joins any more.
    closed: bool,
}

#[derive(Debug)]
struct Joined {
    /// Of the settings with which it has joined.
    version: Version,
    requests: mpsc::Sender<Request>,
}

impl Default for Groups {
    fn default() -> Self {
        Self {
            settings: Newest::of(&[GROUP_CONFIGURED, FORGOTTEN]),
            checkpoints: Newest::of(&["CheckpointStored"]),
            members: Mutex::default(),
        }
    }
}

impl Groups {
    /// Where the member of a group is asked. It joins where it has not, and anew where the settings have
    /// changed since, be it by another server.
    pub(super) async fn member(
        &self,
        store: &EventStore,
        (topic, name): (&str, &str),
        settings: &Stored<GroupSettings>,
    ) -> Result<mpsc::Sender<Request>, Problem> {
        let key = (topic.to_owned(), name.to_owned());
        let Stored { value, version } = settings;
        match self.version(&key) {
            Some(joined) if joined >= *version => {
                if let Some(member) = self.joined(topic, name) {
                    return Ok(member);
                }
            }
            Some(_) => self.leave_one(topic, name).await,
            None => {}
        }
        let group = value.group(name)?;
        let member = store.join(topic, group).await?;
        let (requests, asked) = mpsc::channel(WAITING);
        let mut members = self.members.lock();
        if members.closed {
            return Err(Error::Closed.into());
        }
        members.joined.retain(|_, one| !one.requests.is_closed());
        while members.tasks.try_join_next().is_some() {}
        if let Some(other) = members.joined.get(&key) {
            // Somebody was faster. A member that is dropped leaves.
            return Ok(other.requests.clone());
        }
        let hands = Hands::new(member, asked, value.answer_within.0);
        members.tasks.spawn(hands.run());
        let joined = Joined {
            version: *version,
            requests: requests.clone(),
        };
        members.joined.insert(key, joined);
        Ok(requests)
    }

    /// With which settings the member of a group has joined, if it has.
    fn version(&self, key: &(String, String)) -> Option<Version> {
        self.members.lock().joined.get(key).map(|one| one.version)
    }

    /// Where the member of a group is asked, if it has joined.
    pub(super) fn joined(&self, topic: &str, name: &str) -> Option<mpsc::Sender<Request>> {
        let key = (topic.to_owned(), name.to_owned());
        let members = self.members.lock();
        let requests = members.joined.get(&key).map(|one| &one.requests);
        requests.filter(|one| !one.is_closed()).cloned()
    }

    /// Leaves a group; who takes from it next has it joined anew.
    pub(super) async fn leave_one(&self, topic: &str, name: &str) {
        let key = (topic.to_owned(), name.to_owned());
        let member = self.members.lock().joined.remove(&key);
        if let Some(member) = member {
            leave(member.requests).await;
        }
    }

    /// Leaves all of them for good.
    pub(in crate::server) async fn leave(&self) {
        let Members {
            joined, mut tasks, ..
        } = {
            let mut members = self.members.lock();
            let all = std::mem::take(&mut *members);
            members.closed = true;
            all
        };
        for member in joined.into_values() {
            leave(member.requests).await;
        }
        // Those too that were about to leave by themselves.
        while tasks.join_next().await.is_some() {}
    }
}

async fn leave(member: mpsc::Sender<Request>) {
    let (told, left) = oneshot::channel();
    if member.send(Request::Leave(told)).await.is_ok() {
        // The task lets go of its end when it has left.
        drop(left.await);
    }
}
