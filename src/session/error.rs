//! Why a session method could not go on.

use std::path::PathBuf;

use crate::compare::CompareError;
use crate::cutover::{CutoverError, CutoverErrorKind};
use crate::journal::JournalError;
use crate::model::Side;
use crate::replay::ReplayError;
use crate::store::{ErrorKind, Finding, StoreError};
use crate::verify::{CertificateError, ProofRefused, SigningKeyError};

/// Why a session method could not go on. Expected results (differences, held items, refusals) are values, not errors.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// `--store` names no store of the profile.
    #[error("the profile has no store `{name}`; it has {known}")]
    UnknownStore {
        /// The name given.
        name: String,
        /// The names there are.
        known: String,
    },
    /// Both sides are one resource: replaying would write what is read.
    #[error("both sides of store {store} are the same resource, {resource}")]
    SameResource {
        /// The store.
        store: String,
        /// The resource.
        resource: String,
    },
    /// The two sides cannot be compared item by item.
    #[error("the two sides of store {store} have different shapes")]
    ShapesDiffer {
        /// The store.
        store: String,
        /// Every difference.
        findings: Vec<Finding>,
    },
    /// A side turned out to be in another account than the profile says.
    #[error("{side} is account {found}, the profile says {expected}")]
    WrongAccount {
        /// The side.
        side: Side,
        /// The account of the credentials.
        found: String,
        /// The account in the profile.
        expected: String,
    },
    /// A side could not be asked for its account.
    #[error("the account of {side} cannot be told")]
    Account {
        /// The side.
        side: Side,
        /// Why.
        source: StoreError,
    },
    /// A store could not be reached or asked.
    #[error("store {store} cannot be used")]
    Store {
        /// The store.
        store: String,
        /// Why.
        source: StoreError,
    },
    /// A comparison could not be finished.
    #[error(transparent)]
    Compare(#[from] CompareError),
    /// A replay or undo had to stop.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The journal could not be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A file of the session could not be used.
    #[error("cannot use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of the session is not what was written.
    #[error("{} is damaged: {what}", path.display())]
    DamagedFile {
        /// The file.
        path: PathBuf,
        /// What does not hold.
        what: String,
    },
    /// There is nothing to compare with: this session wrote nothing.
    #[error("this session wrote nothing, so there is nothing that could have been undone")]
    NothingWritten,
    /// What the session kept of a store says nothing to what the profile compares now.
    #[error("what this session kept of the primary of store {store} {why}")]
    OtherLeaves {
        /// The store.
        store: String,
        /// Why, with what to do.
        why: String,
    },
    /// What a person meant to decide is not there to be decided.
    #[error("nothing was decided: {why}")]
    NotDecided {
        /// Why.
        why: String,
    },
    /// The newest plan was made before a decision was taken back that it may rest on.
    #[error("the newest plan was made while decision {number} stood, which was taken back since")]
    DecisionTakenBack {
        /// Its number.
        number: i64,
    },
    /// A decision that cannot be taken back.
    #[error("decision {number} cannot be taken back: {why}")]
    NotTakenBack {
        /// Its number.
        number: i64,
        /// Why.
        why: String,
    },
    /// There is no plan to replay.
    #[error("this session has no plan")]
    NoPlan,
    /// The plan no longer fits what there is.
    #[error("the plan no longer fits: {why}")]
    PlanOutdated {
        /// Why.
        why: String,
    },
    /// The profile lacks something this command needs.
    #[error("the profile has no {what}")]
    ProfileLacks {
        /// What is lacking, as in the profile.
        what: &'static str,
    },
    /// A checkpoint name that is taken.
    #[error("checkpoint {} exists already", path.display())]
    CheckpointExists {
        /// Its folder.
        path: PathBuf,
    },
    /// The freeze command or its proof failed: dr must be taken to be open.
    #[error("writes to dr are not proved to be stopped: {why}")]
    NotFrozen {
        /// Why.
        why: String,
    },
    /// The certificate is not taken as proof.
    #[error(transparent)]
    ProofRefused(#[from] ProofRefused),
    /// A certificate cannot be made or read.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The session's key cannot be made or read.
    #[error(transparent)]
    SigningKey(#[from] SigningKeyError),
    /// Traffic could not be read or moved.
    #[error(transparent)]
    Cutover(#[from] CutoverError),
}

impl SessionError {
    /// The kind of store error behind this one, where there is one.
    pub fn store_kind(&self) -> Option<ErrorKind> {
        match self {
            SessionError::Store { source, .. }
            | SessionError::Account { source, .. }
            | SessionError::Compare(CompareError::Read { source, .. })
            | SessionError::Replay(ReplayError::Read { source, .. } | ReplayError::Write { source, .. }) => {
                Some(source.kind)
            }
            SessionError::Cutover(error) => match error.kind {
                CutoverErrorKind::Service(kind) => Some(kind),
                _ => None,
            },
            _ => None,
        }
    }
}
