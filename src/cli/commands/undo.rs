//! `failback undo`.

use std::path::Path;

use serde_json::json;

use super::{Ended, confirm, open, print, recorded};
use crate::cli::args::Global;
use crate::cli::output::{self, number};
use crate::session::{Action, UndoOutcome};

pub async fn run(profile: &Path, global: &Global) -> Ended {
    let session = open(profile, global, Default::default(), Default::default())?;
    confirm(global, "restore the primary to what it was before the replay").await?;
    let work = async { Ok(session.undo().await?) };
    let (outcome, exit) = recorded(&session, Action::Undo, work).await?;
    print(
        global,
        || {
            let stores = outcome.stores.iter().map(|(store, undone)| json!({"name": store, "undo": undone}));
            json!({
                "format": 1, "command": "undo", "profile": session.profile().name,
                "refused": outcome.refused(), "stores": stores.collect::<Vec<_>>(),
            })
        },
        || text(&outcome),
    )?;
    Ok(exit)
}

pub fn text(outcome: &UndoOutcome) -> String {
    let rows: Vec<Vec<String>> = outcome
        .stores
        .iter()
        .map(|(store, undone)| {
            let numbers = [undone.restored, undone.already, undone.refused].map(number);
            [vec![store.to_string()], numbers.to_vec()].concat()
        })
        .collect();
    let mut text = output::table(&["store", "restored", "already", "refused"], &rows);
    text += match outcome.refused() {
        0 => "next: failback verify --undone proves that the primary is what it was\n",
        _ => "refused items were left as they are: they changed since the replay, or others stand in their way\n",
    };
    text
}
