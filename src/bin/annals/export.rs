//! `annals export`.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use annals::{EventStore, Position, Read, json::write_event};
use futures_util::TryStreamExt as _;
use serde_json::json;

use super::{
    common::{Access, Common},
    failure::Failure,
    progress,
    session::{Session, answer},
    show::many,
};

/// Write all events of a topic as lines that `import` reads.
///
/// One JSON object a line, in order and without gaps, those of deleted streams included: nothing is lost
/// on the way through `annals import` and back. It ends at the event that was the last when it began.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The topic.
    topic: String,
    /// The file to write; standard output unless it is given.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only events after this position, to go on with an earlier export.
    #[arg(
        long,
        value_name = "POSITION",
        default_value_t = 0,
        hide_default_value = true
    )]
    after: u64,
    #[command(flatten)]
    common: Common,
}

const EXAMPLES: &str = "\
Examples:
  annals export orders > orders.ndjson
  annals export orders --after 120000 >> orders.ndjson
  annals export orders | gzip > orders.ndjson.gz";

impl Arguments {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let store = session.open(&self.common, Access::Read).await?;
        let head = store.get_latest_version(&self.topic).await?;
        let Some(path) = &self.output else {
            let mut out = BufWriter::with_capacity(256 << 10, std::io::stdout().lock());
            self.export(&store, head, &mut out)
                .await?
                .map_err(|error| Failure::output(&error))?;
            return out.flush().map_err(|error| Failure::output(&error));
        };
        let failed = |error| Failure::io(&path.display().to_string(), &error);
        let mut out = create(path)?;
        let count = self.export(&store, head, &mut out).await?.map_err(failed)?;
        let file = out
            .into_inner()
            .map_err(|error| failed(error.into_error()))?;
        file.sync_all().map_err(failed)?;
        let json = json!({ "topic": self.topic, "events": count, "head": head.get() });
        answer(&self.common, &json, || {
            format!("{} exported", many(count, "event"))
        })
    }

    /// Writes the events, and tells how many there were.
    async fn export(
        &self,
        store: &EventStore,
        head: Position,
        out: &mut impl Write,
    ) -> Result<std::io::Result<u64>, Failure> {
        let bar = progress::events(&self.common, "exporting", head.get());
        let read = Read::all().after(Position::new(self.after)).up_to(head);
        let mut events = store.read_events(&self.topic, read);
        let mut line = Vec::new();
        let mut count = 0;
        while let Some(event) = events.try_next().await? {
            line.clear();
            write_event(&mut line, &event);
            line.push(b'\n');
            if let Err(error) = out.write_all(&line) {
                return Ok(Err(error));
            }
            count += 1;
            bar.set_position(event.position.get());
        }
        bar.finish_and_clear();
        Ok(Ok(count))
    }
}

fn create(path: &Path) -> Result<BufWriter<File>, Failure> {
    let file =
        File::create(path).map_err(|error| Failure::io(&path.display().to_string(), &error))?;
    Ok(BufWriter::with_capacity(256 << 10, file))
}
