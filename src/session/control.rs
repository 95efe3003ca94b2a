//! The control plane around the stores, and the file that says what was adopted.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::check::CheckOutcome;
use super::{Result, Session, SessionError};
use crate::control::iac::{IacFile, files};
use crate::control::{
    Adopted, AdoptedKind, DatabaseSides, Looked, Named, RescuedSnapshot, look_at_databases, look_at_restores,
    rescue_snapshots,
};
use crate::model::Side;
use crate::profile::{DatabaseProfile, Resources, StoreProfile};

/// Version of the file's format.
const FORMAT: u32 = 1;
/// Its name in the session's folder.
const FILE: &str = "adopted.json";

/// What the last check found to take another resource's place.
#[derive(Debug, Serialize, Deserialize)]
struct AdoptedFile {
    format: u32,
    adopted: Vec<Adopted>,
}

impl Session {
    /// Looks at what RDS and AWS Backup tell of the chosen stores, and notes in the session's folder what takes another
    /// resource's place.
    pub(super) async fn check_control(&self, outcome: &mut CheckOutcome) -> Result<()> {
        let mut pairs = Vec::new();
        for store in self.chosen() {
            if let Some(sides) = self.database_sides(store) {
                outcome.hear(Box::pin(look_at_databases(sides)).await);
            }
            pairs.extend(self.named(store));
        }
        let looking = Box::pin(look_at_restores(&self.profile.primary, &self.profile.dr, &pairs));
        let (looked, adopted) = looking.await;
        outcome.hear(looked);
        save(self.folder(), adopted)
    }

    /// Starts the copies of snapshots that would expire; tells what could not be asked.
    pub(super) async fn rescue_snapshots(&self) -> (Vec<RescuedSnapshot>, Vec<String>) {
        let (mut rescued, mut problems) = (Vec::new(), Vec::new());
        for store in self.chosen() {
            let Some(sides) = self.database_sides(store) else { continue };
            let (more, why) = Box::pin(rescue_snapshots(sides)).await;
            rescued.extend(more);
            problems.extend(why);
        }
        (rescued, problems)
    }

    fn database_sides<'a>(&'a self, store: &'a StoreProfile) -> Option<DatabaseSides<'a>> {
        let (Resources::Postgres(rows) | Resources::Mysql(rows)) = &store.resources else { return None };
        let (home, away) = (&self.profile.primary, &self.profile.dr);
        Some(DatabaseSides { store: &store.name, primary: (home, &rows.primary), dr: (away, &rows.dr) })
    }

    /// The resources of a store that AWS may have restored, by name.
    fn named(&self, store: &StoreProfile) -> Option<[Named; 2]> {
        let named = |side: Side, kind: AdoptedKind, name: &str| {
            let reached = if side == Side::Primary { &self.profile.primary } else { &self.profile.dr };
            Named::new(&store.name, side, kind, (&reached.region, name))
        };
        let both = |one: (AdoptedKind, &str), other: (AdoptedKind, &str)| {
            Some([named(Side::Primary, one.0, one.1), named(Side::Dr, other.0, other.1)])
        };
        match &store.resources {
            Resources::DynamoDb { primary, dr, .. } => {
                both((AdoptedKind::Table, &primary.table), (AdoptedKind::Table, &dr.table))
            }
            Resources::Postgres(rows) | Resources::Mysql(rows) => both(by_name(&rows.primary)?, by_name(&rows.dr)?),
            Resources::S3 { primary, dr, .. } => {
                both((AdoptedKind::Bucket, &primary.bucket), (AdoptedKind::Bucket, &dr.bucket))
            }
            Resources::Memory { .. } => None,
        }
    }
}

fn by_name(database: &DatabaseProfile) -> Option<(AdoptedKind, &str)> {
    let instance = database.instance.as_deref().map(|name| (AdoptedKind::Instance, name));
    instance.or(database.cluster.as_deref().map(|name| (AdoptedKind::Cluster, name)))
}

impl CheckOutcome {
    fn hear(&mut self, looked: Looked) {
        self.findings.extend(looked.findings);
        self.guides.extend(looked.guides);
        self.complete &= !looked.is_incomplete;
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

/// Notes what is adopted; nothing rests on it but what `report --iac` writes.
fn save(folder: &Path, adopted: Vec<Adopted>) -> Result<()> {
    let failed = |source| SessionError::File { path: path(folder), source };
    let draft = folder.join(format!("{FILE}.unfinished"));
    let text = serde_json::to_vec(&AdoptedFile { format: FORMAT, adopted }).expect("it has only string keys");
    std::fs::write(&draft, text).and_then(|()| std::fs::rename(&draft, path(folder))).map_err(failed)
}

/// What the last check of a session found to take another resource's place; `None` where none has looked.
fn read_adopted(folder: &Path) -> Result<Option<Vec<Adopted>>> {
    let damaged = |what: String| SessionError::DamagedFile { path: path(folder), what };
    let text = match std::fs::read(path(folder)) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(SessionError::File { path: path(folder), source }),
    };
    let file: AdoptedFile = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
    match file.format {
        FORMAT => Ok(Some(file.adopted)),
        other => Err(damaged(format!("it is of format {other}, and this program knows {FORMAT}"))),
    }
}

/// Why the files by which others adopt what was restored are not written, or not all.
#[derive(Debug, thiserror::Error)]
pub enum AdoptionError {
    /// Nobody has looked.
    #[error("no check of this session has looked at what was restored")]
    NotLooked,
    /// It may be somebody's work.
    #[error("{} is there already", path.display())]
    IsThere {
        /// The file.
        path: PathBuf,
    },
    /// The session's own file, or one that was to be written.
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// Writes into folder `to` the files by which Terraform and CloudFormation adopt what the last check of the session in
/// `session` found to take another resource's place, of the named stores or, where none is named, of all; gives how many
/// files. Nothing is overwritten.
///
/// # Errors
///
/// [`AdoptionError`].
pub fn write_adoption(session: &Path, stores: &[String], to: &Path) -> std::result::Result<usize, AdoptionError> {
    let mut adopted = read_adopted(session)?.ok_or(AdoptionError::NotLooked)?;
    adopted.retain(|one| stores.is_empty() || stores.contains(&one.store));
    let files = files(&adopted);
    // Nothing is written unless everything can be.
    if let Some(path) = files.iter().map(|file| to.join(file.name)).find(|path| path.exists()) {
        return Err(AdoptionError::IsThere { path });
    }
    for IacFile { name, text } in &files {
        let path = to.join(name);
        let opened = std::fs::create_dir_all(to)
            .and_then(|()| OpenOptions::new().write(true).create_new(true).open(&path))
            .and_then(|mut file| file.write_all(text.as_bytes()));
        match opened {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(AdoptionError::IsThere { path }),
            written => written.map_err(|source| SessionError::File { path, source })?,
        }
    }
    Ok(files.len())
}
