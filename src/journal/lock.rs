//! One process a session.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};

use super::JournalError;

/// Held while a process works on a session; the system releases it however the process ends.
#[derive(Debug)]
pub struct SessionLock {
    _file: Flock<File>,
}

/// The lock's file within the session folder; it holds its last owner's pid.
const LOCK_FILE: &str = "session.lock";

impl SessionLock {
    /// The process that took the lock last, whether or not it still holds it.
    pub fn owner(folder: &Path) -> Option<u32> {
        std::fs::read_to_string(folder.join(LOCK_FILE)).ok()?.trim().parse().ok()
    }

    /// Takes the lock of a session folder.
    ///
    /// # Errors
    ///
    /// [`JournalError::Locked`] with the owner's pid.
    pub fn take(folder: &Path) -> Result<SessionLock, JournalError> {
        let folder_error = |source| JournalError::Folder { folder: folder.to_owned(), source };
        let path = folder.join(LOCK_FILE);
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path);
        match Flock::lock(file.map_err(folder_error)?, FlockArg::LockExclusiveNonblock) {
            Ok(mut file) => {
                let written = file
                    .set_len(0)
                    .and_then(|()| file.seek(SeekFrom::Start(0)))
                    .and_then(|_| write!(*file, "{}", std::process::id()));
                written.map_err(folder_error)?;
                Ok(SessionLock { _file: file })
            }
            Err((mut file, _)) => {
                let mut text = String::new();
                file.read_to_string(&mut text).map_err(folder_error)?;
                Err(JournalError::Locked { folder: folder.to_owned(), pid: text.trim().parse().unwrap_or(0) })
            }
        }
    }
}
