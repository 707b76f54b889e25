//! Reads a topic page by page, each page by a key of an index.
//!
//! A read is a row of statements, each of its own: no snapshot and no transaction is kept between
//! two pages. It ends at the head at which it began, and events never change. From the second page on,
//! the rows of the next one are on their way while a page is decoded and used, unless the limit may be
//! reached before.

use std::sync::Arc;

use sqlx::postgres::PgRow;

use super::{
    codec::bigint,
    errors::Failure,
    group::limit,
    rows::{COLUMN_COUNT, bigint_at, event},
    shared::{Args, Asked, Shared},
    topic::Core,
    way::Way,
};
use crate::{
    models::{Direction, Error, Position, RecordedEvent, Result},
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
    pub(super) shared: Arc<Shared>,
    pub(super) core: Arc<Core>,
    pub(super) plan: ReadPlan,
    pub(super) way: Way,
    pub(super) head: u64,
    /// Whether the topic was sealed when the read began.
    pub(super) sealed: bool,
    /// What is still to be looked at.
    pub(super) after: u64,
    pub(super) up_to: u64,
    pub(super) left: u64,
    /// How many rows the next page looks at, at least, where the filter may admit few of them.
    reach: usize,
    /// The rows of the next page, where they are known or asked for.
    pub(super) ahead: Ahead,
    /// Whether somebody wanted a page after the first.
    goes_on: bool,
    pub(super) done: bool,
}

/// The rows of the next page.
#[derive(Debug)]
pub(super) enum Ahead {
    Nothing,
    Here(Vec<PgRow>),
    Asked(Asked),
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
    let plan = ReadPlan::all_after(Position::new(after));
    let mut reader = Reader::new(Arc::clone(shared), Arc::clone(core), plan);
    reader.head = up_to;
    reader.up_to = up_to;
    reader.next().await.map(|page| page.events)
}

impl Reader {
    /// A read of everything that the plan asks for, of a topic whose head is not known yet.
    pub(super) fn new(shared: Arc<Shared>, core: Arc<Core>, plan: ReadPlan) -> Self {
        Self {
            left: plan.limit.unwrap_or(u64::MAX),
            after: plan.after.get(),
            up_to: 0,
            head: 0,
            sealed: false,
            way: Way::Scan,
            reach: LEAST,
            ahead: Ahead::Nothing,
            goes_on: false,
            done: false,
            shared,
            core,
            plan,
        }
    }

    pub(super) const fn backward(&self) -> bool {
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

    /// The next rows of the span. What is behind them is left to be looked at.
    async fn rows(&mut self) -> Result<Rows> {
        let most = self.most(self.left);
        let rows = match std::mem::replace(&mut self.ahead, Ahead::Nothing) {
            Ahead::Here(rows) => Ok(rows),
            Ahead::Asked(asked) => match asked.rows().await {
                // It was asked for some time ago: now it may be had.
                Err(_) => self.ask(most).rows().await,
                rows => rows,
            },
            Ahead::Nothing => self.ask(most).rows().await,
        };
        let rows = rows.map_err(|failure| self.failed(failure))?;
        let number =
            |row, column| bigint_at(row, column).map_err(|error| self.failed(error.into()));
        let span = self.span();
        let exhausted = if let Some(row) = rows.last() {
            let (position, version) = (number(row, 0)?, number(row, 1)?);
            let exhausted = match self.way {
                Way::Scan => self.ends(span, position),
                Way::Stream(..) => self.ends(span, version),
                Way::Keys(_) | Way::Nothing => {
                    number(row, COLUMN_COUNT)? == rows.len() as u64 && rows.len() < most
                }
            };
            self.advance(position, version);
            exhausted
        } else {
            // A span of positions or versions has no gaps, so there is nothing only where it is empty.
            matches!(self.way, Way::Keys(_) | Way::Nothing) || span.0 >= span.1
        };
        if !self.plan.filter.is_all() {
            self.reach = (self.reach * 4).min(PAGE_EVENTS);
        }
        if !exhausted {
            self.look_ahead(rows.len());
        }
        let events = self.events(&rows)?;
        self.check_whole(&events, span, exhausted)?;
        Ok(Rows { events, exhausted })
    }

    /// Whether nothing of a span is behind this position or version.
    const fn ends(&self, (low, high): (u64, u64), number: u64) -> bool {
        if self.backward() {
            number <= low.saturating_add(1)
        } else {
            number >= high
        }
    }

    /// Asks for the rows of the next page where they are sure to be wanted: a page after the first was,
    /// and the one that these rows are for does not reach what the read is limited to.
    fn look_ahead(&mut self, rows: usize) {
        let left = match self.plan.limit {
            None => u64::MAX,
            Some(_) if self.plan.filter.is_all() => self.left.saturating_sub(rows as u64),
            Some(_) => 0,
        };
        if self.goes_on && left > 0 {
            self.ahead = Ahead::Asked(self.ask(self.most(left)));
        }
        self.goes_on = true;
    }

    /// How many rows a page looks at where so many events are left to be found.
    pub(super) fn most(&self, left: u64) -> usize {
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        left.clamp(self.reach, PAGE_EVENTS)
    }

    /// What of the topic, or of the stream, is still to be looked at.
    const fn span(&self) -> (u64, u64) {
        match &self.way {
            Way::Stream(_, low, high) => (*low, *high),
            _ => (self.after, self.up_to),
        }
    }

    /// Asks for the next rows of the span.
    fn ask(&self, most: usize) -> Asked {
        let sql = self.way.sql(&self.core.names, self.backward());
        self.shared.ask(sql.into(), self.arguments(most))
    }

    /// The arguments of a statement for the next rows of the span.
    pub(super) fn arguments(&self, most: usize) -> Args {
        let (low, high) = self.span();
        let arguments = Args::new()
            .with(bigint(low))
            .with(bigint(high))
            .with(limit(most))
            .with(limit(PAGE_BYTES));
        match &self.way {
            Way::Stream(stream, ..) => arguments.with(stream.as_str()),
            Way::Keys(keys) => arguments
                .with(&*keys.types)
                .with(&*keys.tags)
                .with(&*keys.streams),
            Way::Scan | Way::Nothing => arguments,
        }
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
        let mut expected = if self.backward() {
            high
        } else {
            low.saturating_add(1)
        };
        for event in events {
            if number_of(event) != Some(expected) {
                return Err(self.missing(expected));
            }
            expected = if self.backward() {
                expected.saturating_sub(1)
            } else {
                expected.saturating_add(1)
            };
        }
        // What is not the end of the span has something behind it.
        if events.is_empty() && !exhausted {
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

    pub(super) async fn fetch(&self, sql: Arc<str>, arguments: Args) -> Result<Vec<PgRow>> {
        self.shared
            .fetch(sql, arguments)
            .await
            .map_err(|failure| self.failed(failure))
    }

    pub(super) fn failed(&self, failure: Failure) -> Error {
        failure.error(&self.shared.name, Some(&self.core.topic))
    }

    pub(super) fn unreadable(&self) -> Error {
        self.failed(sqlx::Error::RowNotFound.into())
    }
}
