//! The few things that are asked of the operating system, and how its errors are told.
//!
//! Everything here blocks; it is called from worker threads only.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

use tokio::{
    runtime::Handle,
    task::{JoinError, JoinHandle},
};

use crate::models::Error;

/// Reads up to `length` bytes at `offset`; fewer only at the end of the file. The memory is not
/// zeroed before, which at a page of 1 MiB costs as much as the read.
pub(super) fn read_at(file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        let at = offset + bytes.len() as u64;
        match rustix::io::pread(file, rustix::buffer::spare_capacity(&mut bytes), at) {
            Ok(0) => break,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

/// Writes all of `bytes` at `offset`, and goes on after a short write.
pub(super) fn write_at(file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    file.write_all_at(bytes, offset)
}

/// Makes the entries of a directory durable.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Opens a file that must not be there yet.
pub(super) fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)
}

/// Opens a file that is there, to write into it.
pub(super) fn open_writable(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// Whether somebody else holds the lock of a file; nobody does where it is not there.
pub(super) fn is_locked(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        opened => opened?,
    };
    match file.try_lock_shared() {
        Ok(()) => file.unlock().map(|()| false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Turns an error of the operating system into ours.
pub(super) fn unavailable(repository: &str, doing: &str, path: &Path, error: io::Error) -> Error {
    Error::RepositoryUnavailable {
        repository: repository.to_owned(),
        reason: format!("cannot {doing} {}", path.display()),
        source: Some(Box::new(error)),
    }
}

/// Damage found in a file.
pub(super) fn corruption(path: &Path, offset: u64, reason: impl Into<String>) -> Error {
    Error::Corruption {
        place: format!("{}, offset {offset}", path.display()),
        reason: reason.into(),
    }
}

/// Begins `work`, which blocks, away from the threads that poll futures.
pub(super) fn start<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<JoinHandle<Result<T, Error>>, Error> {
    let runtime = Handle::try_current().map_err(|error| Error::RepositoryUnavailable {
        repository: "file".to_owned(),
        reason: "no tokio runtime is running here".to_owned(),
        source: Some(Box::new(error)),
    })?;
    Ok(runtime.spawn_blocking(work))
}

/// Waits for work that was begun.
pub(super) async fn finish<T>(
    work: impl Future<Output = Result<Result<T, Error>, JoinError>>,
) -> Result<T, Error> {
    match work.await {
        Ok(result) => result,
        Err(failed) if failed.is_cancelled() => Err(Error::Closed),
        Err(failed) => Err(Error::RepositoryUnavailable {
            repository: "file".to_owned(),
            reason: "an operation ended by a panic, which is a fault of this library".to_owned(),
            source: Some(Box::new(failed)),
        }),
    }
}

/// Runs `work`, which blocks, away from the threads that poll futures.
pub(super) async fn unblock<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    finish(start(work)?).await
}
