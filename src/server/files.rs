//! Small files that are read when the server starts, and again when they change.

use std::{
    fs::{self, Metadata},
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use tokio::task::spawn_blocking;

/// More than any certificate or list of callers needs.
const MOST: u64 = 16 << 20;

/// What a file looked like: enough to tell that it has changed. `None` where it could not be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen(Option<(u64, Option<SystemTime>)>);

impl Seen {
    /// Looks at a file, through links: a mounted secret is replaced by turning a link.
    pub(super) async fn of(path: &Path) -> Self {
        let path = path.to_owned();
        let looked = spawn_blocking(move || fs::metadata(path)).await;
        Self(looked.ok().and_then(Result::ok).as_ref().map(describe))
    }
}

fn describe(metadata: &Metadata) -> (u64, Option<SystemTime>) {
    (metadata.len(), metadata.modified().ok())
}

/// Reads a file, and tells what it looked like before that: a change in between is found by the next look.
pub(super) async fn read(path: &Path) -> io::Result<(Vec<u8>, Seen)> {
    let seen = Seen::of(path).await;
    let owned = path.to_owned();
    let bytes = spawn_blocking(move || read_all(owned)).await??;
    Ok((bytes, seen))
}

fn read_all(path: PathBuf) -> io::Result<Vec<u8>> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    if fs::metadata(&path).map_err(named)?.len() > MOST {
        let text = format!("{} is larger than 16 MiB", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    fs::read(&path).map_err(named)
}
