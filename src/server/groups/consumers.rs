//! Who consumes a topic, and how far behind they are.
//!
//! Known are those who keep their checkpoints beside the topic, as is usual; not those who keep them in
//! tables of their own.

use std::collections::BTreeMap;

use axum::{Json, extract::State, http::Uri};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Captured, settings::topic_beside};
use crate::{
    Checkpoint, Clock, Position, SystemClock,
    server::{
        access::{Action, Caller},
        api::query,
        problem::Problem,
        state::App,
    },
};

/// The checkpoints beside a topic, by the names of the consumers.
#[derive(Debug)]
pub(in crate::server) struct Known {
    head: Position,
    records: BTreeMap<String, Checkpoint>,
}

/// What a group keeps of its members.
#[derive(Debug, Deserialize)]
struct Roster {
    partitions: u32,
    members: BTreeMap<String, u64>,
}

/// A group, as its checkpoints tell.
#[derive(Debug)]
pub(in crate::server) struct GroupState {
    pub(in crate::server) members: usize,
    /// Up to where all is done, and who has it, by partition.
    pub(in crate::server) partitions: Vec<(Position, Option<String>)>,
}

/// `GET /topics/T/consumers`
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Captured(topic): Captured<String>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    caller.may(Action::Read, &topic)?;
    query::none(&uri)?;
    let known = look(&app, &topic).await?;
    Ok(Json(json!({ "consumers": known.consumers() })))
}

/// Looks at the checkpoints beside a topic.
pub(in crate::server) async fn look(app: &App, topic: &str) -> Result<Known, Problem> {
    let info = app.store.get_topic(topic).await?;
    let newest = &app.groups.checkpoints;
    let looked = newest.look(&app.store, &topic_beside(topic)).await?;
    // Asked after the checkpoints: nobody is ahead of it.
    let head = app.store.get_latest_version(topic).await?;
    let origin = format!("/{}", info.created_position);
    let mut records = BTreeMap::new();
    for (key, entry) in &looked.streams {
        let Some(name) = key
            .strip_prefix(topic)
            .and_then(|key| key.strip_prefix('/'))
        else {
            continue;
        };
        // One of another kind, or of a topic that had the name before, is none of its consumers.
        if let Ok(record) = serde_json::from_slice::<Checkpoint>(&entry.payload)
            && record.origin.ends_with(&origin)
        {
            records.insert(name.to_owned(), record);
        }
    }
    Ok(Known { head, records })
}

impl Known {
    fn consumers(&self) -> Vec<Value> {
        let parts = |name: &str| {
            let (owner, part) = name.rsplit_once('/')?;
            let of_group = self.roster(owner).is_some() && part.parse::<u32>().is_ok();
            let replay = part == "replay" && self.records.contains_key(owner);
            (of_group || replay).then_some(())
        };
        let own = self
            .records
            .iter()
            .filter(|(name, _)| parts(name).is_none());
        own.map(|(name, record)| match self.group(name) {
            Some(group) => {
                let kind = if name.starts_with("webhook:") {
                    "webhook"
                } else {
                    "group"
                };
                let holders: Vec<_> = group.partitions.iter().flat_map(|(_, one)| one).collect();
                self.consumer(name, kind, group.position(), holders.first().copied())
            }
            None => {
                let position = record.position.unwrap_or_default();
                self.consumer(name, "consumer", position, holder(record).as_ref())
            }
        })
        .collect()
    }

    fn consumer(
        &self,
        name: &str,
        kind: &str,
        position: Position,
        holder: Option<&String>,
    ) -> Value {
        json!({
            "name": name,
            "kind": kind,
            "position": position.get(),
            "head": self.head.get(),
            "lag": self.lag(position),
            "holder": holder,
        })
    }

    /// The position of the topic's last event.
    pub(in crate::server) const fn head(&self) -> Position {
        self.head
    }

    pub(in crate::server) fn lag(&self, position: Position) -> u64 {
        self.head.get().saturating_sub(position.get())
    }

    fn roster(&self, name: &str) -> Option<Roster> {
        serde_json::from_str(&self.records.get(name)?.note).ok()
    }

    /// A group, where members have been there.
    pub(in crate::server) fn group(&self, name: &str) -> Option<GroupState> {
        let roster = self.roster(name)?;
        let partition = |number| {
            let record = self.records.get(&format!("{name}/{number}"));
            record.map_or((Position::START, None), |record| {
                (record.position.unwrap_or_default(), holder(record))
            })
        };
        Some(GroupState {
            members: roster.members.len(),
            partitions: (0..roster.partitions).map(partition).collect(),
        })
    }

    /// Up to where what a group has parked is to be tried again.
    pub(in crate::server) fn replayed(&self, name: &str) -> Position {
        let asked = self.records.get(&format!("{name}/replay"));
        asked.and_then(|asked| asked.position).unwrap_or_default()
    }
}

impl GroupState {
    /// Up to where all partitions are done.
    pub(in crate::server) fn position(&self) -> Position {
        let positions = self.partitions.iter().map(|(position, _)| *position);
        positions.min().unwrap_or_default()
    }
}

fn holder(record: &Checkpoint) -> Option<String> {
    let holder = record.holder?;
    (holder.until > SystemClock.now()).then(|| holder.owner.to_string())
}
