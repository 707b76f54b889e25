//! Events that are recorded as they are: one statement of an import.

use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::{
    codec::{Moment, bigint, number},
    errors::Failure,
    group::EventColumns,
    schema::execute,
    shared::Args,
    topic::Core,
};
use crate::{
    models::{Error, RecordedEvent, Result},
    repository::record::RecordView,
};

/// The most bytes, and the most events, of one statement.
const MOST: (usize, usize) = (8 << 20, 10_000);

/// What records some events.
pub(super) struct Statement {
    /// Takes the lock that is held until what is imported behind it is committed.
    enter: String,
    sql: String,
    arguments: Args,
    count: usize,
}

impl Statement {
    /// Records as many of these events as fit into a statement; none where there are none.
    pub(super) fn of(core: &Core, events: &[RecordedEvent]) -> Result<Option<Self>> {
        let some = events.get(..fitting(events)).unwrap_or_default();
        let Some(first) = some.first() else {
            return Ok(None);
        };
        let parameters: Vec<_> = (1..=14).map(|number| format!("${number}")).collect();
        let moments: Option<Vec<_>> = some.iter().map(|one| Moment::of(one.recorded_at)).collect();
        let moments = moments.ok_or_else(|| Error::InvalidAppend {
            reason: "an event was recorded before the year -4712, where the calendar of the server begins".to_owned(),
        })?;
        let versions: Vec<_> = some.iter().map(|one| bigint(one.version.get())).collect();
        let mut columns = EventColumns::default();
        some.iter().for_each(|event| columns.push_recorded(event));
        let arguments = Args::new()
            .with(bigint(first.position.get()))
            .with(versions)
            .with(moments);
        Ok(Some(Self {
            enter: format!("SELECT {}()", core.names.function("enter")),
            sql: format!(
                "SELECT head, written FROM {}({})",
                core.names.function("import"),
                parameters.join(", ")
            ),
            arguments: columns.add_to(arguments),
            count: some.len(),
        }))
    }

    /// How many events it records.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// Runs it in a transaction. Gives the head, and whether the events were recorded; `None` where the
    /// topic is sealed.
    pub(super) async fn run(
        self,
        connection: &mut PgConnection,
    ) -> Result<Option<(u64, bool)>, Failure> {
        execute(connection, "BEGIN".to_owned()).await?;
        let sealed = sqlx::query_scalar::<_, bool>(AssertSqlSafe(self.enter));
        if sealed.fetch_one(&mut *connection).await? {
            execute(connection, "ROLLBACK".to_owned()).await?;
            return Ok(None);
        }
        let arguments = self.arguments.into_inner()?;
        let row = sqlx::query_with(AssertSqlSafe(self.sql), arguments)
            .fetch_one(&mut *connection)
            .await?;
        let imported = (number(row.try_get(0)?), row.try_get::<bool, _>(1)?);
        execute(connection, "COMMIT".to_owned()).await?;
        Ok(Some(imported))
    }
}

/// How many of these events go into one statement.
fn fitting(events: &[RecordedEvent]) -> usize {
    let mut bytes = 0;
    let fits = events.iter().take(MOST.1).take_while(|event| {
        bytes += RecordView::of_recorded(event).size_bound();
        bytes <= MOST.0
    });
    fits.count().max(1)
}
