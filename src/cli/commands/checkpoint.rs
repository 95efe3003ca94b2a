//! `failback checkpoint`.

use std::path::Path;

use serde_json::json;

use super::{Ended, open, print, recorded};
use crate::cli::args::Global;
use crate::cli::output;
use crate::session::Action;

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
        || {
            output::stores_table(&outcome.stores)
                + &match &outcome.folder {
                    Some(folder) => format!("in step; kept in {}\n", folder.display()),
                    None => "the sides are not in step: no checkpoint was kept\n".to_owned(),
                }
        },
    );
    Ok(exit)
}
