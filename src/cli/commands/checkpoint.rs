//! `failback checkpoint`.

use std::path::Path;

use serde_json::json;

use super::{Ended, open, print, recorded};
use crate::cli::args::Global;
use crate::cli::output;
use crate::session::{Action, CheckpointOutcome};

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
