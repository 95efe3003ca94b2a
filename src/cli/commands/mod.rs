//! One file per command.

mod certificate;
mod check;
mod checkpoint;
mod cutover;
mod decide;
mod diff;
pub mod drill;
mod init;
mod manual;
mod pace;
mod plan;
mod replay;
mod report;
mod run;
mod undo;
mod verify;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value as Json;

use super::args::{Arguments, Command, Global};
use super::exit::{Exit, Failure};
use super::{SystemClock, output, progress};
use crate::compare::Progress;
use crate::plan::{Allowances, Rulings};
use crate::profile::Profile;
use crate::session::{self, Action, Options, Session, Surroundings};
use crate::store::memory::MemoryRegistry;

/// What a command gives.
pub type Ended = Result<Exit, Failure>;

/// Runs a command.
pub async fn run(arguments: Arguments) -> Ended {
    let Arguments { command, global } = arguments;
    match command {
        Command::Init(arguments) => init::run(arguments, &global).await,
        Command::Check { profile } => check::run(&profile, &global).await,
        Command::Diff { profile, sample: None } => diff::run(&profile, &global).await,
        Command::Diff { profile, sample: Some(percent) } => diff::sample(&profile, percent, &global).await,
        Command::Plan { profile, rescan, allow, decisions } => {
            plan::run(&profile, rescan, (allow.into(), decisions.as_deref()), &global).await
        }
        Command::Decide { profile, options } => decide::run(&profile, &options, &global).await,
        Command::Replay { profile, apply, freeze, allow, decisions } => {
            replay::run(&profile, apply, freeze, (allow.into(), decisions.as_deref()), &global).await
        }
        Command::Verify { profile, freeze, undone } => verify::run(&profile, freeze, undone, &global).await,
        Command::Cutover { profile, certificate, retreat } => {
            cutover::run(&profile, certificate, retreat, &global).await
        }
        Command::Run { profile, headless: true, allow, decisions, watch: _ } => {
            run::headless(&profile, allow.into(), decisions.as_deref(), &global).await
        }
        Command::Run { profile, watch: true, .. } => run::watch(&profile, &global).await,
        Command::Run { profile, allow, decisions, .. } => {
            run::guided(&profile, allow.into(), decisions.as_deref(), &global).await
        }
        Command::Pace { profile, pace } => pace::run(&profile, pace, &global).await,
        Command::Undo { profile } => undo::run(&profile, &global).await,
        Command::Report { profile, options } => report::run(&profile, &options, &global),
        Command::Checkpoint { profile, rescue, .. } if rescue.rescue => {
            checkpoint::rescue(&profile, &rescue, &global).await
        }
        Command::Checkpoint { profile, name, .. } => {
            checkpoint::run(&profile, name.as_deref().unwrap_or_default(), &global).await
        }
        Command::Certificate { file, manifest } => certificate::run(&file, manifest.as_deref(), &global),
        Command::Drill(arguments) => drill::run(arguments, &global).await,
        Command::Completions { shell } => manual::completions(shell),
        Command::Man => manual::man(),
    }
}

impl From<super::args::Allow> for Allowances {
    fn from(allow: super::args::Allow) -> Allowances {
        let super::args::Allow { deletes, overwrites, empty_dr, everything, base_age } = allow;
        Allowances { deletes, overwrites, empty_dr, everything, base_age }
    }
}

/// Where everything is kept by default, below the current folder.
const HOME: &str = ".failback";

fn load(path: &Path) -> Result<(Profile, String), Failure> {
    let environment = |name: &str| std::env::var(name).ok();
    let profile = Profile::load(path, &environment).map_err(|error| Failure::plain(Exit::Usage, error))?;
    let text = std::fs::read_to_string(path).map_err(|error| Failure::plain(Exit::Usage, error))?;
    Ok((profile, text))
}

fn session_folder(profile: &Profile, global: &Global) -> PathBuf {
    global.session.clone().unwrap_or_else(|| Path::new(HOME).join(&profile.name))
}

/// Opens the session of a profile for a command.
fn open(path: &Path, global: &Global, allowances: Allowances, rulings: Rulings) -> Result<Session, Failure> {
    open_with(path, global, (allowances, rulings), progress::progress(global.quiet))
}

/// Opens the session of a profile with its progress told to `progress`.
fn open_with(
    path: &Path,
    global: &Global,
    (allowances, rulings): (Allowances, Rulings),
    progress: Arc<dyn Progress>,
) -> Result<Session, Failure> {
    let (profile, text) = load(path)?;
    let folder = session_folder(&profile, global);
    let options = Options { stores: global.stores.clone(), allowances, rulings };
    Ok(Session::open(&folder, profile, &text, options, surroundings(progress))?)
}

fn surroundings(progress: Arc<dyn Progress>) -> Surroundings {
    Surroundings {
        clock: Arc::new(SystemClock),
        progress,
        memory: MemoryRegistry::new(),
        checkpoints: Path::new(HOME).join("checkpoints"),
        pace: Arc::default(),
        dial: None,
    }
}

/// Runs a session command between its begin and end events.
async fn recorded<T: session::Exits>(
    session: &Session,
    action: Action,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<(T, Exit), Failure> {
    let outcome = session.recorded(action.name(), work, |failure| failure.exit).await?;
    let exit = outcome.exit();
    Ok((outcome, exit))
}

/// Prints a JSON document when asked for, else the text.
fn print(global: &Global, document: impl FnOnce() -> Json, text: impl FnOnce() -> String) -> Result<(), Failure> {
    let output = if global.json { format!("{}\n", document()) } else { text() };
    emit(output.as_bytes())
}

/// Writes a result to stdout, all of it or with a failure.
fn emit(output: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    printed(stdout.write_all(output).and_then(|()| stdout.flush()))
}

/// A result that was cut short is a failure.
fn printed(written: std::io::Result<()>) -> Result<(), Failure> {
    match written {
        // A reader that has gone away (`| head`) is no failure of the command.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            let cause = format!("cannot write the result to stdout: {error}");
            let hint = "what was done is done and recorded: failback report tells it; make room, then run it again";
            Err(Failure::hinted(Exit::Incomplete, cause, hint))
        }
        _ => Ok(()),
    }
}

/// Asks before something is changed: `--yes`, or `yes` typed at a terminal.
async fn confirm(global: &Global, what: &str) -> Result<(), Failure> {
    if global.yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        let error = format!("this will {what}, and there is nobody to ask");
        return Err(Failure::hinted(Exit::Usage, error, "add --yes when that is what you want"));
    }
    output::tell_part(&format!("This will {what}. Type yes to go on: "));
    // Beside the runtime's own work: an interrupt is heard also while the answer is waited for.
    let asked = tokio::task::spawn_blocking(|| std::io::stdin().lines().next().unwrap_or_else(|| Ok(String::new())));
    let answer = asked.await.expect("reading an answer does not panic");
    match answer.map_err(|error| Failure::plain(Exit::Usage, error))?.trim() {
        "yes" => Ok(()),
        _ => Err(Failure::plain(Exit::Usage, "not confirmed; nothing was changed")),
    }
}
