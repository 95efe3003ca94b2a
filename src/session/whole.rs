//! Folders that are whole or not there: filled under another name, brought to stable storage, then renamed.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// The name under which a folder is filled.
pub(super) fn draft_of(folder: &Path) -> PathBuf {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(".unfinished");
    folder.with_file_name(name)
}

/// Removes a draft that an interrupted command may have left.
pub(super) fn remove(draft: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Gives a filled draft its own name.
pub(super) fn keep(draft: &Path, folder: &Path) -> io::Result<()> {
    // One call for the hundreds of small files of a manifest.
    nix::unistd::syncfs(File::open(draft)?)?;
    std::fs::rename(draft, folder)?;
    File::open(folder.parent().unwrap_or(Path::new(".")))?.sync_all()
}
