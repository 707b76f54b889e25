//! What a member does: it sees who is in the group, takes the partitions that are its, reads the topic
//! for them, gives events, hears what came of them, and records how far all is done.

use std::{
    collections::BTreeMap,
    future::pending,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{
    Delivery, Group,
    backlog::State,
    delivery::{Answer, Ticket},
    partition::{Partition, partition_of},
    roster::Roster,
};
use crate::{
    Error, EventStore, Position, RecordedEvent, Result, Subscribe, Subscription, parking::Parking,
    repository::Checkpoints,
};

/// How often a member looks at the roster, at least and at most.
const LOOK: (Duration, Duration) = (Duration::from_millis(30), Duration::from_secs(1));

/// What a member does.
pub(super) struct Worker {
    store: EventStore,
    topic: String,
    group: Group,
    checkpoints: Arc<dyn Checkpoints>,
    roster: Roster,
    parking: Parking,
    /// The partitions that this member has. The one after the last is that of parked events.
    partitions: BTreeMap<u32, Partition>,
    live: Option<Subscription>,
    give: mpsc::Sender<Result<Delivery>>,
    /// Given to deliveries, which answer by it.
    answer: mpsc::UnboundedSender<(Ticket, Answer)>,
    answers: mpsc::UnboundedReceiver<(Ticket, Answer)>,
    /// When it looks at the roster next.
    look_at: Instant,
}

/// What happens to a member.
#[expect(clippy::large_enum_variant, reason = "nearly all of them are events")]
enum Happens {
    /// Something may be given.
    Room,
    Answer(Ticket, Answer),
    Event(Option<Result<RecordedEvent>>),
    Time,
    /// Nobody takes deliveries any more.
    Left,
}

impl Worker {
    pub(super) fn new(
        store: EventStore,
        topic: &str,
        group: Group,
        checkpoints: Arc<dyn Checkpoints>,
        roster: Roster,
        parking: Parking,
        give: mpsc::Sender<Result<Delivery>>,
    ) -> Self {
        let (answer, answers) = mpsc::unbounded_channel();
        Self {
            store,
            topic: topic.to_owned(),
            group,
            checkpoints,
            roster,
            parking,
            partitions: BTreeMap::new(),
            live: None,
            give,
            answer,
            answers,
            look_at: Instant::now(),
        }
    }

    /// Enters the group, so that what is wrong with it is told to who wants to join.
    pub(super) async fn begin(&mut self) -> Result<()> {
        self.roster.look().await.map(drop)
    }

    pub(super) async fn run(mut self) {
        loop {
            let worked = match self.happens().await {
                Happens::Left => break,
                happens => self.work(happens).await,
            };
            match worked {
                Ok(()) => {}
                Err(error) if error.is_retryable() => {
                    tracing::warn!(group = %self.roster.key, %error, "group interrupted; it goes on by itself");
                    self.live = None;
                    self.look_at = Instant::now() + LOOK.1;
                    tokio::time::sleep(LOOK.0).await;
                }
                Err(error) => {
                    self.leave().await;
                    drop(self.give.send(Err(error)).await);
                    return;
                }
            }
        }
        self.leave().await;
    }

    /// Waits for the next thing to do.
    async fn happens(&mut self) -> Happens {
        let now = Instant::now();
        let alarms = self.partitions.values().map(|one| one.backlog.alarm(now));
        let alarm = alarms.flatten().chain([self.look_at]).min();
        let alarm = alarm.unwrap_or(self.look_at);
        let ready = self.ready().is_some();
        let held: usize = self.partitions.values().map(|one| one.backlog.len()).sum();
        let reads = held < self.group.window;
        let live = self.live.as_mut().filter(|_| reads);
        let event = async {
            match live {
                Some(live) => live.next().await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.give.closed() => Happens::Left,
            Some((ticket, answer)) = self.answers.recv() => Happens::Answer(ticket, answer),
            () = tokio::time::sleep_until(alarm.into()) => Happens::Time,
            room = self.give.reserve(), if ready => if room.is_ok() { Happens::Room } else { Happens::Left },
            event = event => Happens::Event(event),
        }
    }

    async fn work(&mut self, happens: Happens) -> Result<()> {
        match happens {
            Happens::Room => self.offer(),
            Happens::Answer(ticket, answer) => self.hear(ticket, answer).await?,
            Happens::Event(event) => self.read(event)?,
            Happens::Time => {
                self.give_up_waiting().await?;
                if Instant::now() >= self.look_at {
                    self.look().await?;
                }
            }
            Happens::Left => {}
        }
        Ok(())
    }

    /// An event that may be given.
    fn ready(&self) -> Option<(u32, Position)> {
        if !self.roster.is_valid() {
            return None;
        }
        let now = Instant::now();
        self.partitions
            .iter()
            .filter(|(_, one)| !one.leaving)
            .find_map(|(number, one)| Some((*number, one.backlog.next(now)?)))
    }

    fn offer(&mut self) {
        let Some((number, place)) = self.ready() else {
            return;
        };
        let Ok(room) = self.give.try_reserve() else {
            return;
        };
        let partition = self.partitions.get_mut(&number);
        let Some((event, tries)) = partition.and_then(|one| one.backlog.offer(place)) else {
            return;
        };
        let ticket = Ticket {
            partition: number,
            place,
            tries,
        };
        room.send(Ok(Delivery::new(event, ticket, self.answer.clone())));
    }

    async fn hear(&mut self, ticket: Ticket, answer: Answer) -> Result<()> {
        let Ticket {
            partition: number,
            place,
            tries,
        } = ticket;
        let Some(partition) = self.partitions.get_mut(&number) else {
            return Ok(());
        };
        // An answer that comes too late is that of another try.
        let Some(entry) = partition.backlog.entry(place, tries) else {
            return Ok(());
        };
        if !matches!(entry.state, State::Offered | State::Given(_)) {
            return Ok(());
        }
        match answer {
            Answer::Taken => entry.state = State::Given(Instant::now() + self.group.answer_within),
            Answer::Untaken => {
                entry.tries -= 1;
                entry.state = State::Waits;
            }
            Answer::Done => partition.backlog.done(place),
            Answer::Failed(reason) => {
                entry.state = State::Rests(Instant::now() + pause(self.group.backoff, tries));
                entry.reason = reason;
                if tries >= self.group.tries {
                    self.park(number, place, tries).await?;
                }
            }
            Answer::Park(reason) => {
                // Should it not be parked now, it is tried again, and parked then.
                entry.state = State::Rests(Instant::now() + pause(self.group.backoff, tries));
                entry.reason = reason;
                self.park(number, place, tries).await?;
            }
        }
        Ok(())
    }

    async fn park(&mut self, number: u32, place: Position, tries: u32) -> Result<()> {
        let again = (number == self.group.partitions).then_some(place);
        let Some(partition) = self.partitions.get_mut(&number) else {
            return Ok(());
        };
        let Some(entry) = partition.backlog.entry(place, tries) else {
            return Ok(());
        };
        let why = (tries, &*entry.reason);
        self.parking.park(&entry.event, again, why).await?;
        partition.backlog.done(place);
        Ok(())
    }

    /// What was not answered in time has failed.
    async fn give_up_waiting(&mut self) -> Result<()> {
        let now = Instant::now();
        let mut late = Vec::new();
        for (number, partition) in &self.partitions {
            let overdue = partition.backlog.overdue(now).into_iter();
            late.extend(overdue.map(|(place, tries)| Ticket {
                partition: *number,
                place,
                tries,
            }));
        }
        for ticket in late {
            let within = self.group.answer_within;
            let reason = format!("it was not answered within {within:?}");
            self.hear(ticket, Answer::Failed(reason)).await?;
        }
        Ok(())
    }

    /// Puts an event where it belongs.
    fn read(&mut self, event: Option<Result<RecordedEvent>>) -> Result<()> {
        let event = event.ok_or(Error::Closed)??;
        let number = partition_of(&event.stream, self.group.partitions);
        if let Some(partition) = self.partitions.get_mut(&number)
            && !partition.leaving
        {
            partition.backlog.add(event.position, event);
        }
        self.note_looked_to();
        Ok(())
    }

    /// Each partition has been looked at up to where the subscription is.
    fn note_looked_to(&mut self) {
        let Some(live) = &self.live else { return };
        for (number, partition) in &mut self.partitions {
            if *number < self.group.partitions && !partition.leaving {
                partition.backlog.looked_to(live.position());
            }
        }
    }

    /// Sees who is there, takes and leaves partitions, and records how far all is done.
    async fn look(&mut self) -> Result<()> {
        self.look_at = Instant::now() + (self.group.lease / 10).clamp(LOOK.0, LOOK.1);
        let members = self.roster.look().await?;
        self.note_looked_to();
        if self.roster.has_entered() {
            // Others took this member to be gone, and may have its partitions.
            self.record().await?;
            self.partitions.clear();
            self.live = None;
        }
        self.share(&members).await?;
        self.record().await?;
        if let Some(parked) = self.partitions.get_mut(&self.group.partitions) {
            let key = &self.roster.key;
            let asked = self
                .parking
                .asked(&*self.checkpoints, key, &self.roster.origin);
            let (asked, after) = (asked.await?, parked.backlog.read_to());
            if asked > after && !parked.leaving && parked.backlog.len() == 0 {
                let (events, looked_to) = self.parking.parked(after, asked).await?;
                for (place, event) in events {
                    parked.backlog.add(place, event);
                }
                parked.backlog.looked_to(looked_to);
            }
        }
        Ok(())
    }

    /// Takes the partitions that are to be this member's, and leaves the others.
    async fn share(&mut self, members: &[Uuid]) -> Result<()> {
        let mut first_to_read = None;
        for number in 0..=self.group.partitions {
            let mine = owner(members, number) == Some(self.roster.me);
            if let Some(partition) = self.partitions.get_mut(&number) {
                // One that comes back before it has gone is begun anew: it has read no further.
                partition.leaving |= !mine;
                if partition.is_left() {
                    self.release(number).await;
                }
                continue;
            }
            if !mine {
                continue;
            }
            let key = format!("{}/{number}", self.roster.key);
            let clock = self.store.clock();
            // What is parked has places of its own.
            let after = if number < self.group.partitions {
                self.group.after
            } else {
                Position::START
            };
            let taken = Partition::take(&self.checkpoints, clock, (key, after), &mut self.roster);
            let Some(partition) = taken.await? else {
                continue;
            };
            if number < self.group.partitions {
                let position = partition.backlog.read_to();
                first_to_read =
                    Some(first_to_read.map_or(position, |one: Position| one.min(position)));
            }
            self.partitions.insert(number, partition);
        }
        let reads = self.live.as_ref().map(Subscription::position);
        let of_topic = self.partitions.range(..self.group.partitions);
        match (first_to_read, reads) {
            (Some(first), Some(reads)) if first >= reads => {}
            (None, Some(_)) => {}
            _ => {
                let all = of_topic.map(|(_, one)| one.backlog.read_to());
                if let Some(first) = all.min() {
                    let from = Subscribe::after(first).filter(self.group.filter.clone());
                    self.live = Some(self.store.subscribe(&self.topic, from).await?);
                }
            }
        }
        Ok(())
    }

    /// Records how far all is done. A partition that another one has by now is let go of.
    async fn record(&mut self) -> Result<()> {
        let mut lost = Vec::new();
        for (number, partition) in &mut self.partitions {
            match partition.record().await {
                Ok(()) => {}
                Err(Error::LeaseLost { .. } | Error::CheckpointConflict { .. }) => {
                    lost.push(*number)
                }
                Err(error) => return Err(error),
            }
        }
        for number in lost {
            self.partitions.remove(&number);
        }
        Ok(())
    }

    async fn release(&mut self, number: u32) {
        let Some(mut partition) = self.partitions.remove(&number) else {
            return;
        };
        let recorded = partition.record().await;
        let released = partition.lease.release().await;
        if let Err(error) = recorded.and(released) {
            tracing::warn!(group = %self.roster.key, number, %error, "partition not left in order");
        }
    }

    /// Records what was answered, and makes room for others.
    async fn leave(&mut self) {
        self.answers.close();
        while let Ok((ticket, answer)) = self.answers.try_recv() {
            if let Err(error) = self.hear(ticket, answer).await {
                tracing::warn!(group = %self.roster.key, %error, "answer not recorded");
            }
        }
        while let Some((number, _)) = self.partitions.first_key_value() {
            self.release(*number).await;
        }
        if let Err(error) = self.roster.leave().await {
            tracing::warn!(group = %self.roster.key, %error, "group not left in order");
        }
    }
}

/// Who is to have a partition.
fn owner(members: &[Uuid], partition: u32) -> Option<Uuid> {
    let at = (partition as usize).checked_rem(members.len())?;
    members.get(at).copied()
}

/// The pause after so many tries.
fn pause((first, longest): (Duration, Duration), tries: u32) -> Duration {
    let doubled = 1_u32.checked_shl(tries.saturating_sub(1).min(31));
    longest.min(first.saturating_mul(doubled.unwrap_or(u32::MAX)))
}
