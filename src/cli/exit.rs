//! Exit codes and how failures are told.

use std::error::Error;
use std::io::Write;

use super::args::Global;
use super::output::tell;
use crate::compare::CompareError;
use crate::cutover::CutoverErrorKind;
use crate::digest::manifest::ManifestError;
use crate::journal::JournalError;
use crate::replay::ReplayError;
use crate::session::SessionError;

pub use crate::session::Exit;
use crate::store::ErrorKind;

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

impl Failure {
    /// The exit code of a session's error, and what to do about it.
    pub fn judged(error: &SessionError) -> (Exit, Option<String>) {
        if is_disk_full(error) {
            return (Exit::Incomplete, Some(DISK_FULL.into()));
        }
        let (exit, hint) = judge(error);
        (exit, hint.map(|hint| format!("{hint}{}", what_is_safe(error))))
    }

    /// The exit code of a session's error.
    pub fn exit_of(error: &SessionError) -> Exit {
        judge(error).0
    }
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Failure {
        if is_disk_full(&error) {
            return Failure::hinted(Exit::Incomplete, error, DISK_FULL);
        }
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

const DISK_FULL: &str = "make room on the disk of that file, then run the same command again: what was recorded is safe, \
                         and nothing was written to the primary without its record";

/// Whether this or any cause of it is a disk without room.
fn is_disk_full(error: &(dyn Error + 'static)) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    let is_full = |error: &std::io::Error| matches!(error.kind(), StorageFull | QuotaExceeded);
    error.downcast_ref().is_some_and(is_full)
        || error.downcast_ref().is_some_and(JournalError::is_disk_full)
        || error.source().is_some_and(is_disk_full)
}

fn judge(error: &SessionError) -> (Exit, Option<&'static str>) {
    use SessionError as E;
    match error {
        E::Journal(error) | E::Replay(ReplayError::Journal(error)) => judge_journal(error),
        E::UnknownStore { .. } => (Exit::Usage, None),
        E::SameResource { .. } => (Exit::Usage, Some("name another resource for one of them; nothing was written")),
        E::ShapesDiffer { findings, .. } if findings.iter().any(|finding| finding.hint.is_some()) => {
            let hint = "make both alike, say in [[store.mapping]] how dr's columns are read as the primary's, or name another \
                        resource; nothing was written";
            (Exit::Usage, Some(hint))
        }
        E::ShapesDiffer { .. } => (Exit::Usage, Some("make both alike, or name another resource; nothing was written")),
        E::WrongAccount { .. } => (Exit::Usage, Some("use that account's credentials; nothing was written")),
        E::ProfileLacks { .. } => (Exit::Usage, Some("see docs/profile.md for what goes there")),
        E::NothingWritten => (Exit::Usage, None),
        E::NotDecided { .. } => (Exit::Usage, Some("held.ndjson of the session lists what the newest plan holds")),
        E::NotTakenBack { .. } => (Exit::Usage, None),
        E::NoPlan => (Exit::Usage, Some("run failback plan first")),
        E::CheckpointExists { .. } => (Exit::Usage, Some("a checkpoint is never overwritten: choose another name")),
        E::DecisionTakenBack { .. } => (Exit::Undecided, Some("run failback plan, then replay that plan")),
        E::PlanOutdated { .. } => {
            (Exit::Undecided, Some("make sure it is the resource you mean, then run failback plan"))
        }
        E::ProofRefused(_) | E::Certificate(_) => {
            (Exit::Undecided, Some("run failback verify for a fresh certificate"))
        }
        E::NotFrozen { .. } => {
            (Exit::Differs, Some("stop the writers in DR (failback verify --freeze runs the profile's command)"))
        }
        E::Compare(CompareError::Base { .. }) => (Exit::Usage, Some(OTHER_BASE)),
        E::Compare(CompareError::Manifest { source, .. }) => judge_manifest(source),
        E::Cutover(error) => judge_cutover(error.kind),
        _ => judge_store(error.store_kind()),
    }
}

const OTHER_BASE: &str = "name a base from before the disaster, or base = \"none\"";

fn judge_journal(error: &JournalError) -> (Exit, Option<&'static str>) {
    match error {
        JournalError::Locked { .. } => (
            Exit::Usage,
            Some(
                "wait for the other command to end, or end that process: nothing will be lost; failback run --watch looks on",
            ),
        ),
        JournalError::NoSession { .. } => (Exit::Usage, Some("run failback check or plan first")),
        JournalError::Damaged { .. } => (
            Exit::Incomplete,
            Some(
                "nothing was changed by it; keep the folder as evidence, restore all of it from a copy, or begin anew \
                 with --session DIR",
            ),
        ),
        JournalError::Write { .. } | JournalError::Folder { .. } => (
            Exit::Incomplete,
            Some(
                "see that its disk has room and that this user may write there (or name another folder with --session \
                 DIR), then run the same command again",
            ),
        ),
        _ => judge_store(None),
    }
}

fn judge_manifest(error: &ManifestError) -> (Exit, Option<&'static str>) {
    match error {
        ManifestError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            (Exit::Usage, Some(OTHER_BASE))
        }
        ManifestError::Version { .. } => (Exit::Usage, Some(OTHER_BASE)),
        ManifestError::Write { .. } | ManifestError::Io { .. } => judge_store(None),
        ManifestError::Parquet { .. } | ManifestError::Header { .. } | ManifestError::Damaged { .. } => (
            Exit::Incomplete,
            Some("nothing was decided by it: restore its folder from a copy, or name another checkpoint"),
        ),
    }
}

fn judge_cutover(kind: CutoverErrorKind) -> (Exit, Option<&'static str>) {
    use CutoverErrorKind as K;
    match kind {
        K::Unfit | K::Probe => (Exit::Usage, Some("check [cutover] of the profile against the hosted zone")),
        K::Drifted => (Exit::Undecided, Some("somebody else is changing the weights: find out who, then run it again")),
        K::NotInsync => (Exit::Incomplete, Some("look at the hosted zone, then run the same command again")),
        K::NotRecorded => (
            Exit::Incomplete,
            Some("a shift is not made without its record, a retreat is; failback check tells the weights"),
        ),
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
    tell(&format!("error: {}", failure.error));
    let mut causes = Vec::new();
    let mut cause = failure.error.source();
    while let Some(error) = cause {
        tell(&format!("  because: {error}"));
        causes.push(error.to_string());
        cause = error.source();
    }
    if let Some(SessionError::ShapesDiffer { findings, .. }) = failure.error.downcast_ref() {
        findings.iter().for_each(|finding| tell(&format!("  {:?}: {}", finding.level, finding.what)));
    }
    if let Some(hint) = &failure.hint {
        tell(&format!("hint: {hint}"));
    }
    if global.json {
        let document = serde_json::json!({
            "format": 1,
            "error": failure.error.to_string(),
            "causes": causes,
            "hint": failure.hint,
            "exit_code": failure.exit as u8,
        });
        // The exit code says it where stdout cannot.
        let _ = writeln!(std::io::stdout().lock(), "{document}");
    }
    failure.exit
}
