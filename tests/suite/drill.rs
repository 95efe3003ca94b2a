//! The drill's sandbox and its story, against the real servers.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use failback::compare::Quiet;
use failback::digest::{key_json, key_of, key_value};
use failback::drill::sandbox::{
    Lifetime, Record, Sandbox, SandboxError, Stopped, SupervisorCommand, Venv, stop, supervise,
};
use failback::drill::story::{DrillProfile, Fence, Leader, Scale, Wanted, World, fence, profile_toml, try_write};
use failback::drill::{Drill, Narrator, Scene, Staged};
use failback::guide::{Companion, perform};
use failback::model::{Change, Clock, StoreKind, Timestamp, Verdict};
use failback::plan::Ruling;
use failback::session::{Action, Exit, Exits, Options, Session};
use failback::store::memory::MemoryRegistry;

use crate::peers::left_out;

const FOLDER_VARIABLE: &str = "FAILBACK_TEST_SUPERVISE";
const DRILL_VARIABLE: &str = "FAILBACK_TEST_DRILL";

/// A supervisor that is this very test program, entered through [`supervisor_entry`].
fn supervisor() -> SupervisorCommand {
    let script = format!("{FOLDER_VARIABLE}=\"$1\" exec \"$0\" --exact drill::supervisor_entry --nocapture");
    let program = std::env::current_exe().expect("a test program").into_os_string();
    SupervisorCommand { program: "sh".into(), arguments: vec!["-c".into(), script.into(), program] }
}

/// Not a test by itself: the supervisor process of the tests below.
#[test]
fn supervisor_entry() {
    if let Some(folder) = std::env::var_os(FOLDER_VARIABLE) {
        supervise(Path::new(&folder));
    }
}

/// Not a test by itself: a drill that starts a sandbox and then waits to be killed.
#[test]
fn drill_entry() {
    if let Some(folder) = std::env::var_os(DRILL_VARIABLE) {
        let _sandbox = start(Path::new(&folder), Lifetime::Attached).expect("a sandbox");
        std::thread::sleep(Duration::from_secs(300));
    }
}

fn start(folder: &Path, lifetime: Lifetime) -> Option<Sandbox> {
    let venv = Venv::located();
    if venv.ministack().is_none() || venv.postgres_programs().is_none() {
        left_out("the sandbox's environment");
        return None;
    }
    Some(Sandbox::start(folder, lifetime, &supervisor(), &mut |_| ()).expect("a sandbox"))
}

fn all_pids(record: &Record) -> [u32; 4] {
    [record.supervisor, record.aws.pid, record.postgres_primary.pid, record.postgres_dr.pid]
}

fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_sandbox_ends_every_server_when_dropped() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(sandbox) = start(folder.path(), Lifetime::Attached) else { return };
    let pids = all_pids(sandbox.record());
    assert!(pids.into_iter().all(runs));
    drop(sandbox);
    assert!(!pids.into_iter().any(runs));
}

#[test]
fn a_killed_drill_leaves_no_server_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = std::env::current_exe().expect("a test program");
    if Venv::located().ministack().is_none() {
        return left_out("the sandbox's environment");
    }
    let mut drill = Command::new(program);
    drill.args(["--exact", "drill::drill_entry", "--nocapture"]).env(DRILL_VARIABLE, folder.path());
    let mut drill = drill.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a drill");
    let mut record = None;
    wait_until("the drill starts no sandbox", || {
        record = Record::read(folder.path()).expect("a record");
        record.is_some()
    });
    let pids = all_pids(&record.expect("a record"));
    assert!(pids.into_iter().all(runs));
    drill.kill().expect("SIGKILL");
    drill.wait().expect("an end");
    wait_until("servers outlive a killed drill", || !pids.into_iter().any(runs));
    assert_eq!(Record::read(folder.path()).expect("readable"), None);
}

#[test]
fn a_killed_supervisor_leaves_no_server_behind() {
    let setpriv = [PathBuf::from("/usr/bin/setpriv"), PathBuf::from("/bin/setpriv")];
    if !setpriv.iter().any(|program| program.exists()) {
        return left_out("setpriv");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let Some(sandbox) = start(folder.path(), Lifetime::Attached) else { return };
    let pids = all_pids(sandbox.record());
    Command::new("kill").args(["-KILL", &pids[0].to_string()]).status().expect("kill");
    wait_until("servers outlive a killed supervisor", || !pids[1..].iter().any(|pid| runs(*pid)));
}

#[test]
fn a_kept_sandbox_outlives_the_drill_until_it_is_stopped() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(sandbox) = start(folder.path(), Lifetime::Detached) else { return };
    let pids = all_pids(sandbox.record());
    drop(sandbox);
    assert!(pids.into_iter().all(runs));
    let again = Sandbox::start(folder.path(), Lifetime::Attached, &supervisor(), &mut |_| ());
    assert!(matches!(again, Err(SandboxError::Occupied { pid, .. }) if pid == pids[0]));
    assert_eq!(stop(folder.path()).expect("it ends"), Stopped::Ended);
    assert!(!pids.into_iter().any(runs));
    assert_eq!(stop(folder.path()).expect("nothing to do"), Stopped::WasNotRunning);
}

