//! `failback verify`.

use std::path::Path;

use serde_json::json;

use super::{Ended, confirm, open, print, recorded};
use crate::cli::args::Global;
use crate::cli::output::{self, number, tell};
use crate::report::next_action;
use crate::session::{Action, Session, UndoneOutcome, VerifyOutcome};

pub async fn run(profile: &Path, freeze: bool, undone: bool, global: &Global) -> Ended {
    let session = open(profile, global, Default::default(), Default::default())?;
    if undone {
        return run_undone(&session, global).await;
    }
    if freeze {
        confirm(global, "stop writes in DR").await?;
    }
    let work = async {
        if freeze {
            let frozen = session.freeze().await?;
            tell(&format!("frozen: {}", frozen.evidence.detail));
        }
        Ok(session.verify().await?)
    };
    let (outcome, exit) = recorded(&session, Action::Verify, work).await?;
    let (next, _) = next_action(&session.state()?);
    print(
        global,
        || {
            json!({
                "format": 1, "command": "verify", "profile": session.profile().name, "parity": outcome.at_parity(),
                "fence": outcome.fence, "stores": outcome.stores, "certificate": outcome.certificate,
            })
        },
        || {
            format!(
                "{}next: {}\n",
                text(&outcome),
                next.command_line().replace("PROFILE", &profile.display().to_string())
            )
        },
    )?;
    Ok(exit)
}

pub fn text(outcome: &VerifyOutcome) -> String {
    let header = ["store", "primary", "dr", "accepted", "differ", "root"];
    let rows: Vec<Vec<String>> = outcome
        .stores
        .iter()
        .map(|store| {
            let comparison = &store.comparison;
            vec![
                comparison.store.to_string(),
                number(comparison.primary.items),
                number(comparison.dr.items),
                number(store.accepted),
                number(store.unaccepted),
                match (comparison.primary.root == comparison.dr.root, store.at_parity) {
                    (true, _) => format!("{} on both sides", &comparison.primary.root.to_string()[..12]),
                    (false, true) => "differs by what was accepted".into(),
                    (false, false) => "DIFFERS".into(),
                },
            ]
        })
        .collect();
    let mut text = output::table(&header, &rows);
    for store in &outcome.stores {
        for difference in &store.listed {
            text += &format!("differs: {difference}\n");
        }
        for counter in &store.counters_behind {
            text += &format!("{}: sequence {counter} lags behind dr\n", store.comparison.store);
        }
    }
    text += &format!("fence: {}\n", outcome.fence.detail);
    text += &match &outcome.certificate {
        Some(path) => format!("AT PARITY; certificate {}\n", path.display()),
        None => "NOT AT PARITY\n".to_owned(),
    };
    text
}

async fn run_undone(session: &Session, global: &Global) -> Ended {
    let work = async { Ok(session.verify_undone().await?) };
    let (outcome, exit) = recorded(session, Action::VerifyUndone, work).await?;
    print(
        global,
        || {
            let stores = outcome.stores.iter();
            let stores = stores.map(|(store, before, now)| json!({"name": store, "root_before": before, "root": now}));
            json!({
                "format": 1, "command": "verify", "profile": session.profile().name,
                "undone": outcome.is_as_before(), "stores": stores.collect::<Vec<_>>(),
            })
        },
        || undone_text(&outcome),
    )?;
    Ok(exit)
}

pub fn undone_text(outcome: &UndoneOutcome) -> String {
    let line = |(store, before, now): &(crate::model::StoreId, crate::model::Digest, crate::model::Digest)| {
        let word = if before == now { "as before" } else { "DIFFERS from before" };
        format!("{store}: {word}, root {now}\n")
    };
    outcome.stores.iter().map(line).collect()
}
