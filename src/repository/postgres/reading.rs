//! How a read begins: what is there, and by which index it is read.

use std::sync::Arc;

use sqlx::{Row, postgres::PgRow};

use super::{
    codec::{Moment, bigint},
    filter::possible_item,
    reader::{Ahead, Reader},
    rows::{COLUMN_COUNT, bigint_at, raw},
    shared::{Args, Shared},
    topic::Core,
    way::{Keys, Way},
};
use crate::{
    models::{Error, FilterItem, Position, Result, StreamId, Timestamp},
    repository::ReadPlan,
};

impl Reader {
    /// Finds out what is there, and by which way it is read.
    pub(super) async fn begin(
        shared: Arc<Shared>,
        core: Arc<Core>,
        plan: ReadPlan,
    ) -> Result<Self> {
        let mut reader = Self::new(shared, core, plan);
        let anywhere = reader.after == 0 && reader.plan.up_to == Position::MAX;
        let some = reader.left > 0;
        match reader.plan.stream.clone() {
            Some(stream) if some && anywhere => reader.begin_with_rows(Some(stream)).await?,
            None if some && reader.plan.filter.is_all() => reader.begin_with_rows(None).await?,
            stream => reader.begin_with_state(stream).await?,
        }
        Ok(reader)
    }

    /// Asks for the state and for the rows of the first page at once, since both are of one moment.
    async fn begin_with_rows(&mut self, stream: Option<StreamId>) -> Result<()> {
        // The whole of what was asked for, until the state tells how much of it there is.
        self.up_to = self.plan.up_to.get();
        if let Some(stream) = stream.clone() {
            let (low, high) = (self.plan.after_version, self.plan.up_to_version);
            self.way = Way::Stream(stream, low.get(), high.get());
        }
        let backward = self.backward();
        let sql = self.way.sql_with_state(&self.core.names, backward);
        let arguments = self.arguments(self.most(self.left));
        let mut rows = self.fetch(sql.into(), arguments).await?;
        let row = rows.first().ok_or_else(|| self.unreadable())?;
        let version = self.take_state(row, COLUMN_COUNT, stream.as_ref())?;
        if let Way::Stream(_, _, high) = &mut self.way {
            *high = version.min(*high);
        }
        // A row without an event has the state alone.
        rows.retain(|row| matches!(raw(row, 0), Ok(Some(_)) | Err(_)));
        // A join keeps the order of the rows as it is done here, but nothing promises that.
        let place = |row: &PgRow| {
            let position = bigint_at(row, 0).unwrap_or_default();
            if backward {
                u64::MAX - position
            } else {
                position
            }
        };
        if !rows.is_sorted_by_key(place) {
            rows.sort_by_key(place);
        }
        self.ahead = Ahead::Here(rows);
        Ok(())
    }

    /// Asks for the state alone, and decides by it what to ask for next.
    async fn begin_with_state(&mut self, stream: Option<StreamId>) -> Result<()> {
        let sql = Arc::clone(&self.core.sql.state);
        let asked = stream.as_ref().map(StreamId::as_str);
        let rows = self.fetch(sql, Args::new().with(asked)).await?;
        let row = rows.first().ok_or_else(|| self.unreadable())?;
        let version = self.take_state(row, 0, stream.as_ref())?;
        self.way = match stream {
            Some(stream) => self.versions(stream, version).await?,
            None => {
                self.narrow_to_times().await?;
                self.keys().await?
            }
        };
        Ok(())
    }

    /// Takes over the state that stands in a row from this column on, and tells the version of the stream.
    fn take_state(&mut self, row: &PgRow, at: usize, stream: Option<&StreamId>) -> Result<u64> {
        let state = (row.try_get(at), bigint_at(row, at + 1));
        let (Ok(sealed), Ok(head)) = state else {
            return Err(self.unreadable());
        };
        self.sealed = sealed;
        self.head = head;
        self.up_to = head.min(self.plan.up_to.get());
        let Some(stream) = stream else {
            return Ok(0);
        };
        let state = (bigint_at(row, at + 2), row.try_get(at + 3));
        let (Ok(version), Ok(deleted)) = state else {
            return Err(self.unreadable());
        };
        if deleted && !self.plan.include_deleted {
            let stream = stream.clone();
            return Err(Error::StreamDeleted { stream });
        }
        Ok(version)
    }

