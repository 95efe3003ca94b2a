//! Exit codes and how failures are told.

use std::error::Error;

use super::args::Global;
use crate::journal::JournalError;
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
    /// The exit code of a session's error.
    pub fn exit_of(error: &SessionError) -> Exit {
        judge(error).0
    }
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Failure {
        let (exit, hint) = judge(&error);
        Failure { exit, error: Box::new(error), hint: hint.map(str::to_owned) }
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
        E::Journal(JournalError::Damaged { .. }) => (
            Exit::Incomplete,
            Some("keep the file as evidence, restore it from a copy, or begin anew with --session DIR"),
        ),
        E::UnknownStore { .. } | E::SameResource { .. } | E::ShapesDiffer { .. } | E::WrongAccount { .. } => {
            (Exit::Usage, None)
        }
        E::ProfileLacks { .. } => (Exit::Usage, Some("see docs/profile.md for what goes there")),
        E::NothingWritten => (Exit::Usage, None),
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
        E::Compare(crate::compare::CompareError::Base { .. } | crate::compare::CompareError::Manifest { .. }) => {
            (Exit::Usage, Some("name a checkpoint from before the disaster, or base = \"none\""))
        }
        _ => judge_store(error.store_kind()),
    }
}

fn judge_store(kind: Option<ErrorKind>) -> (Exit, Option<&'static str>) {
    match kind {
        Some(ErrorKind::Missing) => (Exit::Usage, Some("check the names in the profile and the Region of that side")),
        Some(ErrorKind::Denied) => {
            (Exit::Incomplete, Some("check that side's credentials and permissions; nothing was decided"))
        }
        Some(ErrorKind::Unreachable) => {
            (Exit::Incomplete, Some("nothing was decided; run the same command again when the endpoint answers"))
        }
        Some(ErrorKind::Throttled) => {
            (Exit::Incomplete, Some("lower limits in the profile, then run the same command again"))
        }
        Some(ErrorKind::Local) => (Exit::Incomplete, Some("make room on this machine's disk, then run it again")),
        _ => (Exit::Incomplete, Some("nothing unknown counts as fine: mend it, then run the same command again")),
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