#[test]
fn a_supervisor_that_cannot_start_is_told_with_its_last_words() {
    if Venv::located().ministack().is_none() {
        return left_out("the sandbox's environment");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let command =
        SupervisorCommand { program: "sh".into(), arguments: vec!["-c".into(), "echo no luck >&2; exit 1".into()] };
    let error = Sandbox::start(folder.path(), Lifetime::Attached, &command, &mut |_| ()).expect_err("no sandbox");
    assert_eq!(error.to_string(), "the sandbox did not start: no luck");
}

/// The machine's clock.
struct WallClock;

impl Clock for WallClock {
    #[expect(clippy::disallowed_methods, reason = "a test may ask the machine")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

#[test]
fn the_story_is_told_as_planted_and_the_judge_sees_what_is_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(sandbox) = start(folder.path(), Lifetime::Attached) else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let scale = Scale { items: 200, seed: 11 };
        let world = World::create(&sandbox, scale, Leader::Script, Arc::new(WallClock)).await.expect("a world");
        world.seed().await.expect("seeded");
        assert_eq!(world.judge_weights(100).await.expect("weights").mismatches, []);
        let struck = world.strike().await.expect("struck");
        assert!(struck.dr_as_of <= struck.disaster_at);
        assert_eq!(world.judge_weights(0).await.expect("weights").mismatches, []);
        world.business().await.expect("business");
        world.late_business().await.expect("late business");
        // Nothing was brought home: exactly the items that dr changed or took away are not as they must be.
        for (judgement, planted) in world.judge_contents(&[]).await.expect("judged").iter().zip(world.planted()) {
            let away = planted.items.iter().filter(|item| match &item.wanted {
                Wanted::Exactly(wanted) => item.primary != *wanted,
                Wanted::MayExpire(_) => false,
            });
            let sequences = if planted.name == "ledger" { 3 } else { 0 };
            let expected = away.count() + sequences;
            assert_eq!(judgement.mismatches.len(), expected, "{}: {:#?}", planted.name, judgement.mismatches);
        }
        let checkpoint = Some("in-step");
        let drill = DrillProfile { program: Path::new("/x y/failback"), struck: Some(struck), checkpoint };
        let table: toml::Table = profile_toml(&world, Some(sandbox.record()), drill).parse().expect("TOML");
        assert!(table["disaster_at"].is_datetime());
        let before = DrillProfile { struck: None, ..drill };
        let text = profile_toml(&world, Some(sandbox.record()), before);
        let profile = failback::profile::Profile::parse(&text, "drill.toml", &|_| None).expect("a profile");
        assert_eq!(profile.stores.len(), 3);
        assert_eq!(try_write(sandbox.folder()).await.expect("tried"), Fence::Down);
        fence(sandbox.folder()).await.expect("fenced");
        assert_eq!(try_write(sandbox.folder()).await.expect("tried"), Fence::Up);
        assert!(world.late_business().await.is_err());
    });
}

#[test]
fn the_judge_accepts_the_planted_verdicts_and_no_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(sandbox) = start(folder.path(), Lifetime::Attached) else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let scale = Scale { items: 200, seed: 12 };
        let world = World::create(&sandbox, scale, Leader::Script, Arc::new(WallClock)).await.expect("a world");
        for planted in world.planted() {
            let lines = planted.items.iter().filter(|item| item.verdict.is_difference()).map(|item| {
                let key = key_json(planted.kind, &key_of(&item.key));
                let change = Change::between(item.primary.as_ref(), item.dr.as_ref()).expect("a difference").word();
                serde_json::json!({"key": key, "verdict": item.verdict.word(), "change": change}).to_string()
            });
            let lines: Vec<String> = lines.collect();
            let path = folder.path().join("delta.ndjson");
            std::fs::write(&path, lines.join("\n")).expect("written");
            assert_eq!(world.judge_verdicts(planted.name, &path).expect("judged").mismatches, []);
            std::fs::write(&path, lines[1..].join("\n")).expect("written");
            assert_eq!(world.judge_verdicts(planted.name, &path).expect("judged").mismatches.len(), 1);
            std::fs::write(&path, format!("{}\n{}", lines.join("\n"), lines[0])).expect("written");
            assert_eq!(world.judge_verdicts(planted.name, &path).expect("judged").mismatches.len(), 1);
        }
    });
}

