//! Right histories, made from a seed: a store so simple that it is right, and clients whose calls
//! overlap. Of a call it is known when it begins, when it takes effect, at one moment, and when it
//! ends.

mod draw;
mod store;

use std::collections::HashMap;

use crate::history::{
    Entry, Logs,
    client::event_filter,
    record::{
        AppendAnswer, AppendCall, Call, Delivery, MoveAnswer, Refusal, Seen, Start, StateCall,
        SubscriptionCall,
    },
};
use store::{Store, refused};

pub(crate) use crate::history::random::Random;
pub(crate) use store::recorded;

/// A history of two topics, each of about so many calls.
pub(crate) fn history(seed: u64, calls: usize) -> (Vec<Entry>, Logs) {
    let mut entries = Vec::new();
    let mut logs = Logs::new();
    for (topic, process) in [("t", 1), ("u", 2)] {
        let mut world = World::new(topic, process, seed * 2 + u64::from(process));
        world.run(calls);
        entries.extend(world.entries);
        logs.insert(topic.to_owned(), world.store.log);
    }
    (entries, logs)
}

/// What a client is at.
#[derive(Debug)]
enum Phase {
    Idle,
    Begun(Entry),
    Effected(Entry),
}

#[derive(Debug)]
struct World {
    store: Store,
    random: Random,
    now: u64,
    process: u32,
    ops: u64,
    moving: usize,
    clients: Vec<Phase>,
    /// Calls of which nobody knows whether they will take effect yet.
    ghosts: Vec<Call>,
    tried: Vec<AppendCall>,
    entries: Vec<Entry>,
}

impl World {
    fn new(topic: &str, process: u32, seed: u64) -> Self {
        let store = Store {
            topic: topic.to_owned(),
            log: Vec::new(),
            ids: HashMap::new(),
            streams: HashMap::new(),
        };
        Self {
            store,
            random: Random(seed),
            now: 0,
            process,
            ops: 0,
            moving: 0,
            clients: (0..8).map(|_| Phase::Idle).collect(),
            ghosts: Vec::new(),
            tried: Vec::new(),
            entries: Vec::new(),
        }
    }

    fn run(&mut self, calls: usize) {
        while self.entries.len() < calls {
            self.step(true);
        }
        while self
            .clients
            .iter()
            .any(|phase| !matches!(phase, Phase::Idle))
        {
            self.step(false);
        }
    }

    /// One client goes on by one step.
    fn step(&mut self, begin: bool) {
        self.now += 1 + self.random.below(40);
        if self.random.one_in(8) && !self.ghosts.is_empty() {
            let index = self.random.below(self.ghosts.len() as u64);
            let ghost = self.ghosts.swap_remove(usize::try_from(index).unwrap());
            self.haunt(&ghost);
        }
        let index = self.random.below(self.clients.len() as u64);
        let client = usize::try_from(index).unwrap();
        let phase = std::mem::replace(&mut self.clients[client], Phase::Idle);
        self.clients[client] = match phase {
            Phase::Idle if begin => Phase::Begun(self.begin(u32::try_from(client).unwrap())),
            Phase::Idle => Phase::Idle,
            Phase::Begun(entry) => self.effect(entry),
            Phase::Effected(entry) => {
                self.end(entry);
                Phase::Idle
            }
        };
    }

    fn begin(&mut self, client: u32) -> Entry {
        self.ops += 1;
        let call = match self.random.below(100) {
            0..55 => Call::Append(self.draw_append()),
            55..60 => Call::Change(self.draw_change()),
            60..84 => Call::Read(self.draw_read()),
            84..89 => Call::Head(None),
            89..95 => Call::State(StateCall {
                stream: self.stream(),
                answer: None,
            }),
            95..99 => Call::Subscription(self.draw_subscription()),
            _ => Call::Move(MoveAnswer::Moved),
        };
        Entry {
            process: self.process,
            client,
            op: self.ops,
            topic: self.store.topic.clone(),
            begin: self.now,
            end: 0,
            call,
        }
    }

    /// What a call that was given up does nevertheless.
    fn haunt(&mut self, ghost: &Call) {
        match ghost {
            Call::Append(call) => {
                self.store.append(call, self.now);
            }
            Call::Change(call) => {
                let id = self.random.id();
                self.store.change(call, id, self.now);
            }
            _ => {}
        }
    }

    fn effect(&mut self, mut entry: Entry) -> Phase {
        let unknown = self.random.one_in(20);
        let ghost = unknown && self.random.one_in(2);
        match &mut entry.call {
            call @ (Call::Append(_) | Call::Change(_)) if unknown => {
                if ghost {
                    self.ghosts.push(call.clone());
                }
            }
            Call::Append(call) => {
                call.answer = if self.moving > 0 && self.random.one_in(2) {
                    refused(Refusal::Sealed)
                } else if self.random.one_in(50) {
                    refused(Refusal::Other("unavailable".to_owned()))
                } else {
                    self.store.append(call, self.now)
                };
            }
            Call::Change(call) => {
                let id = self.random.id();
                call.answer = self.store.change(call, id, self.now);
            }
            Call::Read(call) => self.store.read(call),
            Call::Head(head) => *head = Some(self.store.head()),
            Call::State(call) => call.answer = Some(self.store.state(&call.stream)),
            Call::Subscription(call) => {
                if !self.deliver(call) {
                    return Phase::Begun(entry);
                }
            }
            Call::Move(_) => self.moving += 1,
        }
        Phase::Effected(entry)
    }

    /// Goes on with a subscription; tells whether it ends.
    fn deliver(&mut self, call: &mut SubscriptionCall) -> bool {
        if call.started == 0 {
            call.started = self.now + 1;
            if call.start == Start::Now {
                call.position = self.store.head();
            }
            return false;
        }
        let filter = event_filter(&call.filter);
        let events = self.store.log.iter();
        let later = events.skip(usize::try_from(call.position).unwrap());
        for event in later.take(usize::try_from(self.random.below(30)).unwrap()) {
            call.position = event.position.get();
            let stream = call.stream.as_deref();
            let own = stream.is_none_or(|stream| event.stream.as_str() == stream);
            if own && filter.matches(event) {
                call.delivered.push(Delivery {
                    at: self.now,
                    seen: Seen::of(event),
                });
            }
        }
        self.random.one_in(12)
    }

    fn end(&mut self, mut entry: Entry) {
        entry.end = self.now;
        match &entry.call {
            Call::Append(call) => {
                self.tried.push(AppendCall {
                    answer: AppendAnswer::Unknown,
                    ..call.clone()
                });
                if self.tried.len() > 40 {
                    self.tried.remove(0);
                }
            }
            Call::Move(_) => self.moving -= 1,
            _ => {}
        }
        self.entries.push(entry);
    }
}
