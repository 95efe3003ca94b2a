//! The command line as scripts see it: exit codes, stdout, stderr and JSON documents.

use std::process::Stdio;
use std::time::{Duration, Instant};

use failback::journal::SessionLock;
use serde_json::Value as Json;

use crate::peers;
use crate::rig::{DR, Home, PRIMARY, Regions, TABLE, reading, sides_on_port};

const COMMANDS: [&str; 17] = [
    "init",
    "check",
    "diff",
    "plan",
    "decide",
    "replay",
    "verify",
    "cutover",
    "run",
    "pace",
    "undo",
    "report",
    "checkpoint",
    "certificate",
    "drill",
    "completions",
    "man",
];

fn sensors(primary: &str, dr: &str) -> String {
    format!(
        "[[store]]\nname = \"sensors\"\nkind = \"dynamodb\"\nprimary = {{ table = \"{primary}\" }}\n\
         dr = {{ table = \"{dr}\" }}\n"
    )
}

/// A home with a profile that reaches nothing.
fn home_of_nothing() -> Home {
    let home = Home::new();
    let port = peers::free_port();
    home.write("p.toml", &format!("name = \"p\"\n{}{}", sides_on_port(port), sensors("aaa", "bbb")));
    home
}

#[test]
fn help_and_version_go_to_stdout_and_name_every_command_and_exit_code() {
    let home = Home::new();
    let help = home.run("--help").exits(0);
    assert_eq!(help.err, "");
    for word in COMMANDS.iter().copied().chain(["Exit codes:", "--json", "--session", "--store", "--yes"]) {
        assert!(help.out.contains(word), "{word} is not in the help:\n{}", help.out);
    }
    let version = home.run("--version").exits(0);
    assert_eq!(version.out, format!("failback {}\n", env!("CARGO_PKG_VERSION")));
    for command in COMMANDS {
        let help = home.run(&format!("{command} --help")).exits(0);
        assert!(help.out.contains("Usage: failback"), "{}", help.out);
    }
}

#[test]
fn completions_and_manual_are_printed() {
    let home = Home::new();
    for (shell, word) in [("bash", "complete"), ("zsh", "#compdef failback"), ("fish", "complete -c failback")] {
        let printed = home.run(&format!("completions {shell}")).exits(0).prints(word);
        assert!(printed.out.contains("checkpoint"), "{shell} knows the commands");
        assert_eq!(printed.err, "");
    }
    home.run("man").exits(0).prints(".TH failback").prints("Exit codes");
    assert!(!home.run("man").out.contains("help-help"), "the help of the help is no page");
    home.run("completions tcsh9").exits(2).says("tcsh9");
}

#[test]
fn bad_usage_exits_2_and_prints_nothing_on_stdout() {
    let home = home_of_nothing();
    for (arguments, words) in [
        ("", "Usage:"),
        ("fix p.toml", "unrecognized subcommand"),
        ("dif p.toml", "diff"),
        ("diff", "<PROFILE>"),
        ("diff p.toml --jsn", "--json"),
        ("diff p.toml more", "unexpected argument"),
        ("replay p.toml --freeze", "--apply"),
        ("verify p.toml --undone --freeze", "cannot be used with"),
        ("cutover p.toml --retreat --certificate c.json", "cannot be used with"),
        ("checkpoint p.toml", "--name"),
        ("report p.toml --format pdf", "md, json"),
        ("check p.toml -q -v", "cannot be used with"),
        ("diff p.toml --store nothing", "it has sensors"),
        ("plan p.toml --decisions none.ndjson", "none.ndjson"),
        ("certificate none.json", "none.json"),
    ] {
        let ran = home.run(arguments).exits(2).says(words);
        assert_eq!(ran.out, "", "{arguments}");
    }
}