#[test]
fn the_same_story_is_told_in_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let registry = MemoryRegistry::new();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let scale = Scale { items: 300, seed: 4 };
        let world = World::create_in_memory(&registry, folder.path(), scale, Leader::Script, Arc::new(WallClock))
            .expect("a world");
        world.seed().await.expect("seeded");
        let struck = world.strike().await.expect("struck");
        world.business().await.expect("business");
        let drill = DrillProfile { program: Path::new("/failback"), struck: Some(struck), checkpoint: None };
        let table: toml::Table = profile_toml(&world, None, drill).parse().expect("TOML");
        assert!(table["disaster_at"].is_datetime() && table.contains_key("cutover"));
        world.late_business().await.expect("late business");
        for planted in world.planted() {
            let primary = registry.get(planted.name).expect("a table");
            assert_eq!(primary.len(), planted.items.iter().filter(|item| item.primary.is_some()).count());
            // Bringing everything home by the truth itself satisfies the judge.
            for item in &planted.items {
                match &item.wanted {
                    Wanted::Exactly(Some(contents)) => drop(primary.put(&item.key, contents.clone())),
                    Wanted::Exactly(None) | Wanted::MayExpire(_) => drop(primary.remove(&item.key)),
                }
            }
        }
        for judgement in world.judge_contents(&[]).await.expect("judged") {
            assert_eq!(judgement.mismatches, [], "{}", judgement.summary);
        }
        fence(folder.path()).await.expect("fenced");
        assert_eq!(try_write(folder.path()).await.expect("tried"), Fence::Up);
    });
}

struct Silent;

impl Narrator for Silent {
    fn show(&mut self, _: Scene<'_>) {}
}

fn drill(folder: &Path) -> Drill {
    Drill {
        scale: Scale { items: 200, seed: 5 },
        folder: folder.to_owned(),
        lifetime: Lifetime::Attached,
        program: crate::rig::program(),
        clock: Arc::new(WallClock),
        progress: Arc::new(Quiet),
    }
}

/// An operator at a staged drill, who goes action by action.
struct Operator {
    staged: Staged,
    companion: Box<dyn Companion>,
    options: Options,
}

impl Operator {
    fn at(staged: Staged) -> Operator {
        // An operator may change the profile: here so as not to wait.
        let profile = std::fs::read_to_string(staged.profile_path()).expect("a profile");
        assert!(profile.contains("hold_seconds = 5\n") && profile.contains("conflict = \"hold\""), "{profile}");
        let quick = profile.replace("hold_seconds = 5", "hold_seconds = 0");
        std::fs::write(staged.profile_path(), quick).expect("written");
        let companion = staged.companion();
        Operator { staged, companion, options: Options::default() }
    }

    fn session(&self) -> Session {
        self.staged.open(self.options.clone(), Arc::new(Quiet)).expect("a session")
    }

    /// Carries out an action that must end so, and gives what the companion says to it.
    async fn does(&mut self, action: Action, exit: Exit) -> Vec<String> {
        let session = self.session();
        let performed = perform(&session, action, &mut |_| ()).await;
        let performed = performed.unwrap_or_else(|error| panic!("{action:?}: {error:?}"));
        assert_eq!(performed.exit(), exit, "{action:?}: {performed:?}");
        self.hears(action, exit).await
    }

    async fn hears(&mut self, action: Action, exit: Exit) -> Vec<String> {
        self.companion.after(action, exit).await.expect("the companion does its part")
    }

    /// Decides the held items, for dr and for the primary in turn.
    fn decides(&mut self) {
        let held = self.session().kept(usize::MAX).expect("kept").held.into_iter();
        let ruling = |at: usize| if at.is_multiple_of(2) { Ruling::Dr } else { Ruling::Primary };
        let ruled = held.enumerate().map(|(at, kept)| ((kept.store.0, kept.key.to_string()), ruling(at)));
        self.options.rulings = ruled.collect();
        assert!(self.options.rulings.len() > 5, "{:?}", self.options.rulings);
    }

