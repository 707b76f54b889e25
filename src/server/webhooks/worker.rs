//! Who sends the events of one webhook.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
    time::Duration,
};

use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::{sync::watch, time::sleep};

use super::{
    configure,
    definition::Definition,
    sender::{Letter, Outcome, Sender},
};
use crate::{Clock, Delivery, Error, EventStore, Member, SystemClock, Timestamp, Version};

/// The first and the longest pause before a group that could not be joined is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// The longest time that is added to a pause by chance.
const JITTER: Duration = Duration::from_secs(5);

/// Who sends the events of one webhook.
pub(super) struct Worker {
    pub(super) store: EventStore,
    pub(super) name: String,
    pub(super) definition: Definition,
    pub(super) version: Version,
    pub(super) sender: Result<Arc<Sender>, String>,
    pub(super) report: Arc<Mutex<Report>>,
    pub(super) stop: watch::Receiver<bool>,
}

/// What is known of the deliveries since the server has started.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    pub(super) delivered: u64,
    pub(super) failed: u64,
    pub(super) last_delivery: Option<Timestamp>,
    /// Why the last try failed; none after one that did not.
    pub(super) problem: Option<String>,
}

impl Worker {
    pub(super) async fn run(mut self) {
        if self.definition.paused.is_some() {
            return;
        }
        let sender = match &self.sender {
            Ok(sender) => Arc::clone(sender),
            Err(error) => {
                self.report.lock().problem = Some(format!("nothing can be sent: {error}"));
                return;
            }
        };
        let mut pause = RETRY.0;
        loop {
            match self.send(&sender, &mut pause).await {
                Ok(()) => return,
                Err(problem) => self.report.lock().problem = Some(problem),
            }
            tokio::select! {
                () = sleep(pause) => {}
                _ = self.stop.wait_for(|stop| *stop) => return,
            }
            pause = RETRY.1.min(pause * 2);
        }
    }

    /// Sends until it is to stop. What is not answered then is sent again another time.
    async fn send(&mut self, sender: &Sender, pause: &mut Duration) -> Result<(), String> {
        let group = self.definition.group(&self.name);
        let group = group.map_err(|_| "its filter cannot be read".to_owned())?;
        let joined = self.store.join(&self.definition.topic, group).await;
        let mut member = joined.map_err(|error| error.to_string())?;
        *pause = RETRY.0;
        let mut stop = self.stop.clone();
        loop {
            let given = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                given = member.next() => given,
            };
            let delivery = match given {
                Some(Ok(delivery)) => delivery,
                ended => {
                    let error = ended.and_then(Result::err).unwrap_or(Error::Closed);
                    return Err(error.to_string());
                }
            };
            let outcome = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => None,
                outcome = self.post(sender, &delivery) => Some(outcome),
            };
            let left = match outcome {
                Some(outcome) => self.answer(delivery, outcome).await,
                None => Some(delivery),
            };
            if let Some(delivery) = left {
                // The member leaves before: this was no try that has failed.
                self.leave(member).await;
                drop(delivery);
                return Ok(());
            }
        }
        self.leave(member).await;
        Ok(())
    }

    async fn leave(&self, member: Member) {
        if let Err(error) = member.leave().await {
            tracing::warn!(webhook = self.name, %error, "webhook not left in order");
        }
    }

    async fn post(&self, sender: &Sender, delivery: &Delivery) -> Outcome {
        if delivery.attempt() > 1 {
            sleep(jitter(self.definition.backoff.longest.0.min(JITTER))).await;
        }
        let letter = Letter {
            webhook: &self.name,
            url: &self.definition.url,
            secret: self.definition.secret.as_deref(),
            timeout: self.definition.timeout.0,
            event: delivery.event(),
            attempt: delivery.attempt(),
        };
        sender.send(letter).await
    }

    /// Answers a delivery. One that comes back is not answered, and the webhook sends no more.
    async fn answer(&self, delivery: Delivery, outcome: Outcome) -> Option<Delivery> {
        match outcome {
            Outcome::Done => {
                let mut report = self.report.lock();
                report.delivered += 1;
                report.last_delivery = Some(SystemClock.now());
                report.problem = None;
                delivery.done();
                None
            }
            Outcome::Failed(reason) => {
                let position = delivery.event().position;
                tracing::info!(webhook = self.name, %position, reason, "delivery failed");
                let mut report = self.report.lock();
                report.failed += 1;
                report.problem = Some(reason.clone());
                delivery.failed(reason);
                None
            }
            Outcome::Gone => {
                let why = "the receiver has answered 410: it wants no more";
                let now = (&self.definition, self.version);
                let paused = configure::set_paused(&self.store, &self.name, now, Some(why));
                if let Err(error) = paused.await {
                    delivery.failed(format!("410, and the pause was not recorded: {error}"));
                    return None;
                }
                Some(delivery)
            }
        }
    }
}

/// A time up to a quarter of a pause, by chance.
fn jitter(pause: Duration) -> Duration {
    // The keys of every new state are random.
    let chance = RandomState::new().build_hasher().finish() % 1000;
    pause * u32::try_from(chance).unwrap_or_default() / 4000
}