#[test]
fn a_bad_profile_exits_2_and_is_pointed_at() {
    let home = Home::new();
    home.run("diff none.toml").exits(2).says("none.toml");
    home.write("bad.toml", "name = \"p\"\n[primary]\nregoin = \"us-east-1\"\n");
    home.run("diff bad.toml").exits(2).says("bad.toml:3:1").says("did you mean `region`?");
    home.write("torn.toml", "name = \"p\n");
    home.run("check torn.toml").exits(2).says("torn.toml:1:");
    let document = home.run("diff bad.toml --json").exits(2).json();
    assert_eq!((&document["format"], &document["exit_code"]), (&Json::from(1), &Json::from(2)));
    assert!(document["error"].as_str().is_some_and(|error| error.contains("regoin")), "{document}");
    home.write("same.toml", &format!("name = \"p\"\n{}{}", same_region(), sensors("aaa", "aaa")));
    home.run("diff same.toml").exits(2).says("same");
    assert!(!home.path(".failback").exists(), "a profile that does not hold makes no session");
}

fn same_region() -> String {
    sides_on_port(1).replace("us-west-2", "us-east-1")
}

#[test]
fn what_needs_a_session_or_a_plan_says_so() {
    let home = home_of_nothing();
    home.run("report p.toml").exits(2).says("there is no session").says("hint: ");
    assert!(!home.path(".failback").exists(), "a report makes no session");
    home.run("replay p.toml").exits(2).says("this session has no plan").says("run failback plan first");
    home.run("undo p.toml --yes").exits(2).says("this session has no plan");
    home.run("cutover p.toml --yes").exits(2).says("[cutover]");
    home.run("verify p.toml --freeze --yes").exits(2).says("[freeze]");
}

#[test]
fn nothing_is_changed_without_a_yes() {
    let home = home_of_nothing();
    for command in ["replay p.toml --apply", "undo p.toml", "cutover p.toml", "verify p.toml --freeze"] {
        home.run(command).exits(2).says("there is nobody to ask").says("--yes");
    }
    home.run("replay p.toml --apply --freeze").exits(2).says("there is nobody to ask");
}

#[test]
fn a_closed_port_is_incomplete_and_never_parity() {
    let home = home_of_nothing();
    for command in ["diff", "plan", "verify", "checkpoint --name x"] {
        let ran = home.run(&format!("{command} p.toml --json"));
        let document = ran.exits(4).json();
        assert_eq!((&document["exit_code"], &document["parity"]), (&Json::from(4), &Json::Null), "{command}");
    }
    home.run("check p.toml").exits(4).prints("not everything could be looked at");
    assert!(!home.path(".failback/checkpoints/x").exists());
    // The half-finished session can be told of.
    home.run("report p.toml").exits(0).prints("# ");
    let report = home.run("report p.toml --json").exits(0).json();
    assert_eq!(report["format"], 1);
}

#[test]
fn two_commands_never_share_a_session() {
    let home = home_of_nothing();
    home.run("diff p.toml").exits(4);
    let _lock = SessionLock::take(&home.path(".failback/p")).expect("the lock");
    let own = format!("is in use by process {}", std::process::id());
    for command in ["diff p.toml", "plan p.toml", "undo p.toml --yes", "replay p.toml --apply --yes"] {
        home.run(command).exits(2).says(&own).says("hint: ");
    }
    home.run("report p.toml").exits(0);
    home.run("diff p.toml --session elsewhere").exits(4);
}

#[test]
fn the_owner_of_a_session_is_named_while_its_freeze_command_runs() {
    let home = home_of_nothing();
    let waiting = "echo begun > begun; while [ ! -e go ]; do sleep 0.02; done";
    let profile = home.read("p.toml");
    home.write("p.toml", &format!("{profile}[freeze]\ncommand = [\"sh\", \"-c\", \"{waiting}\"]\n"));
    let mut owner = home.command("verify p.toml --freeze --yes");
    let owner = owner.stdout(Stdio::null()).stderr(Stdio::null());
    let mut owner = owner.spawn().expect("the program starts");
    let deadline = Instant::now() + Duration::from_secs(20);
    while !home.path("begun").exists() {
        assert!(Instant::now() < deadline, "the freeze command never begins");
        std::thread::sleep(Duration::from_millis(5));
    }
    home.run("diff p.toml").exits(2).says(&format!("is in use by process {}", owner.id()));
    home.write("go", "");
    assert_eq!(owner.wait().expect("a child").code(), Some(4), "the closed port");
    home.run("report p.toml").exits(0);
}

