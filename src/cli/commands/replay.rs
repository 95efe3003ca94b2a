//! `failback replay`.

use std::path::Path;

use serde_json::json;

use super::{Ended, confirm, open, plan, print, recorded};
use crate::cli::args::Global;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{self, number, tell};
use crate::plan::Allowances;
use crate::replay::Mode;
use crate::session::{ReplayOutcome, Session};
use crate::store::Level;

pub async fn run(profile: &Path, apply: bool, freeze: bool, allowances: Allowances, global: &Global) -> Ended {
    let session = open(profile, global, allowances, Default::default())?;
    if freeze {
        confirm(global, "stop writes in DR, plan anew and write to the primary")?;
    } else if apply {
        confirm(global, "write to the primary")?;
    }
    let mode = if apply { Mode::Apply } else { Mode::DryRun };
    let command = if apply { "replay --apply" } else { "replay" };
    let (outcome, exit) = recorded(&session, command, work(&session, mode, freeze, global), exit_of).await?;
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
            tell(plan::text(&planned).trim_end());
        }
    }
    Ok(session.replay(mode).await?)
}

fn exit_of(outcome: &ReplayOutcome) -> Exit {
    let blocked = |finding: &crate::store::Finding| finding.level == Level::Blocker;
    let findings = outcome.stores.iter().any(|store| store.run.findings.iter().any(blocked));
    if outcome.refused() > 0 || outcome.held > 0 || findings {
        Exit::Undecided
    } else if outcome.stale() > 0 {
        Exit::Differs
    } else {
        Exit::Done
    }
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
    text += match (outcome.applied, exit_of(outcome)) {
        (false, _) => "a dry run: nothing was written; next: failback replay --apply\n",
        (true, Exit::Done) => "next: failback plan for what came since, or replay --apply --freeze, then verify\n",
        (true, _) => "",
    };
    text
}
