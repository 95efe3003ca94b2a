//! `failback replay`.

use std::path::Path;

use serde_json::json;

use super::{Ended, confirm, open, plan, print, recorded};
use crate::cli::args::Global;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{self, number, tell};
use crate::plan::Allowances;
use crate::replay::Mode;
use crate::session::{Action, Exits, ReplayOutcome, Session};

pub async fn run(
    profile: &Path,
    apply: bool,
    freeze: bool,
    (allowances, decisions): (Allowances, Option<&Path>),
    global: &Global,
) -> Ended {
    let rulings = decisions.map(plan::read_rulings).transpose()?.unwrap_or_default();
    let session = open(profile, global, allowances, rulings)?;
    if freeze {
        confirm(global, "stop writes in DR, plan anew and write to the primary").await?;
    } else if apply {
        confirm(global, "write to the primary").await?;
    }
    let mode = if apply { Mode::Apply } else { Mode::DryRun };
    let action = if apply { Action::Replay } else { Action::DryRun };
    let (outcome, exit) = recorded(&session, action, work(&session, mode, freeze, global)).await?;
    print(
        global,
        || {
            json!({
                "format": 1, "command": "replay", "profile": session.profile().name, "plan": outcome.plan,
                "applied": outcome.applied, "stores": outcome.stores, "held": outcome.held,
                "refused": outcome.refused(), "stale": outcome.stale(),
            })
        },
        || text(&outcome),
    )?;
    Ok(exit)
}

async fn work(session: &Session, mode: Mode, freeze: bool, global: &Global) -> Result<ReplayOutcome, Failure> {
    if freeze {
        let frozen = session.freeze().await?;
        tell(&format!("frozen: {}", frozen.evidence.detail));
        let planned = session.plan().await?;
        if !global.quiet {
            output::tell_part(&output::readings(&planned.stores));
            tell(plan::text(&planned).trim_end());
        }
    }
    Ok(session.replay(mode).await?)
}

pub fn text(outcome: &ReplayOutcome) -> String {
    let written = if outcome.applied { "applied" } else { "would apply" };
    let header = ["store", written, "already", "refused", "stale", "counters"];
    let rows: Vec<Vec<String>> = outcome
        .stores
        .iter()
        .map(|store| {
            let run = &store.run;
            let mut row = vec![store.store.to_string()];
            row.extend([run.applied, run.already, run.refused, run.stale, run.counters.len() as u64].map(number));
            row
        })
        .collect();
    let mut text = output::table(&header, &rows);
    outcome.stores.iter().for_each(|store| text += &output::spent(&store.store, &store.run.spent, &store.forecast));
    outcome.stores.iter().for_each(|store| text += &output::findings(&store.run.findings));
    if outcome.refused() > 0 {
        text += "refused: the primary changed since the plan, or would not take it; failback report lists them\n";
    }
    if outcome.stale() > 0 {
        text += "stale: dr changed since the plan; next: failback plan, then replay again\n";
    }
    if outcome.held > 0 {
        text += &format!("{} items are held for a person\n", number(outcome.held));
    }
    text += match (outcome.applied, outcome.exit()) {
        (false, _) => "a dry run: nothing was written; next: failback replay --apply\n",
        (true, Exit::Done) => "next: failback plan for what came since, or replay --apply --freeze, then verify\n",
        (true, _) => "",
    };
    text
}
