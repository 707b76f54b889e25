//! One live subscriber: where it is, and what it is sent next.

use std::{collections::VecDeque, io, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

use super::{
    flight::Flight,
    hub::{Ended, Hub, Next},
    message,
    query::LiveQuery,
    ring::{BLOCK, Found},
};
use crate::{
    EventStore, Position, Signal, Signals,
    server::{
        access::{Action, Caller},
        operations::Follower,
        problem::Problem,
        state::App,
    },
};

/// How many bytes may wait to be written to a subscriber's socket before it is given more.
const IN_FLIGHT: u64 = BLOCK as u64;
/// The longest piece that a connection is given.
const PIECE: usize = 64 * 1024;
/// How often it is looked at the least whether the caller may still read, and whether it reads.
const LOOK: Duration = Duration::from_secs(15);
/// How long a server that stops waits for what a subscriber was given last to be taken.
const LAST: Duration = Duration::from_secs(2);

/// A live subscriber.
pub(super) struct Client {
    store: EventStore,
    stopping: watch::Receiver<bool>,
    caller: Caller,
    topic: String,
    query: LiveQuery,
    /// All that is asked for up to here is in `ready` or was sent.
    position: Position,
    hub: Arc<Hub>,
    changed: watch::Receiver<()>,
    /// The subscriber's own reading of the store; none where it is sent what the hub has.
    history: Option<Signals>,
    /// Whether it was told that it has caught up; none where it was told nothing.
    told: Option<bool>,
    /// What is to be handed to the connection.
    ready: VecDeque<Bytes>,
    flight: Arc<Flight>,
    watch: Watch,
    /// Shows in the metrics how far it is.
    follower: Follower,
    ended: bool,
}

/// What is looked at again and again.
struct Watch {
    heartbeat: Duration,
    write_timeout: Duration,
    due: Instant,
    last_sent: Instant,
    /// How much was written, and since when it is no more.
    written: (u64, Instant),
}

/// What a subscriber waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    /// The connection to write what it has.
    Room,
    /// The hub, and the store that is read meanwhile.
    History,
    /// The hub.
    Hub,
}

/// What ends a subscriber's waiting.
#[expect(clippy::large_enum_variant, reason = "nearly all of them are events")]
enum Woken {
    Freed,
    Changed,
    Signal(Option<crate::Result<Signal>>),
    Due,
    Stopping,
}

impl Client {
    /// Begins where the query says.
    pub(super) async fn begin(
        app: &App,
        caller: Caller,
        topic: String,
        query: LiveQuery,
    ) -> Result<Self, Problem> {
        let from = || query.subscribe(query.after);
        let (hub, live) = app.live.join(&app.store, &topic, from).await?;
        let now = Instant::now();
        let (heartbeat, write_timeout) = (app.config.live_heartbeat, app.config.live_write_timeout);
        let position = live.position();
        let follower = app.metrics.follows("live", "", &topic, position.get());
        let mut client = Self {
            store: app.store.clone(),
            stopping: app.stopping.subscribe(),
            caller,
            topic,
            query,
            position,
            changed: hub.changed(),
            hub,
            history: Some(live.signals()),
            told: None,
            ready: VecDeque::from([message::hello()]),
            flight: Arc::default(),
            watch: Watch {
                heartbeat,
                write_timeout,
                due: now + looks(heartbeat, write_timeout),
                last_sent: now,
                written: (0, now),
            },
            follower,
            ended: false,
        };
        client.enter();
        Ok(client)
    }

