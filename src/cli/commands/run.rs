//! `failback run`.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::{
    Ended, check, checkpoint, confirm, cutover, diff, load, open, open_with, plan, print, replay, session_folder, undo,
    verify,
};
use crate::cli::args::Global;
use crate::cli::exit::{Exit, Failure};
use crate::cli::{SystemClock, output, screen};
use crate::compare::Quiet;
use crate::guide::{Led, Listener, Performed, Told, lead};
use crate::plan::Allowances;
use crate::session::{Action, Exits};
use crate::tui::{self, Guest, Seat};

/// The guided session on a terminal.
pub async fn guided(profile: &Path, allowances: Allowances, decisions: Option<&Path>, global: &Global) -> Ended {
    require_terminal(global)?;
    let rulings = decisions.map(plan::read_rulings).transpose()?.unwrap_or_default();
    let session = open_with(profile, global, (allowances, rulings), Arc::new(Quiet))?;
    let seat = Seat {
        session,
        profile_file: profile.to_owned(),
        judge: screen::judge(),
        by: screen::operator(),
        companion: None,
        theme: screen::theme(),
    };
    let ending = tui::run(seat).await?;
    let again = format!("failback run {}", profile.display());
    output::tell_part(&screen::farewell(&ending, &again));
    Ok(ending.exit)
}

/// A second person's look at a session.
pub async fn watch(profile: &Path, global: &Global) -> Ended {
    require_terminal(global)?;
    let (loaded, _) = load(profile)?;
    let guest = Guest {
        folder: session_folder(&loaded, global),
        profile: loaded,
        clock: Arc::new(SystemClock),
        theme: screen::theme(),
    };
    Ok(tui::watch(guest).await?.exit)
}

fn require_terminal(global: &Global) -> Result<(), Failure> {
    match (screen::is_there(), global.json) {
        (true, false) => Ok(()),
        (_, true) => Err(Failure::hinted(Exit::Usage, "a guided session prints no JSON", "add --headless --yes")),
        (false, _) => {
            let error = "the guided session needs a terminal, and this is none";
            Err(Failure::hinted(Exit::Usage, error, "add --headless --yes, or go command by command"))
        }
    }
}

/// The whole session in a script.
pub async fn headless(profile: &Path, allowances: Allowances, decisions: Option<&Path>, global: &Global) -> Ended {
    let rulings = decisions.map(plan::read_rulings).transpose()?.unwrap_or_default();
    let session = open(profile, global, allowances, rulings)?;
    confirm(global, "write to the primary, stop writes in DR and move customers to the primary").await?;
    let mut teller = Teller { quiet: global.quiet || global.json };
    let exit_of = |error: &crate::session::SessionError| Failure::exit_of(error);
    let led = lead(&session, &mut teller, &exit_of).await?;
    print(global, || document(&session.profile().name, &led), || end_words(&led))?;
    Ok(led.exit)
}

fn document(profile: &str, led: &Led) -> Json {
    let actions = led.actions.iter().map(|(action, exit)| json!({"action": action.name(), "exit_code": *exit as u8}));
    json!({
        "format": 1, "command": "run", "profile": profile, "actions": actions.collect::<Vec<_>>(),
        "exit_code": led.exit as u8, "end": led.why,
    })
}

fn end_words(led: &Led) -> String {
    match led.exit {
        Exit::Done => format!("DONE: {}\n", led.why),
        exit => format!("STOPPED (exit {}): {}\n", exit as u8, led.why),
    }
}

/// Tells on stderr what each command would print.
struct Teller {
    quiet: bool,
}

impl Teller {
    fn say(&self, text: &str) {
        if !self.quiet {
            eprint!("{text}");
        }
    }
}

impl Listener for Teller {
    fn begins(&mut self, action: Action, why: &str) {
        self.say(&format!("\n== {}: {why}\n", action.name()));
    }

    fn told(&mut self, told: Told<'_>) {
        self.say(&match told {
            Told::Frozen(frozen) => format!("frozen: {}\n", frozen.evidence.detail),
            Told::Planned(planned) => output::readings(&planned.stores) + &plan::text(planned),
            Told::Cutover(event) => format!("{}\n", cutover::words(event)),
        });
    }

    fn ended(&mut self, _action: Action, performed: &Performed) {
        self.say(&match performed {
            Performed::Checked(outcome) => check::text(outcome),
            Performed::Checkpointed(outcome) => checkpoint::text(outcome),
            Performed::Compared(outcome) => diff::text(outcome),
            Performed::Planned(outcome) => output::readings(&outcome.stores) + &plan::text(outcome),
            Performed::Replayed(outcome) => replay::text(outcome),
            Performed::Verified(outcome) => verify::text(outcome),
            Performed::ProvedUndone(outcome) => verify::undone_text(outcome),
            Performed::CutOver(outcome) | Performed::Retreated(outcome) => cutover::end_words(&outcome.end),
            Performed::Undone(outcome) => undo::text(outcome),
            Performed::NotHere => String::new(),
        });
        if performed.exit() != Exit::Done {
            self.say(&format!("exit {}\n", performed.exit() as u8));
        }
    }
}
