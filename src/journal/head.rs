//! The journal's last event, noted apart from the journal: an end that was lost shows.
//!
//! SQLite drops what it cannot read at the end of its write-ahead log, for there it may be a commit that never came to
//! be. The note is written after a commit is on stable storage, so the journal never ends before it, unless the file was
//! cut, damaged or exchanged. It is not synced itself: an older note, or none, only tells less.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The note's file within the session folder.
const HEAD_FILE: &str = "session.head";

/// An event's number and hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub seq: i64,
    pub hash: Vec<u8>,
}

impl Head {
    /// The note of a session folder; a note that is torn or missing tells nothing.
    pub fn read(folder: &Path) -> Option<Head> {
        let text = std::fs::read_to_string(path(folder)).ok()?;
        let mut words = text.split_whitespace();
        let (seq, hash, check) = (words.next()?.parse().ok()?, hex::decode(words.next()?).ok()?, words.next()?);
        let head = Head { seq, hash };
        (head.check() == check).then_some(head)
    }

    /// Notes this event. A note that cannot be written leaves an older one, which is still true.
    pub fn write(&self, folder: &Path) {
        let line = format!("{:020} {} {}\n", self.seq, hex::encode(&self.hash), self.check());
        // Always as long as before, so a full disk has room for it.
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path(folder));
        let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
    }

    fn check(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"failback head 1\0").update(&self.seq.to_le_bytes()).update(&self.hash);
        hex::encode(&hasher.finalize().as_bytes()[..8])
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join(HEAD_FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_reads_back_and_a_torn_one_tells_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let head = |seq| Head { seq, hash: vec![seq as u8; 32] };
        assert_eq!(Head::read(folder.path()), None);
        head(7).write(folder.path());
        head(8).write(folder.path());
        assert_eq!(Head::read(folder.path()), Some(head(8)));
        let text = std::fs::read_to_string(path(folder.path())).expect("a note");
        for cut in [0, 10, 40, text.len() - 4] {
            std::fs::write(path(folder.path()), &text[..cut]).expect("torn");
            assert_eq!(Head::read(folder.path()), None, "{cut}");
        }
    }
}
