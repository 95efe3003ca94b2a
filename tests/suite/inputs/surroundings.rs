//! The machine the program runs on: files it may not use, and commands of the profile that hang or fail.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{FREEZE, store};
use crate::peers;
use crate::rig::{Home, Ran, sides_on_port};

const PATIENCE: Duration = Duration::from_secs(20);

/// A home with a profile of one store that nothing answers for.
fn home(more: &str) -> Home {
    let home = Home::new();
    let store = store("sensors", "dynamodb", "table", ["aaa", "bbb"], "");
    home.write("p.toml", &format!("name = \"p\"\n{}{store}{more}", sides_on_port(peers::free_port())));
    home
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let home = home("");
    home.write("file", "");
    std::fs::create_dir(home.path("folder")).expect("a folder");
    std::fs::write(home.path("latin1.toml"), b"name = \"caf\xe9\"\n").expect("written");
    for (arguments, code, words) in [
        ("diff folder", 2, "cannot read profile folder"),
        ("diff none/p.toml", 2, "cannot read profile none/p.toml"),
        ("diff p.toml/p.toml", 2, "cannot read profile p.toml/p.toml"),
        ("diff latin1.toml", 2, "latin1.toml"),
        ("diff p.toml --session file", 4, "cannot use session folder file"),
        ("diff p.toml --session file/session", 4, "cannot use session folder file/session"),
        ("plan p.toml --session /proc/failback", 4, "cannot use session folder /proc/failback"),
        ("check p.toml --session file", 4, "--session DIR"),
        ("report p.toml --session file", 2, "there is no session in file"),
    ] {
        let ran = home.run(arguments);
        let ran = ran.exits(code).says(words);
        assert_eq!(ran.out, "", "{arguments}");
    }
    assert!(!home.path(".failback").exists());
}

#[test]
fn another_user_s_files_are_named() {
    // Root may use any file, so the program runs as nobody.
    let home = home("");
    std::fs::set_permissions(home.path(""), std::fs::Permissions::from_mode(0o755)).expect("permissions");
    std::fs::set_permissions(home.path("p.toml"), std::fs::Permissions::from_mode(0o600)).expect("permissions");
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let program = home.path("failback");
    std::fs::copy(crate::rig::program(), &program).expect("a copy");
    let run = |arguments: &str| {
        use std::os::unix::process::CommandExt;
        let mut command = std::process::Command::new(&program);
        command.args(arguments.split_whitespace()).current_dir(home.path("")).env_clear().env("HOME", home.path(""));
        let output = command.uid(65534).gid(65534).output().expect("the program starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    };
    let ran = run("diff p.toml");
    ran.exits(2).says("cannot read profile p.toml").says("ermission denied");
    std::fs::set_permissions(home.path("p.toml"), std::fs::Permissions::from_mode(0o644)).expect("permissions");
    let ran = run("diff p.toml");
    ran.exits(4).says("cannot use session folder .failback/p").says("ermission denied").says("--session DIR");
}

/// Whether a process is there and not only its remains.
pub fn lives(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|stat| !stat.contains(") Z "))
}

#[track_caller]
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// As [`wait_until`], by questions that take their time.
pub async fn wait_until_async(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done().await {
        assert!(Instant::now() < deadline, "{what}");
    }
}

fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok().filter(|text| text.ends_with('\n'))
}

/// A `[freeze]`; each command is one line for `sh -c`.
fn freeze(command: &str, test: &str) -> String {
    format!(
        "[freeze]\ncommand = [\"sh\", \"-c\", \"{command}\"]\nnegative_write_test = [\"sh\", \"-c\", \"{test}\"]\ntimeout_seconds = 1\n"
    )
}

const HANGS: &str = "sleep 600 & echo $! > child; wait";

#[test]
fn a_freeze_that_hangs_or_fails_proves_nothing_and_leaves_nothing_running() {
    for (command, test, words) in [
        (HANGS, "exit 1", "did not end within 1 s"),
        ("exit 7", "exit 1", "ended with exit code 7"),
        ("kill -9 $$", "exit 1", "was ended by a signal"),
        ("true", "exit 0", "dr still takes writes"),
        ("true", HANGS, "did not end within 1 s"),
        ("true", "exit 2", "tells neither"),
    ] {
        let home = home(&freeze(command, test));
        let ran = home.run("verify p.toml --freeze --yes");
        ran.exits(1).says("writes to dr are not proved to be stopped").says(words).says("hint: stop the writers in DR");
        if let Some(child) = read(&home.path("child")) {
            wait_until("the command's child outlives it", || !lives(&child));
        }
    }
    let missing = home(&FREEZE.replace("\"true\"", "\"/no/such/fence\""));
    missing.run("verify p.toml --freeze --yes").exits(1).says("/no/such/fence cannot be run");
}

#[test]
fn an_interrupted_freeze_leaves_nothing_running() {
    let home = home(&freeze(HANGS, "exit 1").replace("timeout_seconds = 1", "timeout_seconds = 600"));
    let mut command = home.command("verify p.toml --freeze --yes");
    // An orphan would keep pipes open.
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
    wait_until("the freeze command begins", || read(&home.path("child")).is_some());
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).expect("a signal");
    assert_eq!(child.wait().expect("a child").code(), Some(5));
    let orphan = read(&home.path("child")).expect("it began");
    wait_until("the freeze command's child outlives the program", || !lives(&orphan));
}
