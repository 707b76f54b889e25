//! Reads a topic page by page, each page by a key of an index.
//!
//! A read is a row of statements, each of its own: no snapshot and no transaction is kept between
//! two pages. It ends at the head at which it began, and events never change.

use std::sync::Arc;

use sqlx::{Row, postgres::PgRow};

use super::{
    codec::{Moment, bigint, number},
    errors::Failure,
    filter::possible_item,
    group::limit,
    rows::{COLUMN_COUNT, bigint_at, event},
    shared::{Args, Shared},
    topic::Core,
    way::{Keys, Way},
};
use crate::{
    models::{Direction, Error, FilterItem, Position, RecordedEvent, Result, StreamId, Timestamp},
    repository::{
        Page, ReadPlan,
        paging::{PAGE_BYTES, PAGE_EVENTS},
    },
};

/// How many rows a page looks at, at least.
const LEAST: usize = 16;

/// A read under way.
#[derive(Debug)]
pub(super) struct Reader {
    shared: Arc<Shared>,
    core: Arc<Core>,
    plan: ReadPlan,
    way: Way,
    head: u64,
    /// Whether the topic was sealed when the read began.
    sealed: bool,
    /// What is still to be looked at.
    after: u64,
    up_to: u64,
    left: u64,
    /// How many rows the next page looks at, at least, where the filter may admit few of them.
    reach: usize,
    pub(super) done: bool,
}

/// Some rows, and whether there is nothing behind them in the span.
struct Rows {
    events: Vec<RecordedEvent>,
    exhausted: bool,
}

/// Events after a position and up to another, as many as are one page.
pub(super) async fn scan(
    shared: &Arc<Shared>,
    core: &Arc<Core>,
    after: u64,
    up_to: u64,
) -> Result<Vec<RecordedEvent>> {
    let mut reader = Reader {
        shared: Arc::clone(shared),
        core: Arc::clone(core),
        plan: ReadPlan::all_after(Position::new(after)),
        way: Way::Scan,
        sealed: false,
        head: up_to,
        after,
        up_to,
        left: u64::MAX,
        reach: LEAST,
        done: false,
    };
    reader.next().await.map(|page| page.events)
}

