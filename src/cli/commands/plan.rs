//! `failback plan`.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::{Ended, open, print, recorded};
use crate::cli::args::Global;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{self, number};
use crate::plan::{Allowances, Ruling, Rulings};
use crate::session::{Action, PlanOutcome};

pub async fn run(
    profile: &Path,
    rescan: bool,
    (allowances, decisions): (Allowances, Option<&Path>),
    global: &Global,
) -> Ended {
    let rulings = decisions.map(read_rulings).transpose()?.unwrap_or_default();
    let session = open(profile, global, allowances, rulings)?;
    let work = async { Ok(if rescan { session.plan().await? } else { session.plan_catch_up().await? }) };
    let (outcome, exit) = recorded(&session, Action::Plan, work).await?;
    if !global.quiet {
        output::tell_part(&output::readings(&outcome.stores));
    }
    print(global, || document(&session.profile().name, &outcome), || text(&outcome))?;
    Ok(exit)
}

fn document(profile: &str, outcome: &PlanOutcome) -> Json {
    json!({
        "format": 1, "command": "plan", "profile": profile, "plan": outcome.plan, "number": outcome.number,
        "steps": outcome.summary.steps(), "held": outcome.summary.held(), "stores": outcome.summary.stores,
        "comparisons": output::stores_json(&outcome.stores),
        "held_file": outcome.held_file, "accepted_file": outcome.accepted_file,
    })
}

pub fn text(outcome: &PlanOutcome) -> String {
    let mut text = output::stores_table(&outcome.stores);
    text.push('\n');
    let header = ["store", "insert", "update", "delete", "held", "accepted", "bytes", "time", "requests", "cost"];
    let rows: Vec<Vec<String>> = outcome
        .summary
        .stores
        .iter()
        .map(|store| {
            let counts = &store.counts;
            let mut row = vec![store.store.to_string()];
            let numbers = [counts.inserts, counts.updates, counts.deletes, counts.held, counts.accepted, counts.bytes]
                .map(number);
            row.extend(numbers);
            row.push(format!("{} s", number(store.forecast.seconds)));
            row.push(number(store.forecast.requests));
            row.push(format!("${:.2}", store.forecast.dollars));
            row
        })
        .collect();
    text += &output::table(&header, &rows);
    for store in &outcome.summary.stores {
        if store.forecast.body_bytes > 0 {
            let bytes = number(store.forecast.body_bytes);
            text += &format!(
                "{}: {bytes} bytes of bodies still to be read: the sides share no proof of them\n",
                store.store
            );
        }
        for limit in &store.limits {
            text += &format!("{}: all steps held: {limit}\n", store.store);
        }
    }
    let held = outcome.summary.held();
    if held > 0 {
        text += &format!("{} items are held for a person: {}\n", number(held), outcome.held_file.display());
        text += "decide them with failback decide, by policy in the profile, or with plan --decisions FILE\n";
    }
    text += &format!("plan {}: {} steps; ", &outcome.plan.to_string()[..12], number(outcome.summary.steps()));
    text += if outcome.summary.steps() > 0 { "next: failback replay --apply\n" } else { "next: failback verify\n" };
    text
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DecisionLine {
    store: String,
    key: Json,
    decision: Ruling,
}

pub fn read_rulings(path: &Path) -> Result<Rulings, Failure> {
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::plain(Exit::Usage, format!("cannot read decisions {name}: {error}")))?;
    let mut rulings = Rulings::new();
    for (line, text) in text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        let decision: DecisionLine = serde_json::from_str(text).map_err(|error| {
            Failure::hinted(
                Exit::Usage,
                format!("{name}:{}: not a decision: {error}", line + 1),
                "a line is {\"store\": \"..\", \"key\": {..}, \"decision\": \"dr\" or \"primary\"}, keys as in held.ndjson",
            )
        })?;
        rulings.insert((decision.store, decision.key.to_string()), decision.decision);
    }
    Ok(rulings)
}
