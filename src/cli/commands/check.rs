//! `failback check`.

use std::path::Path;

use serde_json::json;

use super::{Ended, open, print, recorded};
use crate::cli::args::Global;
use crate::cli::exit::Exit;
use crate::cli::output;
use crate::report::check_sentences;
use crate::session::{Action, CheckOutcome, Exits};

pub async fn run(profile: &Path, global: &Global) -> Ended {
    let session = open(profile, global, Default::default(), Default::default())?;
    let work = async { Ok(session.check().await?) };
    let (outcome, exit) = recorded(&session, Action::Check, work).await?;
    let name = &session.profile().name;
    print(
        global,
        || {
            json!({
                "format": 1, "command": "check", "profile": name, "complete": outcome.complete,
                "blocked": outcome.is_blocked(), "stores": outcome.stores, "findings": outcome.findings,
                "guides": outcome.guides, "rescued": outcome.rescued,
                "weights": outcome.weights.map(|(primary, dr, ttl)| json!({"primary": primary, "dr": dr, "ttl_seconds": ttl})),
            })
        },
        || text(&outcome),
    )?;
    Ok(exit)
}

pub fn text(outcome: &CheckOutcome) -> String {
    let mut text = String::new();
    for store in &outcome.stores {
        let resource = |identity: &Option<crate::model::Identity>| {
            identity.as_ref().map_or("not reached".to_owned(), |identity| identity.resource.clone())
        };
        text += &format!("{}: {} <- {}\n", store.store, resource(&store.primary), resource(&store.dr));
    }
    if let Some((primary, dr, ttl)) = outcome.weights {
        text += &format!("weights today: primary {primary}, dr {dr}, TTL {ttl} s\n");
    }
    text += &output::findings(&outcome.findings);
    check_sentences(outcome).iter().for_each(|line| text += &format!("{line}\n"));
    text += match outcome.exit() {
        Exit::Done => "ready: nothing blocks\n",
        Exit::Incomplete => "not everything could be looked at\n",
        _ => "blocked: see above\n",
    };
    text
}
