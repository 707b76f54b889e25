//! Appends the lines of a file, some hundred at a time.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
    time::Instant,
};

use annals::{Append, Error, EventStore, NewEvent, Read};
use futures_util::TryStreamExt;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use crate::line;

/// A line that is an event, and its number in the file.
type Numbered = (u64, NewEvent);

/// An import under way.
pub(crate) struct Import<'a> {
    store: &'a EventStore,
    topic: &'a str,
    batch: usize,
    strict: bool,
    progress: ProgressBar,
    recorded: u64,
    duplicates: u64,
    bad: u64,
}

impl<'a> Import<'a> {
    pub(crate) fn new(store: &'a EventStore, topic: &'a str, batch: usize, strict: bool) -> Self {
        let progress = ProgressBar::hidden();
        Self {
            store,
            topic,
            batch,
            strict,
            progress,
            recorded: 0,
            duplicates: 0,
            bad: 0,
        }
    }

    /// Imports a file; `false` where a strict import has stopped at a bad line.
    pub(crate) async fn run(mut self, file: &Path) -> Result<bool, Box<dyn std::error::Error>> {
        let named = |error: io::Error| format!("cannot read {}: {error}", file.display());
        let opened = File::open(file).map_err(named)?;
        self.progress = ProgressBar::new(opened.metadata().map_err(named)?.len());
        let style = "{bar:40} {bytes} of {total_bytes}, {msg}, {eta} left";
        self.progress
            .set_style(ProgressStyle::with_template(style)?);
        let started = Instant::now();
        let mut reader = BufReader::new(opened);
        let (mut text, mut number) = (Vec::new(), 0);
        let mut waiting: Vec<Numbered> = Vec::with_capacity(self.batch);
        let mut complete = true;
        loop {
            text.clear();
            let bytes = reader.read_until(b'\n', &mut text).map_err(named)?;
            if bytes == 0 {
                break;
            }
            number += 1;
            self.progress.inc(bytes as u64);
            if text.trim_ascii().is_empty() {
                continue;
            }
            let parsed = str::from_utf8(&text)
                .map_err(|error| error.to_string())
                .and_then(line::parse);
            match parsed {
                Ok(event) => waiting.push((number, event)),
                Err(reason) => complete = self.refuse(number, &reason),
            }
            if !complete {
                break;
            }
            if waiting.len() == self.batch {
                complete = self.append(std::mem::take(&mut waiting)).await?;
                if !complete {
                    break;
                }
            }
        }
        // What came before a bad line stays whole.
        complete &= self.append(waiting).await?;
        self.progress.finish_and_clear();
        self.summary(started).await?;
        Ok(complete)
    }

    /// Reports a bad line; `false` where the import stops at it.
    fn refuse(&mut self, number: u64, reason: &str) -> bool {
        self.bad += 1;
        let what = if self.strict { "stopped" } else { "skipped" };
        self.progress
            .suspend(|| eprintln!("line {number}: {reason} ({what})"));
        !self.strict
    }

    /// Appends some lines together. Where that is refused for one of them, each goes alone.
    async fn append(&mut self, lines: Vec<Numbered>) -> Result<bool, Error> {
        if lines.is_empty() {
            return Ok(true);
        }
        let count = lines.len() as u64;
        let together = Append::new(lines.iter().map(|(_, event)| event.clone()));
        match self.store.append_events(self.topic, together).await {
            Ok(receipt) => self.count(count, receipt.duplicate),
            Err(error) if concerns_a_line(&error) => {
                for (number, event) in lines {
                    match self.store.append_events(self.topic, event).await {
                        Ok(receipt) => self.count(1, receipt.duplicate),
                        Err(error) if concerns_a_line(&error) => {
                            if !self.refuse(number, &error.to_string()) {
                                return Ok(false);
                            }
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    fn count(&mut self, events: u64, duplicate: bool) {
        *(if duplicate {
            &mut self.duplicates
        } else {
            &mut self.recorded
        }) += events;
        self.progress.set_message(format!(
            "{} events",
            HumanCount(self.recorded + self.duplicates)
        ));
    }

    async fn summary(&self, started: Instant) -> Result<(), Error> {
        let seconds = started.elapsed().as_secs_f64();
        let rate = (self.recorded + self.duplicates) as f64 / seconds.max(1e-9);
        let mut events = self.store.read_events(self.topic, Read::all());
        let (mut streams, mut types) = (
            std::collections::HashSet::new(),
            std::collections::HashSet::new(),
        );
        let mut total = 0;
        while let Some(event) = events.try_next().await? {
            total += 1;
            if !streams.contains(event.stream.as_str()) {
                streams.insert(event.stream.as_str().to_owned());
            }
            if !types.contains(event.event_type.as_str()) {
                types.insert(event.event_type.as_str().to_owned());
            }
        }
        let (streams, types) = (streams.len() as u64, types.len() as u64);
        println!("recorded:         {}", HumanCount(self.recorded));
        println!("already recorded: {}", HumanCount(self.duplicates));
        println!("bad lines:        {}", HumanCount(self.bad));
        println!("rate:             {} events/s", HumanCount(rate as u64));
        println!(
            "topic {}: {} events in {} streams of {} types",
            self.topic,
            HumanCount(total),
            HumanCount(streams),
            HumanCount(types)
        );
        Ok(())
    }
}

/// Whether an append was refused because of what one of its lines says.
fn concerns_a_line(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidEvent { .. }
            | Error::InvalidAppend { .. }
            | Error::IdempotencyConflict { .. }
            | Error::TooLarge { .. }
            | Error::StreamDeleted { .. }
    )
}