    /// From the first look to a first replay of everything that was decided.
    async fn replays_first(&mut self) {
        let opened = self.companion.opened().await.join("\n");
        for words in ["T0 ", "planted in orders: ", "planted in media: ", "planted in ledger: ", " conflict"] {
            assert!(opened.contains(words), "`{words}` is not in:\n{opened}");
        }
        assert_eq!(self.does(Action::Check, Exit::Done).await, [""; 0]);
        let judged = self.does(Action::Plan, Exit::Undecided).await;
        assert_eq!(judged.len(), 3, "every store was judged once, as planted: {judged:#?}");
        assert!(judged.iter().all(|line| line.starts_with("truth: ")), "{judged:#?}");
        self.decides();
        assert_eq!(self.does(Action::Plan, Exit::Done).await, [""; 0], "a store is judged once");
    }
}

async fn comes_home(staged: Staged) {
    let mut operator = Operator::at(staged);
    operator.replays_first().await;
    let late = operator.does(Action::Replay, Exit::Done).await.join("\n");
    assert!(late.contains("DR took more writes meanwhile"), "{late}");
    operator.does(Action::FinalPass, Exit::Done).await;
    assert_eq!(operator.does(Action::Verify, Exit::Done).await, [""; 0], "nothing is judged before customers are back");
    let back = operator.does(Action::Cutover, Exit::Done).await.join("\n");
    assert!(back.contains("verify once more"), "{back}");
    let judged = operator.does(Action::Verify, Exit::Done).await;
    assert!(judged.last().is_some_and(|line| line.starts_with("THE DRILL CAME HOME")), "{judged:#?}");
    assert_eq!(judged.len(), 5, "three stores, the weights and the end: {judged:#?}");
    assert_eq!(operator.does(Action::Verify, Exit::Done).await, [""; 0], "the end is judged once");
    operator.staged.end().await.expect("ended");
}

#[test]
fn an_operator_brings_a_staged_drill_home() {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let staged = drill(folder.path()).stage_in_memory(&mut Silent).await.expect("staged");
        assert!(staged.is_in_memory());
        comes_home(staged).await;
    });
}

#[test]
fn an_operator_brings_a_staged_drill_on_servers_home() {
    let folder = tempfile::tempdir().expect("a folder");
    let venv = Venv::located();
    if venv.ministack().is_none() || venv.postgres_programs().is_none() {
        return left_out("the sandbox's environment");
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let staged = drill(folder.path()).stage(&mut Silent).await.expect("staged");
        let pids = all_pids(&Record::read(folder.path()).expect("a record").expect("it runs"));
        assert!(!staged.is_in_memory() && pids.into_iter().all(runs));
        comes_home(staged).await;
        assert!(!pids.into_iter().any(runs), "the servers end with the drill");
    });
}

#[test]
fn a_decision_that_the_primary_does_not_show_is_no_homecoming() {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let staged = drill(folder.path()).stage_in_memory(&mut Silent).await.expect("staged");
        let mut operator = Operator::at(staged);
        operator.replays_first().await;
        let accepted = operator.session().kept(usize::MAX).expect("kept").accepted;
        let lost = accepted.iter().find(|kept| kept.verdict == Verdict::Conflict).expect("one was decided so");
        let memory = operator.staged.surroundings(Arc::new(Quiet)).memory;
        // Writers were stopped before dr wrote anything more: then its last word is that of the outage.
        let fenced = operator.does(Action::FinalPass, Exit::Done).await.join("\n");
        assert!(fenced.contains("DR's writers were stopped before"), "{fenced}");
        let table = memory.get(&lost.store.0).expect("a table");
        let entries = table.entries().into_iter();
        let found = entries.map(|(key, _)| key).find(|key| key_json(StoreKind::Memory, key) == lost.key);
        table.remove(&key_value(&found.expect("the primary has it")).expect("a key"));
        // Only the companion is told of a cutover: the weights are not as they should be either.
        operator.hears(Action::Cutover, Exit::Done).await;
        let judged = operator.hears(Action::Verify, Exit::Done).await;
        let mismatches: Vec<_> = judged.iter().filter(|line| line.starts_with("MISMATCH")).collect();
        assert_eq!(mismatches.len(), 2, "{judged:#?}");
        assert!(mismatches[0].starts_with(&format!("MISMATCH {} ", lost.store)), "{judged:#?}");
        assert!(mismatches[1].starts_with("MISMATCH weights primary 0"), "{judged:#?}");
        let end = judged.last().expect("an end");
        assert!(end.starts_with("THE DRILL FAILED: 2 things"), "{end}");
        // After a retreat the next cutover is judged anew.
        operator.hears(Action::Retreat, Exit::Done).await;
        assert_eq!(operator.hears(Action::Verify, Exit::Done).await, [""; 0]);
    });
}

#[test]
fn a_store_that_was_not_looked_at_in_time_is_no_homecoming() {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let staged = drill(folder.path()).stage_in_memory(&mut Silent).await.expect("staged");
        let mut operator = Operator::at(staged);
        operator.options.stores = vec!["orders".into()];
        assert_eq!(operator.does(Action::Plan, Exit::Undecided).await.len(), 1);
        operator.does(Action::Replay, Exit::Undecided).await;
        operator.hears(Action::Cutover, Exit::Done).await;
        let again = operator.hears(Action::Verify, Exit::Differs).await.join("\n");
        assert!(again.contains("not at parity"), "{again}");
        let judged = operator.hears(Action::Verify, Exit::Done).await.join("\n");
        for store in ["media", "ledger"] {
            assert!(judged.contains(&format!("NOT JUDGED {store}")), "{judged}");
        }
        assert!(judged.contains("THE DRILL FAILED"), "{judged}");
    });
}