    /// Leaves out what was recorded before every item of the filter, or after.
    async fn narrow_to_times(&mut self) -> Result<()> {
        let items = self.plan.filter.items();
        let since = items.iter().map(|item| item.since).min().flatten();
        let until: Option<Vec<_>> = items.iter().map(|item| item.until).collect();
        let until = until.and_then(|all| all.into_iter().max());
        if since.is_none() && until.is_none() {
            return Ok(());
        }
        let function = self.core.names.function("before");
        let sql = format!("SELECT coalesce({function}($1), 0), coalesce({function}($2), $3)");
        let behind = |until: Timestamp| Timestamp::from_micros(until.as_micros().saturating_add(1));
        let arguments = Args::new()
            .with(since.map(Moment::clamped))
            .with(until.map(|until| Moment::clamped(behind(until))))
            .with(bigint(self.up_to));
        let rows = self.fetch(sql.into(), arguments).await?;
        let row = rows.first().ok_or_else(|| self.unreadable())?;
        let bound = |column| bigint_at(row, column).map_err(|error| self.failed(error.into()));
        let (after, up_to) = (bound(0)?, bound(1)?);
        self.after = self.after.max(after);
        self.up_to = self.up_to.min(up_to);
        Ok(())
    }

    /// Which versions of a stream are to be read, of which the last is `last`.
    async fn versions(&self, stream: StreamId, last: u64) -> Result<Way> {
        let mut low = self.plan.after_version.get();
        let mut high = last.min(self.plan.up_to_version.get());
        if self.after > 0 || self.up_to < self.head {
            let function = self.core.names.function("version_at");
            let sql = format!("SELECT {function}($1, $2), {function}($1, $3)");
            let arguments = Args::new()
                .with(stream.as_str())
                .with(bigint(self.after))
                .with(bigint(self.up_to));
            let rows = self.fetch(sql.into(), arguments).await?;
            let row = rows.first().ok_or_else(|| self.unreadable())?;
            let bound = |column| bigint_at(row, column).map_err(|error| self.failed(error.into()));
            low = low.max(bound(0)?);
            high = high.min(bound(1)?);
        }
        Ok(Way::Stream(stream, low, high))
    }

    /// The keys by which the filter is read, if each of its items has some.
    async fn keys(&self) -> Result<Way> {
        let items: Vec<FilterItem> = self
            .plan
            .filter
            .items()
            .iter()
            .filter_map(possible_item)
            .collect();
        if items.is_empty() {
            return Ok(Way::Nothing);
        }
        let mut keys = Keys::default();
        let texts = |texts: &[bytestring::ByteString]| -> Vec<String> {
            texts.iter().map(ToString::to_string).collect()
        };
        for item in items {
            if !item.streams.is_empty() {
                keys.streams.extend(texts(&item.streams));
            } else if !item.tags.is_empty() {
                keys.tags.push(self.rarest(texts(&item.tags)).await?);
            } else if !item.types.is_empty() {
                keys.types.extend(texts(&item.types));
            } else {
                return Ok(Way::Scan);
            }
        }
        Ok(Way::Keys(keys))
    }

    /// Of several tags, the one that the fewest events have, as far as that is worth counting.
    async fn rarest(&self, mut tags: Vec<String>) -> Result<String> {
        if tags.len() > 1 {
            let sql = format!(
                "SELECT k.tag FROM unnest($1) k(tag) ORDER BY (SELECT count(*) FROM (\
                 SELECT FROM {} t WHERE t.tag = k.tag AND t.position > $2 LIMIT 10000) c) LIMIT 1",
                self.core.names.tags
            );
            let arguments = Args::new().with(&*tags).with(bigint(self.after));
            let rows = self.fetch(sql.into(), arguments).await?;
            let rarest = rows.first().and_then(|row| row.try_get(0).ok());
            tags = vec![rarest.ok_or_else(|| self.unreadable())?];
        }
        Ok(tags.pop().unwrap_or_default())
    }
}
