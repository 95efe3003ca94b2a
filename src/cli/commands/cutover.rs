//! `failback cutover`.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{Ended, confirm, load, open, print, recorded, surroundings};
use crate::cli::args::Global;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::tell;
use crate::cli::progress;
use crate::cutover::{CutoverEnd, CutoverEvent};
use crate::session::{Action, CutoverOutcome, retreat_unrecorded};

pub async fn run(profile: &Path, certificate: Option<PathBuf>, retreat: bool, global: &Global) -> Ended {
    if retreat {
        return run_retreat(profile, global).await;
    }
    let session = open(profile, global, Default::default(), Default::default())?;
    confirm(global, "move customers to the primary; once the primary takes their writes, going back is a new failback")
        .await?;
    let mut told = |event: &CutoverEvent| tell(&words(event));
    let work = async { Ok(session.cutover(certificate, &mut told).await?) };
    let (outcome, exit) = recorded(&session, Action::Cutover, work).await?;
    print_outcome(global, &session.profile().name, &outcome)?;
    Ok(exit)
}

/// Retreats at once; a journal that cannot be had, or takes nothing more, is told afterwards.
async fn run_retreat(path: &Path, global: &Global) -> Ended {
    let (profile, _) = load(path)?;
    let mut told = |event: &CutoverEvent| tell(&words(event));
    let unrecorded = match open(path, global, Default::default(), Default::default()) {
        Ok(session) => {
            let begun = session.begin(Action::Retreat.name());
            let outcome = session.retreat(&mut told).await?;
            print_outcome(global, &profile.name, &outcome)?;
            begun.and_then(|()| session.end(Action::Retreat.name(), Exit::Done as u8)).err().map(Failure::from)
        }
        Err(failure) => {
            let outcome =
                retreat_unrecorded(&profile, &surroundings(progress::progress(global.quiet)), &mut told).await?;
            print_outcome(global, &profile.name, &outcome)?;
            Some(failure)
        }
    };
    match unrecorded {
        None => Ok(Exit::Done),
        Some(failure) => {
            tell("the retreat was made, but this session could not record it:");
            Err(Failure { exit: Exit::Incomplete, ..failure })
        }
    }
}

fn print_outcome(global: &Global, profile: &str, outcome: &CutoverOutcome) -> Result<(), Failure> {
    let document = || {
        let (end, steps) = (&outcome.end, &outcome.steps);
        json!({ "format": 1, "command": "cutover", "profile": profile, "end": end, "steps": steps })
    };
    print(global, document, || end_words(&outcome.end))
}

pub fn end_words(end: &CutoverEnd) -> String {
    match end {
        CutoverEnd::Done => "done: the primary serves everything; next: soak, then failback verify again\n".to_owned(),
        CutoverEnd::Retreated { reason } => format!("RETREATED: all traffic is back on dr: {reason}\n"),
        CutoverEnd::Drifted { reason } => format!("STOPPED: someone else changed the weights: {reason}\n"),
        CutoverEnd::Stopped { reason } => format!("STOPPED: {reason}\n"),
    }
}

/// One step for people.
pub fn words(event: &CutoverEvent) -> String {
    match event {
        CutoverEvent::ShiftIntended { from, to } => format!("shifting: {from} -> primary {to}"),
        CutoverEvent::Shifted { to, .. } => format!("shifted: primary share {to}"),
        CutoverEvent::Insync { .. } => "in sync: all DNS servers answer with the new weights".into(),
        CutoverEvent::TtlWaited { seconds } => format!("waited {seconds} s for cached answers to expire"),
        CutoverEvent::Health { ok, detail } => format!("health: {} ({detail})", if *ok { "ok" } else { "FAILED" }),
        CutoverEvent::RetreatIntended { reason } => format!("retreating: {reason}"),
        CutoverEvent::Retreated { reason, .. } => format!("retreated: {reason}"),
        CutoverEvent::Drifted { reason } => format!("drifted: {reason}"),
        CutoverEvent::Stopped { reason } => format!("stopped: {reason}"),
        CutoverEvent::Done => "done: the primary serves everything".into(),
    }
}
