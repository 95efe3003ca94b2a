//! `failback drill`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::{Ended, check, cutover, diff, plan, print, replay, verify};
use crate::cli::args::{Command, DrillArguments, Global};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{self, tell};
use crate::cli::{SystemClock, progress, screen};
use crate::compare::Quiet;
use crate::cutover::CutoverEvent;
use crate::drill::sandbox::{self, Lifetime, SandboxError, Stopped};
use crate::drill::story::{Fence, Scale, fence, try_write};
use crate::drill::{Drill, DrillError, Narrator, Scene, Stage, homecoming};
use crate::session::Options;
use crate::tui::{self, Seat};

/// Runs the sandbox's supervisor when that is what was asked for.
pub fn supervise(command: &Command) -> Option<Exit> {
    let Command::Drill(DrillArguments { supervise: Some(folder), .. }) = command else { return None };
    let ended = sandbox::supervise(folder);
    Some(if ended == std::process::ExitCode::SUCCESS { Exit::Done } else { Exit::Incomplete })
}

pub async fn run(arguments: DrillArguments, global: &Global) -> Ended {
    if let Some(folder) = &arguments.fence {
        fence(folder).await.map_err(|error| Failure::plain(Exit::Incomplete, error))?;
        return Ok(Exit::Done);
    }
    if let Some(folder) = &arguments.try_write {
        // As a negative write test: 0 when the write got through, 1 when it was refused, else neither.
        return match try_write(folder).await.map_err(|error| Failure::plain(Exit::Incomplete, error))? {
            Fence::Down => Ok(Exit::Done),
            Fence::Up => Ok(Exit::Differs),
        };
    }
    match arguments.stop.clone() {
        Some(folder) => stop(folder).await,
        None => rehearse(arguments, global).await,
    }
}

async fn stop(folder: PathBuf) -> Ended {
    let stopped = tokio::task::spawn_blocking(move || sandbox::stop(&folder)).await;
    let stopped = stopped.expect("stopping a sandbox does not panic");
    match stopped.map_err(|error| Failure::plain(Exit::Incomplete, error))? {
        Stopped::Ended => println!("the sandbox has ended"),
        Stopped::WasNotRunning => println!("no sandbox is running there"),
    }
    Ok(Exit::Done)
}

async fn rehearse(arguments: DrillArguments, global: &Global) -> Ended {
    if global.session.is_some() || !global.stores.is_empty() {
        let what = "a drill has a session and stores of its own: --session and --store do not go with it";
        return Err(Failure::hinted(Exit::Usage, what, "use --keep DIR, which keeps its session in a folder too"));
    }
    let temporary = tempfile::Builder::new()
        .prefix("failback-drill-")
        .tempdir()
        .map_err(|error| Failure::plain(Exit::Incomplete, error))?;
    let folder = arguments.keep.clone().unwrap_or_else(|| temporary.path().to_owned());
    let program = std::env::current_exe().map_err(|error| Failure::plain(Exit::Incomplete, error))?;
    let items = usize::try_from(arguments.items).unwrap_or(usize::MAX);
    let drill = Drill {
        scale: Scale { items, seed: arguments.seed },
        folder,
        lifetime: if arguments.keep.is_some() { Lifetime::Detached } else { Lifetime::Attached },
        program,
        clock: Arc::new(SystemClock),
        progress: progress::progress(global.quiet),
    };
    let mut teller = Teller { quiet: global.quiet || global.json };
    if !arguments.headless && !global.json && screen::is_there() {
        return operated(&drill, &arguments, &mut teller).await;
    }
    let mut in_memory = arguments.in_memory;
    let faults = if in_memory {
        drill.run_in_memory(&mut teller).await
    } else {
        match drill.run(&mut teller).await {
            Err(DrillError::Sandbox(SandboxError::Unavailable(why))) => {
                tell(&format!("no servers can be had here: {why}"));
                tell("going on with --in-memory: the same job on the reference stores");
                in_memory = true;
                drill.run_in_memory(&mut teller).await
            }
            ran => ran,
        }
    };
    let faults = faults.map_err(|error| Failure::plain(Exit::Incomplete, error))?;
    let report = std::fs::read_to_string(drill.folder.join("report.md")).unwrap_or_default();
    let kept = arguments.keep.as_deref().filter(|_| !in_memory);
    print(
        global,
        || {
            json!({
                "format": 1, "command": "drill", "items": arguments.items, "seed": arguments.seed,
                "in_memory": in_memory, "mismatches": faults, "kept": kept,
            })
        },
        || ending(faults, &report, kept.map(|folder| (folder, drill.program.as_path()))),
    )?;
    Ok(if faults == 0 { Exit::Done } else { Exit::Differs })
}

