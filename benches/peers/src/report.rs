//! Makes tables and plots of what was measured.

use std::path::{Path, PathBuf};

use crate::target::Result;

pub(crate) fn report(_lines: &[PathBuf], _plots: &Path) -> Result<()> {
    Ok(())
}

/// The bytes of all files in a directory.
pub(crate) fn bytes_of(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        bytes += if path.is_dir() {
            bytes_of(&path)?
        } else {
            std::fs::metadata(&path)?.len()
        };
    }
    Ok(bytes)
}
