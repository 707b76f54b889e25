//! One topic in files: what readers see of it, and what the writer keeps.

use std::{path::PathBuf, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::{
    part::{FilePart, PartView},
    segment::Files,
    writer::Writer,
};
use crate::{
    models::{Error, Position, Result, StorageId, TopicName},
    repository::{LogView as _, parts::Parts},
};

/// One topic in files.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) topic: TopicName,
    pub(super) storage: StorageId,
    /// The directory of the storage.
    pub(super) path: PathBuf,
    pub(super) files: Arc<Files>,
    /// What readers see. Replaced as a whole after each group of appends.
    pub(super) published: watch::Sender<Published>,
    /// The writer, or the follower where another process writes.
    pub(super) role: Role,
    /// Held as long as the log may be written.
    pub(super) _lock: Option<Arc<std::fs::File>>,
}

/// Who adds to what readers see.
#[derive(Debug)]
pub(super) enum Role {
    /// This process writes.
    Writes(Box<Writer>),
    /// Another process writes, or none; this one follows. Locked while it catches up.
    Follows(Mutex<super::follow::Follower>),
}

/// What readers see of a topic at one moment.
#[derive(Clone, Debug)]
pub(super) struct Published {
    pub(super) head: Position,
    pub(super) sealed: bool,
    pub(super) parts: Arc<[Arc<FilePart>]>,
    pub(super) standing: Standing,
}

/// Whether a topic can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Open,
    /// Its storage was removed.
    Removed,
    /// Its repository was closed.
    Closed,
}

impl Published {
    /// Ends what is not ended yet.
    pub(super) fn close(&mut self) {
        if self.standing == Standing::Open {
            self.standing = Standing::Closed;
        }
    }

    /// The same with one part more at the end.
    pub(super) fn add_part(&mut self, part: FilePart) {
        self.parts = self.parts.iter().cloned().chain([Arc::new(part)]).collect();
    }

    /// The same with the parts of a segment that `part` covers replaced by it.
    pub(super) fn replace_parts(&mut self, part: FilePart) {
        let (first, last) = (part.segment.first, part.last());
        let before = self
            .parts
            .iter()
            .take_while(|one| one.segment.first < first)
            .cloned();
        let after = self
            .parts
            .iter()
            .skip_while(|one| one.segment.first < first)
            .skip_while(|one| one.segment.first == first && one.before() < last)
            .cloned();
        self.parts = before.chain([Arc::new(part)]).chain(after).collect();
    }
}

impl Log {
    /// What is visible now, if the topic can be used.
    pub(super) fn published(&self) -> Result<Published> {
        let published = self.published.borrow();
        match published.standing {
            Standing::Open => Ok(published.clone()),
            Standing::Removed => Err(Error::TopicNotFound {
                topic: self.topic.to_string(),
            }),
            Standing::Closed => Err(Error::Closed),
        }
    }

    /// The parts as they are now.
    pub(super) fn parts(&self) -> Arc<[Arc<FilePart>]> {
        Arc::clone(&self.published.borrow().parts)
    }

    /// Catches up with the process that writes, where that is another one. Blocks.
    pub(super) fn refresh(&self) -> Result<()> {
        match &self.role {
            Role::Writes(_) => Ok(()),
            Role::Follows(follower) => follower.lock().catch_up(self),
        }
    }

    /// Answers a question about what `published` shows. Blocks. Where an index file turns out to
    /// be damaged, it is made anew and the question is asked again.
    pub(super) fn ask<T>(
        &self,
        published: &Published,
        question: impl Fn(&Parts<'_, PartView<'_>>) -> Result<T>,
    ) -> Result<T> {
        let answer = self.ask_once(published, &question);
        let damaged = answer.is_err() && published.parts.iter().any(|part| part.is_damaged());
        if !damaged {
            return answer;
        }
        self.heal()?;
        let parts = self.parts();
        self.ask_once(
            &Published {
                parts,
                ..published.clone()
            },
            &question,
        )
    }

    fn ask_once<T>(
        &self,
        published: &Published,
        question: impl Fn(&Parts<'_, PartView<'_>>) -> Result<T>,
    ) -> Result<T> {
        let views: Vec<_> = published.parts.iter().map(|part| self.view(part)).collect();
        question(&Parts {
            topic: &self.topic,
            parts: &views,
            head: published.head,
            sealed: published.sealed,
        })
    }

    pub(super) fn view<'a>(&'a self, part: &'a FilePart) -> PartView<'a> {
        PartView {
            part,
            topic: &self.topic,
            files: &self.files,
            unwritten: None,
        }
    }

    /// Replaces the parts of segments whose index file is damaged by ones that are indexed anew.
    pub(super) fn heal(&self) -> Result<()> {
        // To index one anew, those before it are asked; so one more may turn out to be damaged.
        // Whichever is the first is made anew then, which takes two rounds for each at most.
        for _ in 0..self.parts().len() * 2 {
            let parts = self.parts();
            let Some(part) = parts.iter().find(|part| part.is_damaged()) else {
                break;
            };
            tracing::warn!(
                topic = %self.topic,
                segment = %part.segment.path.display(),
                "an index file is damaged and is made anew"
            );
            let healed = super::seal_segment::reindex(self, &part.segment);
            let before = |other: &&Arc<FilePart>| other.segment.first < part.segment.first;
            if !parts
                .iter()
                .take_while(before)
                .any(|other| other.is_damaged())
            {
                healed?;
            }
        }
        Ok(())
    }
}

/// What the repository tells of a topic.
pub(super) fn state(
    parts: &Parts<'_, PartView<'_>>,
    stream: Option<&crate::models::StreamId>,
) -> Result<crate::repository::TopicState> {
    let stream = stream.map(|one| parts.stream(one)).transpose()?;
    Ok(crate::repository::TopicState {
        head: parts.head,
        sealed: parts.is_sealed(),
        stream,
    })
}
