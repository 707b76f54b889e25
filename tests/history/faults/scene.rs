//! A history that is to be spoilt, and how places for faults are found in it.

use annals::{RecordedEvent, STREAM_DELETED};
use uuid::Uuid;

use crate::{
    history::{
        Entry, Logs,
        record::{
            AppendAnswer, AppendCall, Ask, Call, Event, ReadAnswer, ReadCall, Receipt, Refusal,
            Seen, SubscriptionCall,
        },
    },
    model::{Random, recorded},
};

/// A history that is to be spoilt, in its topic `t`.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) entries: Vec<Entry>,
    pub(crate) logs: Logs,
    pub(crate) random: Random,
}

impl Scene {
    pub(super) fn log(&mut self) -> &mut Vec<RecordedEvent> {
        self.logs.get_mut("t").unwrap()
    }

    pub(super) fn event(&self, position: u64) -> &RecordedEvent {
        &self.logs["t"][usize::try_from(position).unwrap() - 1]
    }

    pub(super) fn head(&self) -> u64 {
        self.logs["t"].len() as u64
    }

    /// One of the calls of which `of` gives something.
    pub(super) fn pick<T>(
        &mut self,
        of: impl Fn(&Self, &Entry) -> Option<T>,
    ) -> Option<(usize, T)> {
        let calls = self.entries.iter().enumerate();
        let calls = calls.filter(|(_, entry)| entry.topic == "t");
        let mut found: Vec<_> = calls
            .filter_map(|(index, entry)| of(self, entry).map(|what| (index, what)))
            .collect();
        let index = self.random.below(found.len() as u64);
        (!found.is_empty()).then(|| found.swap_remove(usize::try_from(index).unwrap()))
    }

    pub(super) fn append(&mut self, index: usize) -> &mut AppendCall {
        match &mut self.entries[index].call {
            Call::Append(call) => call,
            other => panic!("{other:?} is no append"),
        }
    }

    pub(super) fn read(&mut self, index: usize) -> &mut ReadCall {
        match &mut self.entries[index].call {
            Call::Read(call) => call,
            other => panic!("{other:?} is no read"),
        }
    }

    pub(super) fn live(&mut self, index: usize) -> &mut SubscriptionCall {
        match &mut self.entries[index].call {
            Call::Subscription(call) => call,
            other => panic!("{other:?} is no subscription"),
        }
    }

    /// An append that was recorded when it was called, and of which `when` holds.
    pub(super) fn recorded(
        &mut self,
        when: impl Fn(&Self, &Entry, &AppendCall, Receipt) -> bool,
    ) -> Option<(usize, Receipt)> {
        self.pick(|scene, entry| match &entry.call {
            Call::Append(call) => match call.answer {
                AppendAnswer::Recorded(receipt) if when(scene, entry, call, receipt) => {
                    Some(receipt)
                }
                _ => None,
            },
            _ => None,
        })
    }

    pub(super) fn refused(
        &mut self,
        when: impl Fn(&Self, &AppendCall, &Refusal) -> bool,
    ) -> Option<usize> {
        let found = self.pick(|scene, entry| match &entry.call {
            Call::Append(call) => match &call.answer {
                AppendAnswer::Refused(refusal) if when(scene, call, refusal) => Some(()),
                _ => None,
            },
            _ => None,
        });
        found.map(|(index, ())| index)
    }

    /// An append that was told nothing, of which `when` holds.
    pub(super) fn unknown(&mut self, when: impl Fn(&Self, &AppendCall) -> bool) -> Option<usize> {
        let found = self.pick(|scene, entry| match &entry.call {
            Call::Append(call) if call.answer == AppendAnswer::Unknown => {
                when(scene, call).then_some(())
            }
            _ => None,
        });
        found.map(|(index, ())| index)
    }

    pub(super) fn duplicate(&mut self) -> Option<(usize, Receipt)> {
        self.pick(|_, entry| match &entry.call {
            Call::Append(call) => match call.answer {
                AppendAnswer::Duplicate(receipt) => Some(receipt),
                _ => None,
            },
            _ => None,
        })
    }

    /// A read that came to its end and gave so many events, of which `when` holds.
    pub(super) fn ended(
        &mut self,
        least: usize,
        when: impl Fn(&Self, &Entry, &ReadCall) -> bool,
    ) -> Option<usize> {
        let found = self.pick(|scene, entry| match &entry.call {
            Call::Read(call) if call.answer == ReadAnswer::Ended && call.seen.len() >= least => {
                when(scene, entry, call).then_some(())
            }
            _ => None,
        });
        found.map(|(index, ())| index)
    }

    pub(super) fn following(
        &mut self,
        least: usize,
        when: impl Fn(&Self, &Entry, &SubscriptionCall) -> bool,
    ) -> Option<usize> {
        let found = self.pick(|scene, entry| match &entry.call {
            Call::Subscription(call) if call.delivered.len() >= least => {
                when(scene, entry, call).then_some(())
            }
            _ => None,
        });
        found.map(|(index, ())| index)
    }

    /// How many calls have an event with this id.
    pub(super) fn attempts(&self, id: Uuid) -> usize {
        let calls = self.entries.iter().filter_map(|entry| match &entry.call {
            Call::Append(call) => Some(call),
            _ => None,
        });
        calls
            .filter(|call| call.events.iter().any(|event| event.id == id))
            .count()
    }