/// The drill in the guided session: the story is told on the screen, and an operator brings it home.
async fn operated(drill: &Drill, arguments: &DrillArguments, teller: &mut Teller) -> Ended {
    let failed = |error: DrillError| Failure::plain(Exit::Incomplete, error);
    let staged = match arguments.in_memory {
        true => drill.stage_in_memory(teller).await,
        false => match drill.stage(teller).await {
            Err(DrillError::Sandbox(SandboxError::Unavailable(why))) => {
                tell(&format!("no servers can be had here: {why}"));
                tell("going on with --in-memory: the same job on the reference stores");
                drill.stage_in_memory(teller).await
            }
            staged => staged,
        },
    };
    let staged = staged.map_err(failed)?;
    let session = staged.open(Options::default(), Arc::new(Quiet)).map_err(failed)?;
    let seat = Seat {
        session,
        profile_file: staged.profile_path(),
        judge: screen::judge(),
        by: screen::operator(),
        companion: Some(staged.companion()),
        theme: screen::theme(),
    };
    let ending = tui::run(seat).await?;
    let kept = arguments.keep.as_deref().filter(|_| !staged.is_in_memory());
    let again = match kept {
        Some(folder) => format!("failback run {0}/profile.toml --session {0}/session", folder.display()),
        None => "failback drill (this sandbox has ended; --keep DIR keeps one)".into(),
    };
    staged.end().await.map_err(failed)?;
    ending.narrator.iter().for_each(|line| println!("{line}"));
    output::tell_part(&screen::farewell(&ending, &again));
    if let Some(folder) = kept {
        output::tell_part(&what_to_try(folder, &drill.program));
    }
    Ok(ending.exit)
}

fn ending(faults: u64, report: &str, kept: Option<(&Path, &Path)>) -> String {
    let mut text = String::from("\n");
    text += report
        .lines()
        .take_while(|line| !line.starts_with("## "))
        .fold(String::new(), |all, line| all + line + "\n")
        .trim();
    text += "\n\n";
    text += &homecoming(faults);
    text += "\n";
    if let Some((folder, program)) = kept {
        text += &what_to_try(folder, program);
    }
    text
}

/// What can be done with a sandbox that goes on running.
fn what_to_try(folder: &Path, program: &Path) -> String {
    let mut text = String::from("\nThe sandbox is still running. Try:\n");
    let (program, arguments) = (program.display(), format!("{0}/profile.toml --session {0}/session", folder.display()));
    for command in ["report", "undo", "verify --undone", "plan", "replay --apply", "verify", "cutover --retreat"] {
        let (word, flags) =
            command.split_once(' ').map_or((command, String::new()), |(word, flags)| (word, format!(" {flags}")));
        text += &format!("  {program} {word} {arguments}{flags}\n");
    }
    text += &format!("and end it with\n  {program} drill --stop {}\n", folder.display());
    text
}

/// Tells the drill on stdout.
struct Teller {
    quiet: bool,
}

impl Narrator for Teller {
    fn show(&mut self, scene: Scene<'_>) {
        if let Scene::Preparing(line) = &scene {
            return tell(line);
        }
        if self.quiet {
            return;
        }
        if let Scene::Traffic(CutoverEvent::Health { ok: true, .. }) = scene {
            return;
        }
        let text = match scene {
            Scene::Preparing(line) => line,
            Scene::Stage(stage) => title(stage),
            Scene::Words(words) => words,
            Scene::Checkpoint(checkpoint) => {
                let kept = if checkpoint.folder.is_some() { "in step; checkpoint kept" } else { "NOT in step" };
                output::stores_table(&checkpoint.stores) + kept
            }
            Scene::Check(checked) => check::text(checked),
            Scene::Diff(compared) => diff::text(compared),
            Scene::Plan(planned) => plan::text(planned),
            Scene::Replay(replayed) => replay::text(replayed),
            Scene::Freeze(frozen) => format!("frozen: {}", frozen.evidence.detail),
            Scene::Verify(verified) => verify::text(verified),
            Scene::Traffic(event) => cutover::words(event),
            Scene::Judged(judged) => judged.lines().join("\n") + "\n",
        };
        println!("{}", text.trim_end());
    }
}

fn title(stage: Stage) -> String {
    let words = match stage {
        Stage::InStep => "1  Two Regions in step",
        Stage::Disaster => "2  Disaster",
        Stage::Compare => "3  The Region is back: look before touching",
        Stage::Replay => "4  Replay into the original resources, DR still live",
        Stage::Freeze => "5  Freeze and final pass",
        Stage::Verify => "6  Verify by an independent re-read",
        Stage::Cutover => "7  Customers return in stages",
        Stage::Judge => "8  Against the planted truth",
    };
    format!("\n== {words}")
}
