//! The groups of which this server is a member, each with a task of its own.

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::{
    Newest,
    member::{Hands, Request},
    settings::{FORGOTTEN, GROUP_CONFIGURED, GroupSettings},
};
use crate::{EventStore, server::problem::Problem};

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
    members: Mutex<HashMap<(String, String), mpsc::Sender<Request>>>,
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
    /// Where the member of a group is asked. It joins where it has not.
    pub(super) async fn member(
        &self,
        store: &EventStore,
        (topic, name): (&str, &str),
        settings: &GroupSettings,
    ) -> Result<mpsc::Sender<Request>, Problem> {
        if let Some(member) = self.joined(topic, name) {
            return Ok(member);
        }
        let group = settings.group(name)?;
        let member = store.join(topic, group).await?;
        let (requests, asked) = mpsc::channel(WAITING);
        let key = (topic.to_owned(), name.to_owned());
        {
            let mut members = self.members.lock();
            members.retain(|_, one| !one.is_closed());
            if let Some(other) = members.get(&key) {
                // Somebody was faster. A member that is dropped leaves.
                return Ok(other.clone());
            }
            members.insert(key, requests.clone());
        }
        let hands = Hands::new(member, asked, settings.answer_within.0);
        tokio::spawn(hands.run());
        Ok(requests)
    }

    /// Where the member of a group is asked, if it has joined.
    pub(super) fn joined(&self, topic: &str, name: &str) -> Option<mpsc::Sender<Request>> {
        let key = (topic.to_owned(), name.to_owned());
        let members = self.members.lock();
        members.get(&key).filter(|one| !one.is_closed()).cloned()
    }

    /// Leaves a group; who takes from it next has it joined anew.
    pub(super) async fn leave_one(&self, topic: &str, name: &str) {
        let key = (topic.to_owned(), name.to_owned());
        let member = self.members.lock().remove(&key);
        if let Some(member) = member {
            leave(member).await;
        }
    }

    /// Leaves all of them.
    pub(in crate::server) async fn leave(&self) {
        let members = std::mem::take(&mut *self.members.lock());
        for member in members.into_values() {
            leave(member).await;
        }
    }
}

async fn leave(member: mpsc::Sender<Request>) {
    let (told, left) = oneshot::channel();
    if member.send(Request::Leave(told)).await.is_ok() {
        // The task lets go of its end when it has left.
        drop(left.await);
    }
}