    /// The next bytes to send; nothing at the end, and an error where the connection is to be cut.
    pub(super) async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            if self.ended && self.ready.is_empty() {
                return self.last().await;
            }
            if Instant::now() >= self.watch.due
                && let Err(stuck) = self.look()
            {
                self.ended = true;
                self.ready.clear();
                return Some(Err(stuck));
            }
            if self.flight.waiting() >= IN_FLIGHT {
                if matches!(self.wait(For::Room).await, Woken::Stopping) {
                    self.stop();
                    return self.last().await;
                }
                continue;
            }
            if let Some(piece) = self.piece() {
                self.watch.last_sent = Instant::now();
                return Some(Ok(self.flight.send(piece)));
            }
            self.prepare().await;
        }
    }

    /// The end. A server that stops does not wait for who does not read.
    async fn last(&mut self) -> Option<io::Result<Bytes>> {
        if !*self.stopping.borrow() {
            return None;
        }
        let written = async {
            while self.flight.waiting() > 0 {
                self.flight.freed().await;
            }
        };
        match timeout(LAST, written).await {
            Ok(()) => None,
            Err(_) => Some(Err(stuck())),
        }
    }

    fn piece(&mut self) -> Option<Bytes> {
        let mut next = self.ready.pop_front()?;
        if next.len() > PIECE {
            let rest = next.split_off(PIECE);
            self.ready.push_front(rest);
        }
        Some(next)
    }

    /// Finds what is to be sent next, or waits.
    async fn prepare(&mut self) {
        if self.history.is_some() {
            match self.wait(For::History).await {
                Woken::Signal(signal) => self.read(signal),
                Woken::Stopping => self.stop(),
                Woken::Freed | Woken::Changed | Woken::Due => {}
            }
            return self.enter();
        }
        self.changed.borrow_and_update();
        match self.hub.next(self.position) {
            Next::Found(Found::Block(block)) => {
                let messages = block.messages(self.position, &self.query);
                self.position = block.to;
                self.give(messages);
            }
            Next::Found(Found::Gone) => self.fall_back().await,
            Next::Ended(ended) => self.end(ended.reason, &ended.detail),
            Next::Found(Found::Nothing) => {}
            Next::Wait { caught_up } => {
                // One that is told nothing yet waits to hear that it has caught up.
                let news = self.told != Some(caught_up) && (caught_up || self.told.is_some());
                if news {
                    self.tell(caught_up);
                } else if matches!(self.wait(For::Hub).await, Woken::Stopping) {
                    self.stop();
                }
            }
        }
    }

    /// Waits until something happens.
    async fn wait(&mut self, what: For) -> Woken {
        let history = self.history.as_mut().filter(|_| what == For::History);
        let signal = async {
            match history {
                Some(history) => history.next().await,
                None => std::future::pending().await,
            }
        };
        let stopping = async {
            // Where the server is gone, so is the reason to go on.
            self.stopping.wait_for(|stopping| *stopping).await.is_ok()
        };
        tokio::select! {
            biased;
            _ = stopping => Woken::Stopping,
            () = sleep_until(self.watch.due) => Woken::Due,
            () = self.flight.freed(), if what == For::Room => Woken::Freed,
            signal = signal => Woken::Signal(signal),
            changed = self.changed.changed(), if what != For::Room => match changed {
                Ok(()) => Woken::Changed,
                Err(_) => Woken::Stopping,
            },
        }
    }

    /// Takes what the store has given, and what it can give at once.
    fn read(&mut self, first: Option<crate::Result<Signal>>) {
        let mut out = Vec::new();
        let mut next = Some(first);
        while let Some(signal) = next.take() {
            match signal {
                Some(Ok(Signal::Event(event))) => {
                    message::write(&mut out, &event);
                    self.position = event.position;
                }
                Some(Ok(Signal::CaughtUp(position) | Signal::FellBehind(position))) => {
                    // The hub tells: it may have more, or less, by now.
                    self.position = self.position.max(position);
                    break;
                }
                Some(Err(error)) => {
                    self.give(Bytes::from(std::mem::take(&mut out)));
                    let Ended { reason, detail } = Ended::from(&error);
                    return self.end(reason, &detail);
                }
                None => {
                    self.ended = true;
                    break;
                }
            }
            if out.len() < BLOCK
                && let Some(history) = &mut self.history
            {
                next = history.next().now_or_never();
            }
        }
        self.give(Bytes::from(out));
    }

    /// Goes over to the hub, where it has what comes next.
    fn enter(&mut self) {
        if self.history.is_some() && self.hub.reaches(self.position) {
            self.history = None;
        }
    }

    /// The hub has what comes next no more: it was too slow.
    async fn fall_back(&mut self) {
        let from = self.query.subscribe(Some(self.position));
        let live = match self.hub.subscribe(&self.store, from).await {
            Ok(live) => live,
            Err(error) if error.is_retryable() => {
                // The hub is as well without it, and waits.
                self.tell(false);
                if matches!(self.wait(For::Hub).await, Woken::Stopping) {
                    self.stop();
                }
                return;
            }
            Err(error) => {
                let Ended { reason, detail } = Ended::from(&error);
                return self.end(reason, &detail);
            }
        };
        self.history = Some(live.signals());
        self.tell(false);
    }

    fn tell(&mut self, caught_up: bool) {
        if self.told == Some(caught_up) {
            return;
        }
        self.told = Some(caught_up);
        self.give(if caught_up {
            message::caught_up(self.position)
        } else {
            message::behind(self.position)
        });
    }

    /// The server stops. What is not handed out yet is for another time.
    fn stop(&mut self) {
        self.ready.clear();
        self.ended = true;
    }

    fn end(&mut self, reason: &str, detail: &str) {
        self.give(message::ended(self.position, reason, detail));
        self.ended = true;
    }

    fn give(&mut self, bytes: Bytes) {
        self.follower.at(self.position.get());
        if !bytes.is_empty() {
            self.ready.push_back(bytes);
        }
    }

    /// Looks whether the caller may still read, and does; and keeps the connection alive.
    fn look(&mut self) -> io::Result<()> {
        let now = Instant::now();
        let (written, since) = self.watch.written;
        if self.flight.waiting() == 0 || self.flight.written() != written {
            self.watch.written = (self.flight.written(), now);
        } else if now.duration_since(since) >= self.watch.write_timeout {
            return Err(stuck());
        }
        if !self.ended && !self.caller.still_may(Action::Read, &self.topic) {
            self.end("forbidden", "the permission to read was taken back");
        }
        if self.flight.waiting() == 0 && now >= self.watch.last_sent + self.watch.heartbeat {
            self.give(message::heartbeat(self.position));
            self.watch.last_sent = now;
        }
        let looks = LOOK
            .min(self.watch.heartbeat)
            .min(self.watch.write_timeout / 2);
        self.watch.due =
            (self.watch.last_sent + self.watch.heartbeat).clamp(now + looks / 4, now + looks);
        Ok(())
    }
}

/// How often it is looked.
fn looks(heartbeat: Duration, write_timeout: Duration) -> Duration {
    LOOK.min(heartbeat).min(write_timeout / 2)
}

fn stuck() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the subscriber reads nothing")
}
