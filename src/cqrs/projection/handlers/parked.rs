//! What a projection has parked: how it is counted, listed and handled once more.

use futures_util::TryStreamExt;

use super::{
    generations::consumer,
    input::Input,
    settings::{OnFailure, Settings},
    sink::Sink,
    worker::{Trouble, Worker},
};
use crate::{
    Error, EventStore, Position, Read, RecordedEvent, Result, parking::Parking,
    repository::Checkpoints,
};

/// An event that could not be handled, in the topic `TOPIC.parked`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ParkedEvent {
    /// Where it is parked.
    pub parked_at: Position,
    /// Its topic.
    pub topic: String,
    /// Its position there.
    pub position: Position,
    /// How often it was tried.
    pub tries: u32,
    /// Why it was refused.
    pub reason: String,
    /// The event; none where it is in the topic no more.
    pub event: Option<RecordedEvent>,
}

/// Lists what a generation has parked and not handled since, at most so many.
pub(super) async fn list(
    store: &EventStore,
    settings: &Settings,
    generation: u64,
    most: usize,
) -> Result<Vec<ParkedEvent>> {
    let name = consumer(&settings.name, generation);
    let mut found = Vec::new();
    for topic in &settings.topics {
        let Some(after) = replayed_to(store, settings, topic, &name).await? else {
            continue;
        };
        let parking = Parking::open(store, topic, &name).await?;
        let read = Read::stream(name.clone()).after(after);
        let mut labels = store.read_events(&parked_topic(topic), read);
        while let Some(parked) = labels.try_next().await? {
            if found.len() >= most {
                return Ok(found);
            }
            let (label, event) = parking.original(&parked).await?;
            found.push(ParkedEvent {
                parked_at: parked.position,
                topic: topic.clone(),
                position: label.position,
                tries: label.tries,
                reason: label.reason,
                event,
            });
        }
    }
    Ok(found)
}

/// Up to where parked events were handled once more; none where nothing was ever parked.
async fn replayed_to(
    store: &EventStore,
    settings: &Settings,
    topic: &str,
    name: &str,
) -> Result<Option<Position>> {
    let parked = parked_topic(topic);
    let info = match store.get_topic(&parked).await {
        Ok(info) => info,
        Err(Error::TopicNotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let checkpoints = settings.checkpoints_of(store, topic).await?;
    let found = Checkpoints::load(&*checkpoints, &format!("{parked}/{name}")).await?;
    // Of a topic that was removed and made anew, nothing was handled yet.
    let position = found
        .position
        .filter(|_| found.origin == store.origin(&info));
    Ok(Some(position.unwrap_or_default()))
}

pub(super) fn parked_topic(topic: &str) -> String {
    format!("{topic}.parked")
}

impl<S: Sink> Worker<S> {
    /// Counts what is parked.
    pub(super) async fn count_parked(&mut self) -> Result<()> {
        if !matches!(self.settings.on_failure, OnFailure::Park { .. }) {
            return Ok(());
        }
        let name = consumer(&self.settings.name, self.generation);
        let mut count = 0;
        for topic in &self.settings.topics {
            if let Some(after) = replayed_to(&self.store, &self.settings, topic, &name).await? {
                let read = Read::stream(name.clone()).after(after);
                let labels = self.store.read_events(&parked_topic(topic), read);
                count += labels
                    .try_fold(0, |count, _| async move { Ok(count + 1) })
                    .await?;
            }
        }
        self.board.parked(|_| count);
        Ok(())
    }

    /// Handles once more what is parked now. What is refused again is parked again, behind that.
    pub(super) async fn replay(&mut self) -> Result<u64, Trouble> {
        let mut replayed = 0;
        let name = consumer(&self.settings.name, self.generation);
        for (number, topic) in self.settings.topics.clone().iter().enumerate() {
            let parked = parked_topic(topic);
            let newest = Read::stream(name.clone()).backward().limit(1);
            let head = match self.store.get_events(&parked, newest).await {
                Ok(events) => events.first().map_or(Position::START, |one| one.position),
                Err(Error::TopicNotFound { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            let parking = Parking::open(&self.store, topic, &name).await?;
            // One that has died may have the lease.
            let mut stop = self.stop.clone();
            let consumer = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                consumer = self.consume(&parked, topic) => consumer?,
            };
            let mut input = Input::new(number, topic, consumer);
            let worked = self.replay_up_to(&mut input, &parking, head).await;
            let released = input.pull.into_source().release().await;
            replayed += worked?;
            released?;
        }
        Ok(replayed)
    }

    async fn replay_up_to(
        &mut self,
        input: &mut Input,
        parking: &Parking,
        head: Position,
    ) -> Result<u64, Trouble> {
        let mut replayed = 0;
        while input.handled < head {
            let mut labels = Vec::new();
            let mut stop = self.stop.clone();
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                pulled = input.pull.next(&mut labels, 1) => pulled?,
            }
            let Some(label) = labels.first() else {
                continue;
            };
            input.parked = Some(label.position);
            let (_, event) = parking.original(label).await?;
            if let Some(event) = event
                && !self.handle(input, &[event]).await?
            {
                break;
            }
            input.went(label.position, 1);
            self.commit(std::slice::from_mut(input)).await?;
            self.board.parked(|parked| parked.saturating_sub(1));
            replayed += 1;
        }
        Ok(replayed)
    }
}
