//! `failback cutover`.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{Ended, confirm, open, print, recorded};
use crate::cli::args::Global;
use crate::cutover::{CutoverEnd, CutoverEvent};
use crate::session::{Action, Retreat};

pub async fn run(profile: &Path, certificate: Option<PathBuf>, retreat: bool, global: &Global) -> Ended {
    let session = open(profile, global, Default::default(), Default::default())?;
    let mut told = |event: &CutoverEvent| eprintln!("{}", words(event));
    let (outcome, exit) = if retreat {
        let work = async { Ok(Retreat(session.retreat(&mut told).await?)) };
        let (Retreat(outcome), exit) = recorded(&session, Action::Retreat, work).await?;
        (outcome, exit)
    } else {
        confirm(
            global,
            "move customers to the primary; once the primary takes their writes, going back is a new failback",
        )?;
        let work = async { Ok(session.cutover(certificate, &mut told).await?) };
        recorded(&session, Action::Cutover, work).await?
    };
    print(
        global,
        || {
            json!({
                "format": 1, "command": "cutover", "profile": session.profile().name, "end": outcome.end,
                "steps": outcome.steps,
            })
        },
        || end_words(&outcome.end),
    );
    Ok(exit)
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
