//! What has changed since a client looked last.

use futures_util::TryStreamExt;

use crate::{
    Changes, Error, EventFilter, EventStore, Limits, Position, Read, Result, SyncToken, TopicInfo,
};

impl EventStore {
    /// What was recorded in a topic after `since`, up to `limit` events (and some MiB): at least one,
    /// where there is one. Ask again with [`Changes::next`], at once where there is
    /// [more](Changes::more).
    ///
    /// A client gets its own events back, too: it knows them by their ids.
    ///
    /// # Errors
    /// [`TokenExpired`](Error::TokenExpired) where the token is of another store, or of a topic that is
    /// gone: begin anew with [`SyncToken::START`]. [`TopicNotFound`](Error::TopicNotFound).
    pub async fn changes(&self, topic: &str, since: SyncToken, limit: usize) -> Result<Changes> {
        self.changes_of(topic, EventFilter::all(), since, limit)
            .await
    }

    /// As [`changes`](Self::changes), of events that match. The next token moves on also where nothing
    /// does. A token serves every filter: whoever changes it to want more begins anew.
    ///
    /// # Errors
    /// Those of [`changes`](Self::changes).
    pub async fn changes_of(
        &self,
        topic: &str,
        filter: EventFilter,
        since: SyncToken,
        limit: usize,
    ) -> Result<Changes> {
        let before = self.get_topic(topic).await?;
        self.check_token(since, &before).await?;
        let limit = limit.max(1);
        // One more than the limit tells that there are more.
        let read = Read::all()
            .after(since.position)
            .filter(filter)
            .limit((limit as u64).saturating_add(1));
        let mut reading = self.read_events(topic, read);
        let (mut events, mut bytes) = (Vec::new(), 0);
        let mut more = false;
        while let Some(event) = reading.try_next().await? {
            let size = event.payload.len() + event.metadata.len();
            more = events.len() == limit || bytes + size > Limits::MAX_APPEND_BYTES;
            if more && !events.is_empty() {
                break;
            }
            bytes += size;
            events.push(event);
        }
        let position = match events.last() {
            Some(last) if more => last.position,
            _ => reading.looked_to().max(since.position),
        };
        // The name may have come to mean another topic in between.
        let after = self.get_topic(topic).await?;
        if after.created_position != before.created_position {
            return Err(expired("the topic was created anew"));
        }
        Ok(Changes::new(events, self.token(&after, position), more))
    }

    fn token(&self, topic: &TopicInfo, position: Position) -> SyncToken {
        SyncToken {
            of: Some((self.id(), topic.created_position)),
            position,
        }
    }

    async fn check_token(&self, token: SyncToken, topic: &TopicInfo) -> Result<()> {
        let Some((store, created)) = token.of else {
            return Ok(());
        };
        if store != self.id() {
            return Err(expired("it is of another store"));
        }
        if created != topic.created_position {
            return Err(expired("its topic is gone, and another one has the name"));
        }
        if token.position > self.get_latest_version(topic.name.as_str()).await? {
            return Err(expired("events that it knows are not recorded any more"));
        }
        Ok(())
    }
}

fn expired(reason: &str) -> Error {
    Error::TokenExpired {
        reason: reason.to_owned(),
    }
}
