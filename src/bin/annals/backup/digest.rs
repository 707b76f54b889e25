//! The lines of a topic, and their digest.

use std::io::{self, Write};

use annals::{EventStream, json::write_event};
use futures_util::TryStreamExt as _;
use indicatif::ProgressBar;
use sha2::{Digest as _, Sha256};

use super::super::failure::Failure;

/// What was written of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Digest {
    pub(super) events: u64,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// Writes events as lines; `io::sink()` takes those of which only the digest is wanted.
pub(super) async fn write(
    mut events: EventStream,
    out: &mut impl Write,
    bar: &ProgressBar,
) -> Result<Digest, Failure> {
    let mut hasher = Sha256::new();
    let (mut count, mut bytes) = (0, 0);
    let mut line = Vec::new();
    while let Some(event) = events.try_next().await? {
        line.clear();
        write_event(&mut line, &event);
        line.push(b'\n');
        hasher.update(&line);
        let written: io::Result<()> = out.write_all(&line);
        written.map_err(|error| Failure::io("the backup cannot be written", &error))?;
        count += 1;
        bytes += line.len() as u64;
        bar.set_position(count);
    }
    let sha256 = hasher.finalize();
    Ok(Digest {
        events: count,
        bytes,
        sha256: sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
    })
}
