//! `failback run`.

use std::path::Path;

use serde_json::{Value as Json, json};

use super::{Ended, check, confirm, cutover, diff, open, plan, print, replay, undo, verify};
use crate::cli::args::Global;
use crate::cli::exit::{Exit, Failure};
use crate::guide::{Led, Listener, Performed, Told, lead};
use crate::plan::Allowances;
use crate::session::{Action, Exits};

pub async fn run(
    profile: &Path,
    headless: bool,
    allowances: Allowances,
    decisions: Option<&Path>,
    global: &Global,
) -> Ended {
    if !headless {
        let error = "the guided session has no screen yet";
        return Err(Failure::hinted(Exit::Usage, error, "add --headless --yes, or go command by command"));
    }
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
            Told::Planned(planned) => plan::text(planned),
            Told::Cutover(event) => format!("{}\n", cutover::words(event)),
        });
    }

    fn ended(&mut self, _action: Action, performed: &Performed) {
        self.say(&match performed {
            Performed::Checked(outcome) => check::text(outcome),
            Performed::Compared(outcome) => diff::text(outcome),
            Performed::Planned(outcome) => plan::text(outcome),
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
