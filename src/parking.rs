//! The dead-letter topic of a topic: events that a group or a projection could not process, and how they
//! come back.

use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    Append, Checkpoint, Error, EventStore, NewEvent, Position, Read, RecordedEvent, Result,
    repository::Checkpoints,
};

/// The type of the events.
const TYPE: &str = "EventParked";
/// The namespace of their ids (UUIDv5).
const IDS: Uuid = Uuid::from_u128(0x70a1_5ed0_13c4_5b0e_8d51_616e_6e61_6c73);
/// How many parked events are looked at in one go.
const PORTION: u64 = 64;
/// How many bytes of a reason are kept: what refuses an event may quote all of it.
const REASON: usize = 4096;

/// What one group, or one projection, of a topic has parked: a stream of the topic `TOPIC.parked`, named
/// as it is.
#[derive(Clone, Debug)]
pub(crate) struct Parking {
    store: EventStore,
    topic: String,
    parked: String,
    group: String,
}

/// What is said of a parked event, as its metadata; its payload is that of the event.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Label {
    topic: String,
    pub(crate) position: Position,
    pub(crate) id: Uuid,
    stream: String,
    event_type: String,
    pub(crate) tries: u32,
    pub(crate) reason: String,
}

impl Parking {
    pub(crate) async fn open(store: &EventStore, topic: &str, group: &str) -> Result<Self> {
        let parked = format!("{topic}.parked");
        store.create_beside(topic, &parked).await?;
        Ok(Self {
            store: store.clone(),
            topic: topic.to_owned(),
            parked,
            group: group.to_owned(),
        })
    }

    /// Parks an event. `again` is where it was parked before; to park it twice from there is to park it
    /// once.
    pub(crate) async fn park(
        &self,
        event: &RecordedEvent,
        again: Option<Position>,
        (tries, reason): (u32, &str),
    ) -> Result<()> {
        let label = Label {
            topic: self.topic.clone(),
            position: event.position,
            id: event.id,
            stream: event.stream.to_string(),
            event_type: event.event_type.to_string(),
            tries,
            reason: beginning(reason).to_owned(),
        };
        let name = format!(
            "{}/{}/{}/{}",
            self.group,
            event.id,
            event.position,
            again.unwrap_or_default()
        );
        let id = Uuid::new_v5(&IDS, name.as_bytes());
        let content_type = event.content_type.as_str();
        let parked = NewEvent::binary(TYPE, content_type, event.payload.clone())
            .id(id)
            .metadata(&label)?;
        let append = Append::new([parked]).stream(self.group.clone());
        match self.store.append_events(&self.parked, append).await {
            // It was parked by one who did not come so far as to record that.
            Ok(_) | Err(Error::IdempotencyConflict { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Asks that all be tried again that is parked now. Tells how many events that are at most.
    pub(crate) async fn ask(
        &self,
        checkpoints: &dyn Checkpoints,
        key: &str,
        origin: String,
    ) -> Result<u64> {
        let head = self.store.get_latest_version(&self.parked).await?;
        let request = request_key(key);
        loop {
            let found = checkpoints.load(&request).await?;
            let before = match found.position {
                Some(position) if found.origin == origin => position,
                _ => Position::START,
            };
            let next = Checkpoint {
                revision: found.revision,
                origin: origin.clone(),
                position: Some(head.max(before)),
                ..Checkpoint::default()
            };
            match checkpoints.replace(&request, &next).await {
                Err(Error::CheckpointConflict { .. }) => {}
                done => {
                    done?;
                    let read = Read::stream(self.group.clone()).after(before).up_to(head);
                    let events = self.store.read_events(&self.parked, read);
                    let count = events.try_fold(0, |count, _| async move { Ok(count + 1) });
                    return count.await;
                }
            }
        }
    }

    /// Up to where parked events are to be tried again.
    pub(crate) async fn asked(
        &self,
        checkpoints: &dyn Checkpoints,
        key: &str,
        origin: &str,
    ) -> Result<Position> {
        let found = checkpoints.load(&request_key(key)).await?;
        let position = found.position.filter(|_| found.origin == origin);
        Ok(position.unwrap_or_default())
    }

    /// Some events that were parked after a place and up to another one, each as it is in the topic, with
    /// the place where it is parked; and up to where they were looked for.
    pub(crate) async fn parked(
        &self,
        after: Position,
        up_to: Position,
    ) -> Result<(Vec<(Position, RecordedEvent)>, Position)> {
        let read = Read::stream(self.group.clone())
            .after(after)
            .up_to(up_to)
            .limit(PORTION);
        let labels = self.store.get_events(&self.parked, read).await?;
        let looked_to = match labels.last() {
            Some(last) if labels.len() as u64 == PORTION => last.position,
            _ => up_to,
        };
        let mut events = Vec::new();
        for parked in labels {
            let (_, event) = self.original(&parked).await?;
            events.extend(event.map(|event| (parked.position, event)));
        }
        Ok((events, looked_to))
    }

    /// What is said of a parked event, and the event as it is in the topic; none where it is there no
    /// more.
    pub(crate) async fn original(
        &self,
        parked: &RecordedEvent,
    ) -> Result<(Label, Option<RecordedEvent>)> {
        let label: Label = parked.metadata_json()?;
        let read = Read::all()
            .after(label.position.previous())
            .up_to(label.position);
        let found = self.store.get_events(&self.topic, read).await?;
        // A topic that was created anew has other events in these places.
        let event = found.into_iter().find(|event| event.id == label.id);
        Ok((label, event))
    }
}

/// Where it is kept up to where parked events are to be tried again.
fn request_key(key: &str) -> String {
    format!("{key}/replay")
}

/// As much of a reason as is kept.
fn beginning(reason: &str) -> &str {
    reason
        .get(..reason.floor_char_boundary(REASON))
        .unwrap_or(reason)
}
