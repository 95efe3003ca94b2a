//! The session's one durable file: a lock, events chained by BLAKE3, the plan, and the first prior image of every step.
//!
//! An append returns when the event is on stable storage (SQLite, write-ahead log, synchronous FULL); many events of one
//! batch share one commit. A file that was torn is what it was at its last commit; a file that was edited or damaged is
//! told, never guessed around.

mod chain;
mod decisions;
mod event;
mod head;
mod lock;
mod priors;
mod schema;
mod seal;
mod steps;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use rusqlite::{Connection, OpenFlags, Transaction, params};

pub use decisions::{DecisionOn, DecisionRow, DecisionWriter};
pub use event::{Event, EventRecord};
use head::Head;
pub use lock::SessionLock;
pub use priors::{FoundImage, NewestImages, PriorFate, PriorImage};
pub use steps::{PlanRecord, PlanWriter, Settlement, StepRow, StepState};

use crate::model::{Clock, Digest, Timestamp};

/// Version of the journal's tables and events.
pub const JOURNAL_FORMAT: i64 = 3;

/// The journal's file within the session folder.
pub const JOURNAL_FILE: &str = "session.sqlite";

/// A journal that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process works on this session.
    #[error("session {} is in use by process {pid}", folder.display())]
    Locked {
        /// The session folder.
        folder: PathBuf,
        /// The owner, 0 when it could not be read.
        pid: u32,
    },
    /// There is no session here.
    #[error("there is no session in {}", folder.display())]
    NoSession {
        /// The session folder.
        folder: PathBuf,
    },
    /// The folder cannot be used.
    #[error("cannot use session folder {}", folder.display())]
    Folder {
        /// The session folder.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// SQLite could not read.
    #[error("the session's journal failed")]
    Sqlite(#[from] rusqlite::Error),
    /// The file could not be written: nothing of what was to be recorded together was kept.
    #[error("cannot write the session's journal {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The file is not what was written: a person must look at it.
    #[error("the journal in {} is damaged: {what}", folder.display())]
    Damaged {
        /// The session folder.
        folder: PathBuf,
        /// What does not hold.
        what: String,
    },
    /// Another version wrote it.
    #[error("the journal has format {found}, this program reads {JOURNAL_FORMAT}")]
    Version {
        /// The version found.
        found: i64,
    },
    /// An event cannot be written as JSON.
    #[error("an event cannot be written")]
    Encode(#[from] serde_json::Error),
}

impl JournalError {
    /// Whether the disk has no room.
    pub fn is_disk_full(&self) -> bool {
        let (JournalError::Sqlite(source) | JournalError::Write { source, .. }) = self else { return false };
        source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
    }
}

/// What a journal operation gives.
pub type Result<T> = std::result::Result<T, JournalError>;

/// An open journal.
pub struct Journal {
    folder: PathBuf,
    connection: Mutex<Connection>,
    clock: Arc<dyn Clock>,
    _lock: Option<SessionLock>,
}

impl Journal {
    /// Opens or makes the journal of a session for writing, alone.
    ///
    /// # Errors
    ///
    /// [`JournalError::Locked`] while another process has it; [`JournalError::Damaged`] when the chain does not hold.
    pub fn open(folder: &Path, clock: Arc<dyn Clock>) -> Result<Journal> {
        let folder_error = |source| JournalError::Folder { folder: folder.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(folder_error)?;
        restrict(folder, 0o700).map_err(folder_error)?;
        let lock = SessionLock::take(folder)?;
        let path = folder.join(JOURNAL_FILE);
        if !path.exists() {
            refuse_lost(folder)?;
            create(folder, &path)?;
        }
        let connection = Connection::open(&path)?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        schema::prepare(&connection).map_err(|error| told(folder, error))?;
        let journal =
            Journal { folder: folder.to_owned(), connection: Mutex::new(connection), clock, _lock: Some(lock) };
        journal.prove()?;
        Ok(journal)
    }

    /// Opens the journal of a session for reading, also while another process writes it.
    ///
    /// # Errors
    ///
    /// [`JournalError::NoSession`] where there is none.
    pub fn read_only(folder: &Path, clock: Arc<dyn Clock>) -> Result<Journal> {
        let path = folder.join(JOURNAL_FILE);
        if !path.exists() {
            refuse_lost(folder)?;
            return Err(JournalError::NoSession { folder: folder.to_owned() });
        }
        let connection = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        connection.pragma_update(None, "query_only", true)?;
        schema::check_version(&connection).map_err(|error| told(folder, error))?;
        let journal = Journal { folder: folder.to_owned(), connection: Mutex::new(connection), clock, _lock: None };
        journal.prove()?;
        Ok(journal)
    }

    /// The session folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().expect("no journal operation panics while it holds the connection")
    }

    /// Appends events in one commit; returns when they are on stable storage.
    ///
    /// # Errors
    ///
    /// [`JournalError`]: nothing of the batch was kept.
    pub fn append(&self, events: &[Event]) -> Result<()> {
        self.commit(|transaction, at| chain::append(transaction, at, events))
    }

    /// Runs one transaction; `work` is given the instant it happens at.
    fn commit<T>(&self, work: impl FnOnce(&Transaction<'_>, Timestamp) -> Result<T>) -> Result<T> {
        let committed = in_transaction(&mut self.connection(), |transaction| work(transaction, self.clock.now()));
        let (done, head) = committed.map_err(|error| told(&self.folder, error))?;
        head.into_iter().for_each(|head| head.write(&self.folder));
        Ok(done)
    }

    /// Keeps the text of a profile as it was, by its digest; the `Began` events name the digest.
    ///
    /// # Errors
    ///
    /// [`JournalError`] when it cannot be stored.
    pub fn keep_profile(&self, digest: Digest, text: &str) -> Result<()> {
        let insert = "INSERT OR IGNORE INTO profile (digest, text) VALUES (?1, ?2)";
        let kept = self.connection().execute(insert, params![digest.0.as_slice(), text]);
        kept.map(drop).map_err(|error| told(&self.folder, error.into()))
    }

    /// All events in order; a session has several for every step, so [`Journal::each_event`] is the way for large ones.
    ///
    /// # Errors
    ///
    /// [`JournalError::Damaged`] when one cannot be read.
    pub fn events(&self) -> Result<Vec<EventRecord>> {
        let mut events = Vec::new();
        self.each_event(|record| events.push(record))?;
        Ok(events)
    }

    /// Gives all events in order, one by one; `told` must not use the journal.
    ///
    /// # Errors
    ///
    /// [`JournalError::Damaged`] when one cannot be read.
    pub fn each_event(&self, told: impl FnMut(EventRecord)) -> Result<()> {
        chain::each(&self.connection(), &self.folder, (0, i64::MAX), told)
    }

    /// The number of the last event, 0 when there is none.
    ///
    /// # Errors
    ///
    /// [`JournalError`] when it cannot be read.
    pub fn last_event(&self) -> Result<i64> {
        Ok(chain::head(&self.connection())?.map_or(0, |head| head.seq))
    }

    /// Up to `limit` events after number `after`, in order; also while another process appends.
    ///
    /// # Errors
    ///
    /// [`JournalError::Damaged`] when one cannot be read.
    pub fn events_after(&self, after: i64, limit: u32) -> Result<Vec<EventRecord>> {
        let mut events = Vec::new();
        chain::each(&self.connection(), &self.folder, (after, i64::from(limit)), |record| events.push(record))?;
        Ok(events)
    }

    fn prove(&self) -> Result<()> {
        // Read first: another process may append while we look.
        let head = Head::read(&self.folder);
        let connection = self.connection();
        let verdict: String = connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(|error| told(&self.folder, error.into()))?;
        if verdict != "ok" {
            return Err(JournalError::Damaged { folder: self.folder.clone(), what: verdict });
        }
        let proved = chain::prove(&connection, &self.folder, head.as_ref());
        proved.and_then(|()| steps::prove_states(&connection, &self.folder)).map_err(|error| told(&self.folder, error))
    }
}

/// Commits `work`, and gives the last event with what it came to.
fn in_transaction<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> Result<T>,
) -> Result<(T, Option<Head>)> {
    let transaction = connection.transaction()?;
    let done = work(&transaction)?;
    let head = chain::head(&transaction)?;
    transaction.commit()?;
    Ok((done, head))
}

/// An error of SQLite as the operator needs it: damage, or a file that cannot be written.
fn told(folder: &Path, error: JournalError) -> JournalError {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    match error {
        JournalError::Sqlite(rusqlite::Error::SqliteFailure(failure, message))
            if matches!(failure.code, DatabaseCorrupt | NotADatabase) =>
        {
            let what = message.unwrap_or_else(|| failure.to_string());
            JournalError::Damaged { folder: folder.to_owned(), what }
        }
        JournalError::Version { found: 0 } => JournalError::Damaged {
            folder: folder.to_owned(),
            what: "it has no tables, so it was cut or emptied".into(),
        },
        JournalError::Sqlite(source @ rusqlite::Error::SqliteFailure(..)) => {
            JournalError::Write { path: folder.join(JOURNAL_FILE), source }
        }
        other => other,
    }
}

/// A folder whose journal is gone is not a new session.
fn refuse_lost(folder: &Path) -> Result<()> {
    match Head::read(folder) {
        None => Ok(()),
        Some(head) => {
            let what = format!("{JOURNAL_FILE} is gone, event {} was recorded in it", head.seq);
            Err(JournalError::Damaged { folder: folder.to_owned(), what })
        }
    }
}

/// Makes the file whole under another name: an empty or unfinished file under its own name is damage.
fn create(folder: &Path, path: &Path) -> Result<()> {
    let folder_error = |source| JournalError::Folder { folder: folder.to_owned(), source };
    let draft = folder.join(format!("{JOURNAL_FILE}.unfinished"));
    for left in [draft.clone(), folder.join(format!("{JOURNAL_FILE}.unfinished-journal"))] {
        match std::fs::remove_file(left) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(folder_error(error)),
            _ => {}
        }
    }
    create_private(&draft).map_err(folder_error)?;
    let made = Connection::open(&draft).map_err(JournalError::from).and_then(|connection| schema::create(&connection));
    made.map_err(|error| told(folder, error))?;
    std::fs::rename(&draft, path).and_then(|()| std::fs::File::open(folder)?.sync_all()).map_err(folder_error)
}

fn restrict(path: &Path, mode: u32) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

/// Prior images are customers' data: the file is its owner's alone from the first byte.
fn create_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path).map(drop)
}

#[cfg(test)]
mod tests;
