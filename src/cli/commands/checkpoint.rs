//! `failback checkpoint`.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::json;

use super::{Ended, open, print, recorded};
use crate::cli::args::{Global, Rescue};
use crate::cli::output;
use crate::control::RescuedSnapshot;
use crate::report::profile_sentences;
use crate::session::{Action, CheckpointOutcome, RescueOutcome};

pub async fn run(profile: &Path, name: &str, global: &Global) -> Ended {
    let session = open(profile, global, Default::default(), Default::default())?;
    let work = async { Ok(session.checkpoint(name).await?) };
    let (outcome, exit) = recorded(&session, Action::Checkpoint, work).await?;
    print(
        global,
        || {
            json!({
                "format": 1, "command": "checkpoint", "profile": session.profile().name, "name": name,
                "parity": outcome.folder.is_some(), "folder": outcome.folder,
                "stores": output::stores_json(&outcome.stores),
            })
        },
        || text(&outcome),
    )?;
    Ok(exit)
}

/// What a checkpoint came to, for people.
pub fn text(outcome: &CheckpointOutcome) -> String {
    let end = match &outcome.folder {
        Some(folder) => format!("in step; kept in {}\n", folder.display()),
        None => "the sides are not in step: no checkpoint was kept\n".to_owned(),
    };
    output::stores_table(&outcome.stores) + &end
}

/// `failback checkpoint --rescue`.
pub async fn rescue(profile: &Path, options: &Rescue, global: &Global) -> Ended {
    let session = open(profile, global, Default::default(), Default::default())?;
    let work = async { Ok(session.rescue(options.to.as_deref(), options.wait).await?) };
    let (outcome, exit) = recorded(&session, Action::Checkpoint, work).await?;
    print(
        global,
        || {
            json!({
                "format": 1, "command": "checkpoint", "profile": session.profile().name, "rescue": true,
                "complete": outcome.is_complete(), "exports": outcome.exports, "snapshots": outcome.snapshots,
                "problems": outcome.problems,
            })
        },
        || rescue_text(&outcome),
    )?;
    Ok(exit)
}

fn rescue_text(outcome: &RescueOutcome) -> String {
    let rows: Vec<Vec<String>> = outcome
        .exports
        .iter()
        .map(|export| {
            let place = export.url.clone().unwrap_or_else(|| format!("s3://{}/{}", export.bucket, export.prefix));
            vec![
                export.store.to_string(),
                export.side.to_string(),
                export.holds.words(),
                export.state.word().to_owned(),
                place,
            ]
        })
        .collect();
    let mut text = output::table(&["store", "side", "export", "state", "where"], &rows);
    for RescuedSnapshot { store, region, source, copy, state } in &outcome.snapshots {
        text += &format!("{store}: {source} in {region}, copied as {copy}: {}\n", state.word());
    }
    outcome.problems.iter().for_each(|problem| text += &format!("problem: {problem}\n"));
    let stores: BTreeSet<_> = outcome.exports.iter().map(|export| &export.store).collect();
    for store in stores {
        let lines = outcome.profile_lines(store);
        if !lines.is_empty() {
            profile_sentences(store, &lines).iter().for_each(|line| text += &format!("{line}\n"));
        }
    }
    text + outcome.what_next() + "\n"
}
