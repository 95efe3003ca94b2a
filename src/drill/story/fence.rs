//! The fence around dr, as the profile's commands use it.

use std::path::Path;

use super::{Result, StoryError, ledger};
use crate::drill::sandbox::Record;

/// The shop's writers obey it where the emulator has no permissions to take; PostgreSQL's are taken for good.
const FLAG: &str = "fenced";

/// What a write to dr met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fence {
    /// It was refused everywhere.
    Up,
    /// It got through somewhere.
    Down,
}

/// Stops every writer of dr in the sandbox in `folder`; the body of the hidden command `failback drill --fence FOLDER`.
///
/// # Errors
///
/// When a writer could not be stopped.
pub async fn fence(folder: &Path) -> Result<()> {
    std::fs::write(folder.join(FLAG), "").map_err(StoryError::caused("cannot raise the fence's flag"))?;
    match record(folder)? {
        Some(record) => ledger::fence(record.postgres_dr.port).await,
        None => Ok(()),
    }
}

/// Tries to write to every store of dr as the shop does, without changing anything; the body of the hidden command
/// `failback drill --try-write FOLDER`, which exits 0 when a write got through.
///
/// # Errors
///
/// When the fence could not be tried.
pub async fn try_write(folder: &Path) -> Result<Fence> {
    if !is_flagged(folder) {
        return Ok(Fence::Down);
    }
    match record(folder)? {
        Some(record) if ledger::may_write(record.postgres_dr.port).await? => Ok(Fence::Down),
        _ => Ok(Fence::Up),
    }
}

pub(super) fn is_flagged(folder: &Path) -> bool {
    folder.join(FLAG).exists()
}

pub(super) fn lower_flag(folder: &Path) -> Result<()> {
    match std::fs::remove_file(folder.join(FLAG)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StoryError::caused("cannot lower the fence's flag")(error))
        }
        _ => Ok(()),
    }
}

fn record(folder: &Path) -> Result<Option<Record>> {
    Record::read(folder).map_err(StoryError::caused("cannot read the sandbox's record"))
}
