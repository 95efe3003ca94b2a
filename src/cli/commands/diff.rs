//! `failback diff`.

use std::path::Path;

use serde_json::json;

use super::{Ended, open, print, recorded};
use crate::cli::args::Global;
use crate::cli::output;
use crate::report::SAMPLE_MEANS;
use crate::session::{Action, DiffOutcome, SampleOutcome};

pub async fn run(profile: &Path, global: &Global) -> Ended {
    let session = open(profile, global, Default::default(), Default::default())?;
    let work = async { Ok(session.diff().await?) };
    let (outcome, exit) = recorded(&session, Action::Diff, work).await?;
    if !global.quiet {
        output::tell_part(&output::readings(&outcome.stores));
    }
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

/// A quick look at a part of both sides.
pub async fn sample(profile: &Path, percent: f64, global: &Global) -> Ended {
    let session = open(profile, global, Default::default(), Default::default())?;
    let work = async { Ok(session.sample(percent).await?) };
    let (outcome, exit) = recorded(&session, Action::Diff, work).await?;
    print(
        global,
        || {
            json!({
                "format": 1, "command": "diff", "profile": session.profile().name, "parity": false,
                "sample": outcome.percent, "stores": outcome.stores,
            })
        },
        || sample_text(&outcome),
    )?;
    Ok(exit)
}

fn sample_text(outcome: &SampleOutcome) -> String {
    let header = ["store", "segments", "looked at", "changed", "only dr", "only primary", "differ at most"];
    let rows: Vec<Vec<String>> = outcome
        .stores
        .iter()
        .map(|seen| {
            let mut row = vec![seen.store.to_string(), format!("{} of {}", seen.segments_read, seen.segments)];
            row.extend([seen.looked_at, seen.changed, seen.only_dr, seen.only_primary].map(output::number));
            row.push(format!("{:.3}%", seen.differing_at_most * 100.0));
            row
        })
        .collect();
    let mut text = output::table(&header, &rows);
    text += &format!("{SAMPLE_MEANS}\n");
    text += if outcome.differs() {
        "the sides differ; next: failback diff, which reads everything\n"
    } else {
        "no difference was seen, which is no parity: what was not looked at is not known; next: failback diff\n"
    };
    text
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
        if let Some(spelling) = comparison.spelling() {
            text += &format!("{store}: {spelling}\n");
        }
        text += &format!("{store}: delta in {}\n", comparison.delta.display());
    }
    let differ = outcome.stores.iter().any(|comparison| comparison.narrowed.is_none() && !comparison.at_parity())
        || outcome.stores.iter().any(|comparison| comparison.verdicts.differing() > 0);
    text += match (outcome.at_parity(), differ) {
        (true, _) => "the sides are the same\n",
        (false, true) => "the sides differ; next: failback plan\n",
        (false, false) => "nothing that was looked at differs, which is no parity; next: failback verify\n",
    };
    text
}
