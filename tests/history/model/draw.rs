//! What clients call, by random.

use crate::history::record::{
    AppendAnswer, AppendCall, Ask, Change, ChangeAnswer, ChangeCall, Event, Expected, Filter,
    ReadAnswer, ReadCall, Start, SubscriptionCall, Unless, keyed_id,
};

use super::World;

impl World {
    /// One of some streams; later on they are others, so that they do not grow for ever.
    pub(super) fn stream(&mut self) -> String {
        let group = self.store.head() / 200;
        match self.random.below(9) {
            0 if group == 0 => String::new(),
            number => format!("s-{group}-{number}"),
        }
    }

    fn filter(&mut self) -> Filter {
        let tag = format!("seat:{}", self.random.below(12));
        let event_type = self.event_type();
        let mut filter = match self.random.below(5) {
            0 => Filter::of_type(&event_type),
            1 => Filter::all(),
            2 => {
                let mut filter = Filter::tag(&tag);
                filter.0.extend(Filter::of_type(&event_type).0);
                filter
            }
            _ => Filter::tag(&tag),
        };
        if self.random.one_in(6) {
            filter.0[0].stream_prefix = Some("s-".to_owned());
            filter.0[0].since = Some(5);
        }
        filter
    }

    fn event_type(&mut self) -> String {
        format!("Type{}", self.random.below(4))
    }

    fn event(&mut self, stream: &str) -> Event {
        let tags = (0..self.random.below(3)).map(|_| format!("seat:{}", self.random.below(12)));
        let tags = tags.collect();
        let id = self.random.id();
        Event {
            id,
            stream: stream.to_owned(),
            event_type: self.event_type(),
            payload: id.as_bytes()[..8].to_vec(),
            content_type: "application/json".to_owned(),
            metadata: b"{}"[..usize::from(id.as_bytes()[0] % 2) * 2].to_vec(),
            tags,
        }
    }

    fn expected(&mut self, stream: &str) -> Expected {
        match self.random.below(8) {
            0 | 1 => Expected::Any,
            2 => Expected::NoStream,
            3 => Expected::StreamExists,
            _ => Expected::Exact(self.store.state(stream).version),
        }
    }

    pub(super) fn draw_append(&mut self) -> AppendCall {
        if self.random.one_in(7)
            && let Some(tried) = self.random.pick(&self.tried).cloned()
        {
            return self.again(tried);
        }
        let stream = self.stream();
        let mut events: Vec<_> = (0..=self.random.below(4))
            .map(|_| {
                let other = self.random.one_in(8).then(|| self.stream());
                self.event(other.as_ref().unwrap_or(&stream))
            })
            .collect();
        let key = self.random.one_in(6).then(|| self.random.id().to_string());
        if let Some(key) = &key {
            for (event, index) in events.iter_mut().zip(0..) {
                event.id = keyed_id(key, index);
            }
        }
        let unless = self.random.one_in(4).then(|| Unless {
            filter: self.filter(),
            after: self.store.head().saturating_sub(self.random.below(12)),
        });
        AppendCall {
            expected: self.expected(&stream),
            stream,
            unless,
            events,
            key,
            answer: AppendAnswer::Unknown,
        }
    }

    /// The same append again, whatever it expects, or one that is nearly the same.
    fn again(&mut self, mut call: AppendCall) -> AppendCall {
        call.expected = self.expected(&call.stream.clone());
        match self.random.below(12) {
            0 => call.events[0].payload = b"altered".to_vec(),
            1 if call.key.is_none() => {
                let stream = call.stream.clone();
                call.events.push(self.event(&stream));
            }
            2 if call.events.len() > 1 => {
                call.events.pop();
            }
            3 if call.events.len() > 1 && call.key.is_none() => {
                call.events.remove(0);
            }
            _ => {}
        }
        call
    }

    pub(super) fn draw_change(&mut self) -> ChangeCall {
        let deleted = self
            .store
            .streams
            .iter()
            .filter(|(_, known)| known.0.deleted);
        let mut deleted: Vec<_> = deleted.map(|(stream, _)| stream.clone()).collect();
        deleted.sort();
        let restored = self.random.pick(&deleted).cloned();
        let delete = self.random.one_in(2);
        ChangeCall {
            stream: restored
                .filter(|_| !delete)
                .unwrap_or_else(|| self.stream()),
            change: if delete {
                Change::Delete
            } else {
                Change::Restore
            },
            answer: ChangeAnswer::Unknown,
        }
    }

    pub(super) fn draw_read(&mut self) -> ReadCall {
        let head = self.store.head();
        let mut ask = Ask {
            after: head.saturating_sub(self.random.below(30)),
            backward: self.random.one_in(3),
            limit: self.random.one_in(3).then(|| 1 + self.random.below(9)),
            include_deleted: self.random.one_in(2),
            ..Ask::all()
        };
        if self.random.one_in(2) {
            ask.stream = Some(self.stream());
            ask.after = 0;
            if self.random.one_in(3) {
                ask.after_version = self.random.below(9);
                ask.up_to_version = self.random.below(20);
            }
        }
        if self.random.one_in(2) {
            ask.filter = self.filter();
        }
        if self.random.one_in(4) {
            ask.up_to = head.saturating_sub(self.random.below(10));
        }
        ReadCall {
            ask,
            seen: Vec::new(),
            looked_to: None,
            answer: ReadAnswer::Ended,
        }
    }

    pub(super) fn draw_subscription(&mut self) -> SubscriptionCall {
        let position = self.store.head().saturating_sub(self.random.below(60));
        let now = self.random.one_in(3);
        SubscriptionCall {
            start: if now {
                Start::Now
            } else {
                Start::After(position)
            },
            stream: self.random.one_in(4).then(|| self.stream()),
            filter: if self.random.one_in(2) {
                self.filter()
            } else {
                Filter::all()
            },
            started: 0,
            delivered: Vec::new(),
            position,
            to_the_end: false,
            failed: None,
        }
    }
}
