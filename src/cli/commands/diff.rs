//! `failback diff`.

use std::path::Path;

use serde_json::json;

use super::{Ended, open, print, recorded};
use crate::cli::args::Global;
use crate::cli::output;
use crate::session::{Action, DiffOutcome};

pub async fn run(profile: &Path, global: &Global) -> Ended {
    let session = open(profile, global, Default::default(), Default::default())?;
    let work = async { Ok(session.diff().await?) };
    let (outcome, exit) = recorded(&session, Action::Diff, work).await?;
    print(
        global,
        || {
            json!({
                "format": 1, "command": "diff", "profile": session.profile().name, "parity": outcome.at_parity(),
                "stores": output::stores_json(&outcome.stores),
            })
        },
        || text(&outcome),
    )?;
    Ok(exit)
}

pub fn text(outcome: &DiffOutcome) -> String {
    let mut text = output::stores_table(&outcome.stores);
    for (comparison, age) in outcome.stores.iter().zip(&outcome.base_age_seconds) {
        let store = &comparison.store;
        text += &match (&comparison.base, age) {
            (None, _) => format!("{store}: no base, so differences cannot be attributed\n"),
            (Some(base), None) => format!("{store}: base {}, of unknown age\n", base.kind),
            (Some(base), Some(age)) => format!("{store}: base {}, {age} s older than what dr had\n", base.kind),
        };
        if let Some(narrowed) = &comparison.narrowed {
            let keys = output::number(narrowed.keys);
            text += &format!("{store}: only {keys} changed keys were read; this rests on {}\n", narrowed.rests_on);
        }
        if let Some(why) = &comparison.forecast {
            text += &format!("{store}: ONLY A FORECAST, never parity: {why}\n");
        }
        if let Some(counts) = &comparison.replication {
            text += &format!("{store}: {}\n", counts.sentence());
        }
        text += &format!("{store}: delta in {}\n", comparison.delta.display());
    }
    text += if outcome.at_parity() { "the sides are the same\n" } else { "the sides differ; next: failback plan\n" };
    text
}
