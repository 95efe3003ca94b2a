//! Exit codes and how failures are told.

use std::error::Error;

use super::args::Global;
use crate::cutover::CutoverErrorKind;
use crate::journal::JournalError;
use crate::session::SessionError;
use crate::store::ErrorKind;

/// How a command ended; the numbers are a contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, or at parity.
    Done = 0,
    /// The sides differ.
    Differs = 1,
    /// Bad usage or a bad profile.
    Usage = 2,
    /// Items are held or writes were refused: a person must decide.
    Undecided = 3,
    /// Something could not be read or reached: never counts as parity.
    Incomplete = 4,
    /// Interrupted; run the same command to resume.
    Interrupted = 5,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        std::process::ExitCode::from(exit as u8)
    }
}

/// A failure on its way to the operator.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What happened, with its causes.
    pub error: Box<dyn Error + Send + Sync>,
    /// What to do.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure without a hint.
    pub fn plain(exit: Exit, error: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
        Failure { exit, error: error.into(), hint: None }
    }

    /// A failure with a hint.
    pub fn hinted(exit: Exit, error: impl Into<Box<dyn Error + Send + Sync>>, hint: impl Into<String>) -> Failure {
        Failure { exit, error: error.into(), hint: Some(hint.into()) }
    }
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Failure {
        let (exit, hint) = judge(&error);
        let again = match (exit, error.store_kind()) {
            (Exit::Incomplete, Some(_)) => ", then run the same command again",
            _ => "",
        };
        let hint = hint.map(|hint| format!("{hint}{again}{}", what_is_safe(&error)));
        Failure { exit, error: Box::new(error), hint }
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Failure {
        SessionError::from(error).into()
    }
}

fn judge(error: &SessionError) -> (Exit, Option<&'static str>) {
    use SessionError as E;
    match error {
        E::Journal(JournalError::Locked { .. }) => {
            (Exit::Usage, Some("wait for the other command to end, or end that process: nothing will be lost"))
        }
        E::Journal(JournalError::NoSession { .. }) => (Exit::Usage, Some("run failback check or plan first")),
        E::Journal(JournalError::Folder { .. }) => {
            (Exit::Incomplete, Some("make the folder writable for this user, or name another with --session DIR"))
        }
        E::Journal(JournalError::Damaged { .. }) => (
            Exit::Incomplete,
            Some("keep the file as evidence, restore it from a copy, or begin anew with --session DIR"),
        ),
        E::UnknownStore { .. } => (Exit::Usage, None),
        E::SameResource { .. } => (Exit::Usage, Some("name another resource for one of them; nothing was written")),
        E::ShapesDiffer { .. } => (Exit::Usage, Some("make both alike, or name another resource; nothing was written")),
        E::WrongAccount { .. } => (Exit::Usage, Some("use that account's credentials; nothing was written")),
        E::ProfileLacks { .. } => (Exit::Usage, Some("see docs/profile.md for what goes there")),
        E::NoPlan => (Exit::Usage, Some("run failback plan first")),
        E::CheckpointExists { .. } => (Exit::Usage, Some("a checkpoint is never overwritten: choose another name")),
        E::PlanOutdated { .. } => {
            (Exit::Undecided, Some("make sure it is the resource you mean, then run failback plan"))
        }
        E::ProofRefused(_) | E::Certificate(_) => {
            (Exit::Undecided, Some("run failback verify for a fresh certificate"))
        }
        E::NotFrozen { .. } => {
            (Exit::Differs, Some("stop the writers in DR (failback verify --freeze runs the profile's command)"))
        }
        E::Cutover(error) => judge_cutover(error.kind),
        E::Compare(crate::compare::CompareError::Base { .. } | crate::compare::CompareError::Manifest { .. }) => {
            (Exit::Usage, Some("name a checkpoint from before the disaster, or base = \"none\""))
        }
        _ => judge_store(error.store_kind()),
    }
}

fn judge_cutover(kind: CutoverErrorKind) -> (Exit, Option<&'static str>) {
    use CutoverErrorKind as K;
    match kind {
        K::Unfit | K::Probe => (Exit::Usage, Some("check [cutover] of the profile against the hosted zone")),
        K::Drifted => (Exit::Undecided, Some("somebody else is changing the weights: find out who, then run it again")),
        K::NotInsync => (Exit::Incomplete, Some("look at the hosted zone, then run the same command again")),
        K::NotRecorded => (Exit::Incomplete, Some("make the session folder writable, then run the same command again")),
        K::Service(kind) => judge_store(Some(kind)),
    }
}

fn judge_store(kind: Option<ErrorKind>) -> (Exit, Option<&'static str>) {
    match kind {
        Some(ErrorKind::Missing) => (Exit::Usage, Some(ErrorKind::Missing.remedy())),
        Some(kind) => (Exit::Incomplete, Some(kind.remedy())),
        None => (Exit::Incomplete, Some("nothing unknown counts as fine: mend it, then run the same command again")),
    }
}

/// What an operator need not fear, to end a hint with.
fn what_is_safe(error: &SessionError) -> &'static str {
    use SessionError as E;
    match error {
        E::Replay(_) => {
            "; every write is in the session's journal: it goes on from there, and failback undo takes it back"
        }
        E::Cutover(_) => "; no weight was changed but those told above, and failback cutover --retreat gives all to dr",
        E::Store { .. } | E::Account { .. } | E::Compare(_) if error.store_kind().is_some() => {
            "; nothing was decided and nothing was written"
        }
        _ => "",
    }
}

/// Tells a failure on stderr, as JSON on stdout too where that was asked for, and gives its exit code.
pub fn report(failure: &Failure, global: &Global) -> Exit {
    eprintln!("error: {}", failure.error);
    let mut causes = Vec::new();
    let mut cause = failure.error.source();
    while let Some(error) = cause {
        eprintln!("  because: {error}");
        causes.push(error.to_string());
        cause = error.source();
    }
    if let Some(SessionError::ShapesDiffer { findings, .. }) = failure.error.downcast_ref() {
        findings.iter().for_each(|finding| eprintln!("  {:?}: {}", finding.level, finding.what));
    }
    if let Some(hint) = &failure.hint {
        eprintln!("hint: {hint}");
    }
    if global.json {
        let document = serde_json::json!({
            "format": 1,
            "error": failure.error.to_string(),
            "causes": causes,
            "hint": failure.hint,
            "exit_code": failure.exit as u8,
        });
        println!("{document}");
    }
    failure.exit
}