    pub(super) fn place_of(&self, id: Uuid) -> Option<u64> {
        let found = self.logs["t"].iter().position(|event| event.id == id);
        found.map(|index| index as u64 + 1)
    }

    pub(super) fn is_there(&self, id: Uuid) -> bool {
        self.place_of(id).is_some()
    }

    pub(super) fn somewhere(&mut self) -> Option<usize> {
        let bound = self.head();
        (bound > 0).then(|| usize::try_from(self.random.below(bound)).unwrap())
    }

    /// Writes an event to the end of the log.
    pub(super) fn write(&mut self, event: &Event) {
        let log = &self.logs["t"];
        let own = log.iter().filter(|one| one.stream.as_str() == event.stream);
        let version = own.count() as u64 + 1;
        let time = log.last().map_or(0, |last| last.recorded_at.as_micros());
        let now = u64::try_from(time).unwrap() * 100;
        let event = recorded("t", event, (self.head() + 1, version), now);
        self.log().push(event);
    }

    pub(super) fn write_all(&mut self, index: usize) -> Receipt {
        let call = self.append(index).clone();
        let first = self.head() + 1;
        call.events.iter().for_each(|event| self.write(event));
        let log = self.logs["t"].iter();
        let own = log.filter(|event| event.stream.as_str() == call.stream);
        Receipt {
            first,
            last: self.head(),
            version: own.count() as u64,
        }
    }

    /// Gives all events the positions and versions of where they are.
    pub(super) fn renumber(&mut self) {
        let mut versions = std::collections::HashMap::new();
        for (event, position) in self.log().iter_mut().zip(1_u64..) {
            let version = versions.entry(event.stream.clone()).or_insert(0_u64);
            *version += 1;
            event.version = (*version).into();
            event.position = position.into();
        }
    }

    /// A note of one more client.
    pub(super) fn note(&mut self, (begin, end): (u64, u64), call: Call) {
        self.entries.push(Entry {
            process: 9,
            client: 9,
            op: self.entries.len() as u64,
            topic: "t".to_owned(),
            begin,
            end,
            call,
        });
    }

    pub(super) fn read_all(&mut self, times: (u64, u64), after: u64, up_to: u64) {
        let seen = (after + 1..=up_to)
            .map(|place| Seen::of(self.event(place)))
            .collect();
        let call = ReadCall {
            ask: Ask {
                after,
                ..Ask::all()
            },
            seen,
            looked_to: None,
            answer: ReadAnswer::Ended,
        };
        self.note(times, Call::Read(call));
    }

    pub(super) fn version(&self, stream: &str) -> u64 {
        let log = self.logs["t"].iter();
        log.filter(|event| event.stream.as_str() == stream).count() as u64
    }

    pub(super) fn begin_of(&self, position: u64) -> Option<u64> {
        let id = self.event(position).id;
        let begins = self.entries.iter().filter_map(|entry| match &entry.call {
            Call::Append(call) if call.events.iter().any(|event| event.id == id) => {
                Some(entry.begin)
            }
            _ => None,
        });
        begins.min()
    }

    pub(super) fn moved_after(&self, moment: u64) -> bool {
        let mut entries = self.entries.iter().filter(|entry| entry.topic == "t");
        entries.any(|other| matches!(other.call, Call::Move(_)) && other.end > moment)
    }

    /// A stream that is deleted in the end, and a moment at which that is known.
    pub(super) fn deleted_for_good(&self) -> Option<(String, u64)> {
        let calls = self.entries.iter().filter(|entry| entry.topic == "t");
        let head = calls.filter_map(|entry| match entry.call {
            Call::Head(head) => head,
            _ => None,
        });
        let known = head.max()?;
        let mut deleted = std::collections::BTreeMap::new();
        for event in &self.logs["t"] {
            deleted.insert(
                event.stream.as_str(),
                (event.event_type == STREAM_DELETED, event),
            );
        }
        let mut deleted = deleted.into_iter();
        let (stream, _) = deleted.find(|(_, (is, event))| *is && event.position.get() <= known)?;
        Some((stream.to_owned(), self.after_all()?))
    }

    /// A moment after all calls.
    pub(super) fn after_all(&self) -> Option<u64> {
        self.entries
            .iter()
            .map(|entry| entry.end)
            .max()
            .map(|end| end + 1)
    }

    pub(super) fn was_deleted(&self, stream: &str) -> bool {
        let mut log = self.logs["t"].iter();
        log.any(|event| event.stream.as_str() == stream && event.event_type.is_reserved())
    }
}

pub(super) fn new_event(scene: &mut Scene, stream: &str) -> Event {
    Event {
        id: Uuid::from_u64_pair(scene.random.below(u64::MAX), 7),
        stream: stream.to_owned(),
        event_type: "New".to_owned(),
        payload: Vec::new(),
        content_type: "application/json".to_owned(),
        metadata: Vec::new(),
        tags: Vec::new(),
    }
}

/// A moment at which an append was acknowledged.
pub(super) fn moment(scene: &mut Scene) -> Option<(u64, Receipt)> {
    let (index, receipt) = scene.recorded(|_, _, _, _| true)?;
    Some((scene.entries[index].end + 1, receipt))
}