impl Reader {
    pub(super) async fn begin(
        shared: Arc<Shared>,
        core: Arc<Core>,
        plan: ReadPlan,
    ) -> Result<Self> {
        let mut reader = Self {
            left: plan.limit.unwrap_or(u64::MAX),
            after: plan.after.get(),
            up_to: 0,
            head: 0,
            sealed: false,
            way: Way::Scan,
            reach: LEAST,
            done: false,
            shared,
            core,
            plan,
        };
        let stream = reader.plan.stream.clone();
        let sql = Arc::clone(&reader.core.sql.state);
        let asked = stream.as_ref().map(StreamId::as_str);
        let rows = reader.fetch(sql, Args::new().with(asked)).await?;
        let row = rows.first().ok_or_else(|| reader.unreadable())?;
        reader.sealed = row
            .try_get(0)
            .map_err(|error| reader.failed(sqlx::Error::into(error)))?;
        reader.head = bigint_at(row, 1).map_err(|error| reader.failed(error.into()))?;
        reader.up_to = reader.head.min(reader.plan.up_to.get());
        reader.way = match stream {
            Some(stream) => {
                let state = (row.try_get::<i64, _>(2), row.try_get::<bool, _>(3));
                let (Ok(version), Ok(deleted)) = state else {
                    return Err(reader.unreadable());
                };
                if deleted && !reader.plan.include_deleted {
                    return Err(Error::StreamDeleted { stream });
                }
                reader.versions(stream, number(version)).await?
            }
            None => {
                reader.narrow_to_times().await?;
                reader.keys().await?
            }
        };
        Ok(reader)
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

    const fn backward(&self) -> bool {
        matches!(self.plan.direction, Direction::Backward)
    }

    /// The next page.
    pub(super) async fn next(&mut self) -> Result<Page> {
        if self.left == 0 {
            self.done = true;
            return Ok(Page {
                events: Vec::new(),
                looked_to: self.looked_to(),
                sealed: self.sealed,
            });
        }
        if matches!(self.way, Way::Nothing) || self.after >= self.up_to {
            return Ok(self.last(Vec::new()));
        }
        let Rows {
            mut events,
            exhausted,
        } = self.rows().await?;
        if !self.plan.filter.is_all() {
            self.reach = (self.reach * 4).min(PAGE_EVENTS);
        }
        if let Some(last) = events.last() {
            let (position, version) = (last.position.get(), last.version.get());
            self.advance(position, version);
        }
        events.retain(|event| self.plan.filter.matches(event));
        if let Ok(left) = usize::try_from(self.left) {
            events.truncate(left);
        }
        self.left -= events.len() as u64;
        if self.left == 0 {
            self.done = true;
            let looked_to = events
                .last()
                .map_or_else(|| self.looked_to(), |event| event.position);
            return Ok(Page {
                events,
                looked_to,
                sealed: self.sealed,
            });
        }
        if exhausted {
            return Ok(self.last(events));
        }
        Ok(Page {
            events,
            looked_to: self.looked_to(),
            sealed: self.sealed,
        })
    }

    /// The last page, with which all of the span was looked at.
    fn last(&mut self, events: Vec<RecordedEvent>) -> Page {
        self.done = true;
        let looked_to = if self.backward() {
            self.plan.after.next()
        } else {
            self.plan.up_to.min(Position::new(self.head))
        };
        Page {
            events,
            looked_to,
            sealed: self.sealed,
        }
    }

    const fn looked_to(&self) -> Position {
        if self.backward() {
            Position::new(self.up_to).next()
        } else {
            Position::new(self.after)
        }
    }

    const fn advance(&mut self, position: u64, version: u64) {
        let backward = self.backward();
        if backward {
            self.up_to = position.saturating_sub(1);
        } else {
            self.after = position;
        }
        if let Way::Stream(_, low, high) = &mut self.way {
            if backward {
                *high = version.saturating_sub(1);
            } else {
                *low = version;
            }
        }
    }

    /// The next rows of the span.
    async fn rows(&self) -> Result<Rows> {
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .clamp(self.reach, PAGE_EVENTS);
        let (low, high) = match &self.way {
            Way::Stream(_, low, high) => (*low, *high),
            _ => (self.after, self.up_to),
        };
        let arguments = Args::new()
            .with(bigint(low))
            .with(bigint(high))
            .with(limit(most))
            .with(limit(PAGE_BYTES));
        let arguments = match &self.way {
            Way::Stream(stream, ..) => arguments.with(stream.as_str()),
            Way::Keys(keys) => arguments
                .with(&*keys.types)
                .with(&*keys.tags)
                .with(&*keys.streams),
            Way::Scan | Way::Nothing => arguments,
        };
        let rows = self
            .fetch(
                self.way.sql(&self.core.names, self.backward()).into(),
                arguments,
            )
            .await?;
        let events = self.events(&rows)?;
        let candidates = match rows.last() {
            Some(row) => bigint_at(row, COLUMN_COUNT).map_err(|error| self.failed(error.into()))?,
            None => 0,
        };
        let exhausted = candidates == events.len() as u64 && events.len() < most;
        self.check_whole(&events, (low, high), exhausted)?;
        Ok(Rows { events, exhausted })
    }

    fn events(&self, rows: &[PgRow]) -> Result<Vec<RecordedEvent>> {
        let place = self.core.names.place();
        rows.iter()
            .map(|row| event(row, &self.core.topic, &place))
            .collect()
    }

    /// Finds out whether a row is missing where there cannot be a gap.
    fn check_whole(
        &self,
        events: &[RecordedEvent],
        (low, high): (u64, u64),
        exhausted: bool,
    ) -> Result<()> {
        let number_of = |event: &RecordedEvent| match self.way {
            Way::Scan => Some(event.position.get()),
            Way::Stream(..) => Some(event.version.get()),
            Way::Keys(_) | Way::Nothing => None,
        };
        if matches!(self.way, Way::Keys(_) | Way::Nothing) {
            return Ok(());
        }
        let mut expected = if self.backward() { high } else { low + 1 };
        for event in events {
            if number_of(event) != Some(expected) {
                return Err(self.missing(expected));
            }
            expected = if self.backward() {
                expected.saturating_sub(1)
            } else {
                expected + 1
            };
        }
        let end = if self.backward() { low } else { high + 1 };
        if exhausted && low < high && expected != end {
            return Err(self.missing(expected));
        }
        Ok(())
    }

    fn missing(&self, expected: u64) -> Error {
        let reason = match &self.way {
            Way::Stream(stream, ..) => {
                format!("version {expected} of stream {stream:?} is missing")
            }
            _ => format!("position {expected} is missing"),
        };
        Error::Corruption {
            place: self.core.names.place(),
            reason,
        }
    }

    async fn fetch(&self, sql: Arc<str>, arguments: Args) -> Result<Vec<PgRow>> {
        self.shared
            .fetch(sql, arguments)
            .await
            .map_err(|failure| self.failed(failure))
    }

    fn failed(&self, failure: Failure) -> Error {
        failure.error(&self.shared.name, Some(&self.core.topic))
    }

    fn unreadable(&self) -> Error {
        self.failed(sqlx::Error::RowNotFound.into())
    }
}