#[test]
fn a_drill_in_memory_comes_home() {
    let home = Home::new();
    let document = home.run("drill --in-memory --items 200 --json").exits(0).json();
    assert_eq!((&document["command"], &document["mismatches"]), (&Json::from("drill"), &Json::from(0)));
}

#[test]
fn what_does_not_go_with_a_drill_is_told() {
    let home = Home::new();
    for option in ["--session mine", "--store orders"] {
        home.run(&format!("drill --in-memory {option}")).exits(2).says("--session and --store do not go with it");
    }
    assert!(!home.path("mine").exists());
}

#[tokio::test]
async fn missing_resources_exit_2_and_are_named() {
    let Some(regions) = Regions::start().await else { return };
    let home = Home::new();
    for (store, missing) in [
        (sensors(TABLE[PRIMARY], "nowhere"), "nowhere"),
        (sensors("nowhere", TABLE[DR]), "nowhere"),
        (sensors(TABLE[PRIMARY], TABLE[DR]).replace("dynamodb", "s3").replace("table", "bucket"), "sensors"),
    ] {
        home.write("p.toml", &format!("name = \"p\"\n{}{store}", regions.sides()));
        home.run("diff p.toml").exits(2).says(missing);
        home.run("plan p.toml").exits(2).says(missing);
    }
}

#[tokio::test]
async fn diff_json_is_the_documented_document() {
    let Some(regions) = Regions::start().await else { return };
    regions.put(PRIMARY, reading("a", 1, "kept")).await;
    regions.put(DR, reading("a", 1, "changed")).await;
    regions.put(DR, reading("b", 2, "new")).await;
    let home = Home::new();
    let profile = format!("name = \"p\"\n{}{}", regions.sides(), sensors(TABLE[PRIMARY], TABLE[DR]));
    home.write("p.toml", &profile);
    let ran = home.run("diff p.toml --json").exits(1);
    let document = ran.json();
    let names = |json: &Json| json.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&document)[..5], ["format", "command", "profile", "parity", "stores"].map(String::from));
    assert_eq!((&document["format"], &document["parity"]), (&Json::from(1), &Json::from(false)));
    let store = &document["stores"][0];
    for field in ["name", "kind", "complete", "primary", "dr", "base", "verdicts", "delta"] {
        assert!(store.get(field).is_some(), "{field} is missing in {store}");
    }
    assert_eq!((&store["primary"]["items"], &store["dr"]["items"]), (&Json::from(1), &Json::from(2)));
    assert_eq!(store["dr"]["root"].as_str().map(str::len), Some(64));
    let verdicts = ["unchanged", "converged", "dr_only", "stranded", "conflict", "unattributed", "expired"];
    assert_eq!(names(&store["verdicts"]), verdicts);
    assert_eq!(store["verdicts"]["unattributed"], 2);
    let lines = home.lines(store["delta"].as_str().expect("a path").as_ref());
    assert_eq!(lines.len(), 2);
    for line in &lines {
        for field in ["store", "key", "verdict", "change", "primary", "dr", "base"] {
            assert!(line.get(field).is_some(), "{field} is missing in {line}");
        }
        assert_eq!((&line["verdict"], &line["base"]), (&Json::from("unattributed"), &Json::from("unknown")));
    }
    let new = lines.iter().find(|line| line["change"] == "insert").expect("an insert");
    assert_eq!(new["key"], serde_json::json!({"sensor": {"S": "b"}, "at": {"N": "2"}}));
    assert_eq!(new["primary"], Json::Null);
    let values = ["kept", "changed"];
    let told = format!("{}{}{}", ran.out, ran.err, serde_json::to_string(&lines).expect("JSON"));
    assert!(values.iter().all(|value| !told.contains(&format!("\"{value}\""))), "contents are never told");
    // Quiet is quiet, also with a document on stdout.
    assert_eq!(home.run("diff p.toml --json -q").exits(1).err, "");
}
