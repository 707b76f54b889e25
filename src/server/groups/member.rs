//! This server as a member of one group: who asks for deliveries, and what is in clients' hands.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use futures_util::StreamExt;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until, timeout_at},
};
use uuid::Uuid;

use crate::{Delivery, Error, Member, RecordedEvent, Result};

/// How long more deliveries are gathered for one who has got one.
const GATHER: Duration = Duration::from_millis(5);
/// The shortest and longest time for which nobody asks, before the group is left.
const IDLE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What is asked of the member.
#[derive(Debug)]
pub(super) enum Request {
    Take(Taker),
    Answer {
        tokens: Vec<Uuid>,
        how: How,
        /// Which of the tokens were valid.
        reply: oneshot::Sender<Vec<bool>>,
    },
    Leave(oneshot::Sender<()>),
}

/// One who waits for deliveries.
#[derive(Debug)]
pub(super) struct Taker {
    pub(super) max: usize,
    pub(super) until: Instant,
    pub(super) reply: oneshot::Sender<Result<Vec<Taken>>>,
}

/// What came of a delivery.
#[derive(Clone, Debug)]
pub(super) enum How {
    Done,
    Failed(String),
    Park(String),
}

/// A delivery as it is handed out.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) token: Uuid,
    pub(super) attempt: u32,
    pub(super) event: RecordedEvent,
}

/// A member, and what is in clients' hands.
pub(super) struct Hands {
    member: Member,
    requests: mpsc::Receiver<Request>,
    takers: VecDeque<Taker>,
    out: HashMap<Uuid, (Delivery, Instant)>,
    answer_within: Duration,
    idle_since: Instant,
}

impl Hands {
    pub(super) fn new(
        member: Member,
        requests: mpsc::Receiver<Request>,
        answer_within: Duration,
    ) -> Self {
        Self {
            member,
            requests,
            takers: VecDeque::new(),
            out: HashMap::new(),
            answer_within,
            idle_since: Instant::now(),
        }
    }

    /// Works until it is told to leave, nobody has asked for a while, or the group ends.
    pub(super) async fn run(mut self) {
        let told = loop {
            self.prune();
            if self.takers.is_empty() && self.out.is_empty() && Instant::now() >= self.idle_until()
            {
                // Who asks from now on finds nobody, and has the group joined anew.
                self.requests.close();
                if self.requests.is_empty() {
                    break None;
                }
            }
            let wanted = !self.takers.is_empty();
            let alarm = self.alarm();
            tokio::select! {
                biased;
                request = self.requests.recv() => match request {
                    Some(Request::Leave(told)) => break Some(told),
                    Some(request) => self.hear(request),
                    None => break None,
                },
                () = sleep_until(alarm) => {}
                delivery = self.member.next(), if wanted => match delivery {
                    Some(Ok(delivery)) => match self.next_taker() {
                        Some(taker) => self.hand_out(taker, delivery).await,
                        None => delivery.untried(),
                    },
                    ended => {
                        let error = ended.and_then(Result::err).unwrap_or(Error::Closed);
                        self.refuse(error);
                        break None;
                    }
                },
            }
        };
        self.takers.clear();
        // It leaves before it lets go of what is in clients' hands: those tries have not failed.
        if let Err(error) = self.member.leave().await {
            tracing::warn!(%error, "group not left in order");
        }
        drop(told);
    }

    fn idle_until(&self) -> Instant {
        self.idle_since + self.answer_within.clamp(IDLE.0, IDLE.1)
    }

    fn alarm(&self) -> Instant {
        let takers = self.takers.iter().map(|taker| taker.until);
        let out = self.out.values().map(|(_, until)| *until);
        let next = takers.chain(out).min();
        next.unwrap_or_else(|| self.idle_until())
    }

    /// Lets go of those who have waited long enough, or have gone, and of deliveries that were not
    /// answered in time: the group delivers them again by itself.
    fn prune(&mut self) {
        let now = Instant::now();
        self.out.retain(|_, (_, until)| *until > now);
        for taker in std::mem::take(&mut self.takers) {
            if taker.reply.is_closed() {
                continue;
            }
            if taker.until > now {
                self.takers.push_back(taker);
            } else {
                drop(taker.reply.send(Ok(Vec::new())));
            }
        }
        if !self.takers.is_empty() || !self.out.is_empty() {
            self.idle_since = now;
        }
    }

    fn hear(&mut self, request: Request) {
        self.idle_since = Instant::now();
        match request {
            Request::Take(taker) => self.takers.push_back(taker),
            Request::Answer { tokens, how, reply } => {
                let answered = tokens.iter().map(|token| self.answer(*token, &how));
                let answered = answered.collect();
                drop(reply.send(answered));
            }
            Request::Leave(_) => {}
        }
    }

    fn answer(&mut self, token: Uuid, how: &How) -> bool {
        let Some((delivery, until)) = self.out.remove(&token) else {
            return false;
        };
        if until <= Instant::now() {
            return false;
        }
        match how {
            How::Done => delivery.done(),
            How::Failed(reason) => delivery.failed(reason.clone()),
            How::Park(reason) => delivery.park(reason.clone()),
        }
        true
    }

    /// The one who waits longest. Those who have hung up are passed over.
    fn next_taker(&mut self) -> Option<Taker> {
        loop {
            let taker = self.takers.pop_front()?;
            if !taker.reply.is_closed() {
                return Some(taker);
            }
        }
    }

    /// Gives him this delivery, and those that follow at once.
    async fn hand_out(&mut self, taker: Taker, first: Delivery) {
        // The group counts from a little later on: what is valid here is valid there.
        let until = Instant::now() + self.answer_within;
        let mut deliveries = vec![first];
        let end = Instant::now() + GATHER * 10;
        while deliveries.len() < taker.max {
            let wait = end.min(Instant::now() + GATHER);
            match timeout_at(wait, self.member.next()).await {
                Ok(Some(Ok(delivery))) => deliveries.push(delivery),
                // What has ended says so when it is asked next.
                Ok(_) | Err(_) => break,
            }
        }
        let mut taken = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            let token = Uuid::new_v4();
            taken.push(Taken {
                token,
                attempt: delivery.attempt(),
                event: delivery.event().clone(),
            });
            self.out.insert(token, (delivery, until));
        }
        if let Err(Ok(untaken)) = taker.reply.send(Ok(taken)) {
            // He has hung up meanwhile, and has seen none of them.
            for one in untaken {
                if let Some((delivery, _)) = self.out.remove(&one.token) {
                    delivery.untried();
                }
            }
        }
    }

    fn refuse(&mut self, error: Error) {
        tracing::warn!(%error, "group ended");
        if let Some(taker) = self.takers.pop_front() {
            drop(taker.reply.send(Err(error)));
        }
    }
}
