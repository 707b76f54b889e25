//! What a committer puts into the log beside appends: events as they are, and marks.

use std::sync::Arc;

use bytes::BytesMut;

use super::{
    commit::Outcome,
    committer::{Committer, Done, GROUP_BYTES, GROUP_EVENTS, MOST_RACES},
    compaction,
    deciding::stage,
    failure::Failure,
    slot::{Header, Kind},
};
use crate::{
    models::{Error, Position, RecordedEvent, Result},
    repository::{
        import::{Rest, Written},
        record::RecordView,
    },
};

/// Why an import, or a mark, was not made.
enum Refusal {
    Invalid(Error),
    Failed(Failure),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Committer {
    /// Records events as they are, as far as nobody else writes meanwhile.
    pub(super) async fn import(&mut self, rest: &Rest) -> Result<Written> {
        let imported = self.try_import(rest).await;
        imported.map_err(|refusal| self.error_of(refusal))
    }

    /// Puts a mark at the end of the log, where it is not there already, and tells the head.
    pub(super) async fn mark(&mut self, kind: Kind, since: Position) -> Result<Position> {
        let marked = self.try_mark(kind, since).await;
        marked.map_err(|refusal| self.error_of(refusal))
    }

    fn error_of(&self, refusal: Refusal) -> Error {
        match refusal {
            Refusal::Invalid(error) => error,
            Refusal::Failed(failure) => self.core.error(failure),
        }
    }

    async fn try_import(&mut self, rest: &Rest) -> Result<Written, Refusal> {
        for _ in 0..MOST_RACES {
            self.ready().await?;
            let core = Arc::clone(&self.core);
            let staged = core.with(|view| {
                if view.sealed {
                    return Err(Refusal::Invalid(Error::TopicSealed {
                        topic: core.topic.clone(),
                    }));
                }
                let new = rest.that_follow(view.head);
                let some = new.get(..chunk(new)).unwrap_or_default();
                if some.is_empty() {
                    return Ok(Err(view.head));
                }
                let views: Vec<_> = some.iter().map(RecordView::of_recorded).collect();
                let mut chunks = Vec::new();
                stage(view, &mut BytesMut::new(), &views, &mut chunks)?;
                let header = view.header(Kind::Events);
                Ok(Ok((header, chunks, view.anchored, some.len())))
            })??;
            let (header, chunks, anchored, count) = match staged {
                Ok(staged) => staged,
                Err(head) => return Ok(Written { head, count: 0 }),
            };
            let before = header.before;
            match self.put(&header, &chunks, anchored).await {
                Done::Recorded => {
                    compaction::compact_if_due(&self.core);
                    let head = before.forward(count as u64);
                    return Ok(Written { head, count });
                }
                Done::Again => {}
                Done::Failed(Outcome::Unknown(failure)) => {
                    return Err(Refusal::Invalid(failure.unknown()));
                }
                Done::Failed(Outcome::NotSent(failure)) => return Err(failure.into()),
                Done::Failed(_) => {}
            }
        }
        Err(Failure::unsent("other writers were faster all the time").into())
    }

    async fn try_mark(&mut self, kind: Kind, since: Position) -> Result<Position, Refusal> {
        for _ in 0..MOST_RACES {
            self.core.look().await?;
            let (sealed, head, header, anchored) = self.core.with(|view| {
                let header = Header {
                    since,
                    ..view.header(kind)
                };
                let sealed = (view.sealed, view.sealed_since);
                (sealed, view.head, header, view.anchored)
            })?;
            let (sealed, before) = sealed;
            let is_done = (kind == Kind::Seal && sealed) || (kind == Kind::Unseal && !sealed);
            // That it is sealed by a later decision has to be known too.
            if kind != Kind::Removed && (since < before || is_done && since == before) {
                return Ok(head);
            }
            match self.put(&header, &[], anchored).await {
                Done::Recorded => return Ok(head),
                Done::Again => {}
                Done::Failed(Outcome::Unknown(failure) | Outcome::NotSent(failure)) => {
                    return Err(failure.into());
                }
                Done::Failed(_) => {}
            }
        }
        Err(Failure::unsent("other writers were faster all the time").into())
    }
}

/// How many of these events go into one slot.
fn chunk(events: &[RecordedEvent]) -> usize {
    let mut bytes = 0;
    let fits = events.iter().take(GROUP_EVENTS).take_while(|event| {
        bytes += RecordView::of_recorded(event).size_bound() + 4;
        bytes <= GROUP_BYTES
    });
    fits.count().max(1).min(events.len())
}
