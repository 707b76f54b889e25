//! What is in a backup: the file `manifest.json` in its directory, which is written last.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::super::failure::{Failure, Kind};

const NAME: &str = "manifest.json";
/// The version of the format.
const FORMAT: u32 = 1;

/// What is in a backup.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    pub(super) format: u32,
    /// The version of this program.
    pub(super) version: String,
    pub(super) created_at: String,
    /// The store that was backed up.
    pub(super) store: String,
    /// Whether deleted topics were to be included.
    pub(super) with_deleted: bool,
    /// In the order in which they are restored: deleted ones as they were deleted, then those in use.
    pub(super) topics: Vec<Entry>,
}

/// A topic in a backup.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) deleted: bool,
    /// Whether it was where the configuration stream was: then it is restored where that is.
    pub(super) home: bool,
    pub(super) adapter: String,
    /// `${NAME}` stands in it as it was given; passwords are masked.
    pub(super) connection: String,
    pub(super) options: BTreeMap<String, String>,
    pub(super) created_at: String,
    pub(super) events: u64,
    pub(super) bytes: u64,
    /// The digest of the file.
    pub(super) sha256: String,
    /// The name of the file in the directory.
    pub(super) file: String,
}

impl Manifest {
    pub(super) fn new(store: String, created_at: String, with_deleted: bool) -> Self {
        Self {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            created_at,
            store,
            with_deleted,
            topics: Vec::new(),
        }
    }

    /// Writes it, so that it is there as a whole or not at all.
    pub(super) fn write(&self, directory: &Path) -> io::Result<()> {
        let (path, partial) = (directory.join(NAME), directory.join("manifest.partial"));
        let mut file = fs::File::create(&partial)?;
        serde_json::to_writer_pretty(&mut file, self)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&partial, &path)?;
        fs::File::open(directory)?.sync_all()
    }

    pub(super) fn read(directory: &Path) -> Result<Self, Failure> {
        let path = directory.join(NAME);
        let shown = path.display();
        let bytes = fs::read(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Failure::new(
                Kind::NotFound,
                format!("{shown} is not there: this is no backup, or one that was not finished"),
            ),
            _ => Failure::io(&shown.to_string(), &error),
        })?;
        let manifest: Self = serde_json::from_slice(&bytes)
            .map_err(|error| Failure::new(Kind::Corruption, format!("{shown}: {error}")))?;
        if manifest.format != FORMAT {
            return Err(Failure::usage(format!(
                "{shown} has format {}, and this program knows {FORMAT}",
                manifest.format
            )));
        }
        Ok(manifest)
    }
}

impl Entry {
    /// Where its events are. A manifest that names a file elsewhere was not written here.
    pub(super) fn path(&self, directory: &Path) -> Result<PathBuf, Failure> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if self.file.starts_with('.') || !self.file.chars().all(plain) {
            let reason = format!("the manifest names a file {:?}", self.file);
            return Err(Failure::new(Kind::Corruption, reason));
        }
        Ok(directory.join(&self.file))
    }

    /// What it is called in messages.
    pub(super) fn title(&self) -> String {
        let deleted = if self.deleted { " (deleted)" } else { "" };
        format!("topic {}{deleted}", self.name)
    }
}
