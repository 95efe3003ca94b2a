//! The file that remembers which exports were asked for: a second run goes on with them instead of starting others.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::{Side, StoreId, Timestamp};
use crate::store::Window;
use crate::store::dynamodb::export::ExportWanted;

/// Version of the file's format.
const FORMAT: u32 = 1;
/// Its name in the session's folder.
const FILE: &str = "rescue.json";

/// How far an export has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RescueState {
    /// It is to be started.
    Planned,
    /// The service may have been asked; its answer was not heard.
    Asked,
    /// The service is at work.
    InProgress,
    /// It is there.
    Completed,
    /// It failed; the next run starts it anew.
    Failed,
}

impl RescueState {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            RescueState::Planned => "planned",
            RescueState::Asked => "asked for",
            RescueState::InProgress => "in progress",
            RescueState::Completed => "completed",
            RescueState::Failed => "FAILED",
        }
    }
}

/// What an export is to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "UPPERCASE")]
pub enum Holds {
    /// The whole table at an instant.
    Full {
        /// The instant.
        at: Timestamp,
    },
    /// What changed in a window.
    Incremental {
        /// Inclusive.
        from: Timestamp,
        /// Exclusive.
        to: Timestamp,
    },
}

impl Holds {
    /// In words.
    pub fn words(self) -> String {
        match self {
            Holds::Full { at } => format!("all at {at}"),
            Holds::Incremental { from, to } => format!("changes {from} to {to}"),
        }
    }
}

impl Holds {
    /// The window whose changes it holds, where it is not the whole table.
    pub(super) fn window(self) -> Option<Window> {
        match self {
            Holds::Full { .. } => None,
            Holds::Incremental { from, to } => Some(Window { from, to }),
        }
    }

    pub(super) fn wanted(self) -> ExportWanted {
        match self {
            Holds::Full { at } => ExportWanted::Full(at),
            Holds::Incremental { from, to } => ExportWanted::Incremental(Window { from, to }),
        }
    }
}

/// One export that saves a base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RescuedExport {
    /// The store.
    pub store: StoreId,
    /// Of which side's table it is.
    pub side: Side,
    /// The table's ARN.
    pub table: String,
    /// The very table.
    pub table_id: String,
    /// What it holds.
    pub holds: Holds,
    /// The bucket it goes to.
    pub bucket: String,
    /// What its keys begin with.
    pub prefix: String,
    /// How often it was started before and failed.
    pub failed: u32,
    /// How far it has come.
    pub state: RescueState,
    /// Its ARN, once the service told.
    pub arn: Option<String>,
    /// Where it is, as a profile names it.
    pub url: Option<String>,
    /// Why it failed.
    pub why: Option<String>,
}

impl RescuedExport {
    /// Whether it is of one side of a store.
    pub(super) fn is_of(&self, store: &StoreId, side: Side) -> bool {
        (&self.store, self.side) == (store, side)
    }

    /// The token that makes a repeated request start nothing new.
    pub(super) fn token(&self) -> String {
        let asked = (&self.table_id, self.holds, &self.bucket, &self.prefix, self.failed);
        let bytes = serde_json::to_vec(&asked).expect("plain values");
        blake3::hash(&bytes).to_hex()[..32].to_owned()
    }
}

/// All exports of a session.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct RescueRecord {
    format: u32,
    pub(super) exports: Vec<RescuedExport>,
}

/// Why the file cannot be used.
pub(super) enum RecordError {
    File(io::Error),
    Damaged(String),
}

pub(super) fn path(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

impl RescueRecord {
    /// Reads the record of a session; an empty one where there is none.
    pub(super) fn read(folder: &Path) -> Result<RescueRecord, RecordError> {
        let bytes = match std::fs::read(path(folder)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(RescueRecord { format: FORMAT, exports: Vec::new() });
            }
            Err(error) => return Err(RecordError::File(error)),
        };
        let record: RescueRecord =
            serde_json::from_slice(&bytes).map_err(|error| RecordError::Damaged(error.to_string()))?;
        match record.format {
            FORMAT => Ok(record),
            other => Err(RecordError::Damaged(format!("its format is {other}, this version reads {FORMAT}"))),
        }
    }

    /// Exports of one side of a store that the service is at work on.
    pub(super) fn under_way(&mut self, store: &StoreId, side: Side) -> impl Iterator<Item = &mut RescuedExport> {
        self.exports
            .iter_mut()
            .filter(move |export| export.is_of(store, side) && export.state == RescueState::InProgress)
    }

    /// Brings the record to stable storage, whole or not at all.
    pub(super) fn save(&self, folder: &Path) -> io::Result<()> {
        let draft = folder.join(format!("{FILE}.unfinished"));
        let mut file = File::create(&draft)?;
        serde_json::to_writer_pretty(&mut file, self)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        std::fs::rename(&draft, path(folder))?;
        File::open(folder)?.sync_all()
    }
}
