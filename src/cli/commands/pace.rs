//! `failback pace`.

use std::path::Path;

use serde_json::json;

use super::{Ended, load, print, session_folder};
use crate::cli::args::{Global, PaceWord};
use crate::cli::exit::{Exit, Failure};
use crate::session::{PaceChange, PaceError, PaceState, order_pace, pace_at_work};

pub async fn run(profile: &Path, word: Option<PaceWord>, global: &Global) -> Ended {
    let (profile, _) = load(profile)?;
    let folder = session_folder(&profile, global);
    let at_work = match word.map(change) {
        None => pace_at_work(&folder),
        Some(change) => order_pace(&folder, change).await,
    };
    let (pid, pace) = at_work.map_err(failure)?;
    let document = || {
        json!({
            "format": 1, "command": "pace", "profile": profile.name, "pid": pid, "paused": pace.paused,
            "percent": pace.percent,
        })
    };
    print(global, document, || text(pid, pace))?;
    Ok(Exit::Done)
}

fn change(word: PaceWord) -> PaceChange {
    match word {
        PaceWord::Slower => PaceChange::Slower,
        PaceWord::Faster => PaceChange::Faster,
        PaceWord::Pause => PaceChange::Pause,
        PaceWord::Resume => PaceChange::Resume,
        PaceWord::Percent(percent) => PaceChange::Percent(percent),
    }
}

fn failure(error: PaceError) -> Failure {
    match error {
        PaceError::NobodyAtWork => {
            let hint = "the next command goes as fast as the profile's limits say: change limits there";
            Failure::hinted(Exit::Usage, error, hint)
        }
        PaceError::NotTaken { .. } => {
            let hint = "it goes on at the pace it had: look at it, or stop it and run it again with other limits; nothing is lost";
            Failure::hinted(Exit::Incomplete, error, hint)
        }
        PaceError::File { .. } => Failure::plain(Exit::Incomplete, error),
    }
}

fn text(pid: u32, pace: PaceState) -> String {
    match pace {
        PaceState { paused: true, percent } => {
            format!(
                "process {pid} is paused; it goes on at {percent}% of the profile's limits; next: failback pace P resume\n"
            )
        }
        PaceState { paused: false, percent } => format!("process {pid} goes at {percent}% of the profile's limits\n"),
    }
}
