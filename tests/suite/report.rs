//! `failback report` as scripts see it, on sessions that were made in memory.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use failback::compare::Quiet;
use failback::drill::sandbox::Lifetime;
use failback::drill::story::Scale;
use failback::drill::{Drill, Narrator, Scene};
use failback::model::{FixedClock, Value};
use failback::plan::Allowances;
use failback::profile::Profile;
use failback::replay::Mode;
use failback::session::{Options, Session, Surroundings};
use failback::store::memory::{MemoryRegistry, MemoryTable};
use failback::verify::SigningKey;

use crate::rig::{Home, Ran, now};

/// Differences of the large session: more than a page shows.
pub const MANY: u32 = 450;

/// Keys that try to break out of the page, or out of their box.
pub const NASTY: [&str; 5] = [
    "<script>console.error('out')</script>",
    "\"'><img src=x onerror=alert(1)>",
    "&lt;b&gt;&amp;",
    "\u{202e}txt.exe\u{0007}",
    "averylongkeywithoutanyblanksaverylongkeywithoutanyblanksaverylongkeywithoutanyblanksaverylongkeywithoutanyblanks",
];

struct Silent;

impl Narrator for Silent {
    fn show(&mut self, _: Scene<'_>) {}
}

/// A session that came home: the drill in memory.
pub async fn finished(home: &Home) {
    let drill = Drill {
        scale: Scale { items: 300, seed: 7 },
        folder: home.path("."),
        lifetime: Lifetime::Attached,
        program: crate::rig::program(),
        clock: Arc::new(failback::cli::SystemClock),
        progress: Arc::new(Quiet),
    };
    assert_eq!(drill.run_in_memory(&mut Silent).await.expect("a drill"), 0);
}

/// A session in the middle: one store differs a lot and is held, another was never compared.
pub async fn unfinished(home: &Home) {
    let disaster = now() - jiff::SignedDuration::from_hours(30);
    let text = format!(
        "name = \"shop\"\ndisaster_at = {disaster}\n[primary]\nregion = \"us-east-1\"\n[dr]\nregion = \"us-west-2\"\n\
                [[store]]\nname = \"orders\"\nkind = \"memory\"\nprimary = {{ name = \"orders\" }}\ndr = {{ name = \"orders-dr\" }}\n\
                [[store]]\nname = \"media\"\nkind = \"memory\"\nprimary = {{ name = \"media\" }}\ndr = {{ name = \"media-dr\" }}\n"
    );
    home.write("profile.toml", &text);
    let memory = MemoryRegistry::new();
    let (primary, dr) = (memory.table("orders"), memory.table("orders-dr"));
    let keys = (0..MANY).map(|number| format!("order-{number}")).chain(NASTY.map(String::from));
    for (number, key) in keys.enumerate() {
        let key = Value::map([("id", Value::text(&key))]);
        let total = |total: i64| Value::map([("total", Value::Number(total.into()))]);
        let changed = disaster + jiff::SignedDuration::from_mins(i64::try_from(number * 4).expect("a small number"));
        dr.put_at(&key, total(1), changed);
        if number % 3 == 0 {
            primary.put(&key, total(2));
        }
    }
    let profile = Profile::parse(&text, "profile.toml", &|_| None).expect("a profile");
    let options = Options { stores: vec!["orders".into()], ..Options::default() };
    let around = Surroundings {
        clock: Arc::new(FixedClock(now())),
        progress: Arc::new(Quiet),
        memory,
        checkpoints: home.path("checkpoints"),
        pace: Default::default(),
        dial: None,
    };
    let session = Session::open(&home.path("session"), profile, &text, options, around).expect("a session");
    session.begin("plan").expect("recorded");
    session.plan().await.expect("a plan");
    session.end("plan", 3).expect("recorded");
}

const REPORT: &str = "report profile.toml --session session";

fn report(home: &Home, more: &str) -> Ran {
    home.run(&format!("{REPORT} {more}"))
}

#[tokio::test]
async fn every_format_goes_to_stdout_or_to_a_file() {
    let home = Home::new();
    unfinished(&home).await;
    for (format, words) in [
        ("html", "<!DOCTYPE html>"),
        ("html", "Differences of orders by hour since T0"),
        ("md", "# Failback of shop"),
        ("json", "{\"format\":1"),
        ("junit", "<testsuites"),
        ("csv", "store,key,verdict,change,state,reason"),
    ] {
        let printed = report(&home, &format!("--format {format}")).exits(0);
        assert!(printed.out.starts_with(words) || printed.out.contains(words), "{format}: {}", printed.out);
        assert_eq!(printed.err, "", "{format}");
        let kept = report(&home, &format!("--format {format} --output r.{format}")).exits(0).says("written to");
        assert_eq!(kept.out, "", "data is in the file");
        assert_eq!(timeless(&home.read(&format!("r.{format}"))), timeless(&printed.out), "{format}");
    }
    let json = report(&home, "--json").exits(0).json();
    assert_eq!((&json["command"], &json["disclosure"]["values"]), (&"report".into(), &"masked".into()));
    assert!(!home.path("session/session.lock").exists() || home.run(REPORT).code == Some(0), "a report takes no lock");
}

/// A report without the instant it was made at.
fn timeless(text: &str) -> String {
    let mut timeless = String::new();
    let digits = |text: &str| text.bytes().next().is_some_and(|byte| byte.is_ascii_digit());
    for part in text.split_inclusive([' ', 'T', ':', '.', '"', '<', '|']) {
        timeless.push_str(if digits(part) { "#" } else { part });
    }
    timeless
}

#[tokio::test]
async fn the_table_has_every_difference_with_what_became_of_it() {
    let home = Home::new();
    unfinished(&home).await;
    let printed = report(&home, "--format csv").exits(0);
    let rows: Vec<&str> = printed.out.lines().collect();
    let differing = MANY as usize + NASTY.len();
    assert_eq!(rows.len(), 1 + differing);
    let held = |row: &&str| row.starts_with("orders,") && row.ends_with(",held,no base tells which side changed");
    assert_eq!(rows.iter().filter(|row| held(row)).count(), differing, "{}", printed.out);
    report(&home, "--format csv --store media").exits(0).prints("store,key");
    assert_eq!(report(&home, "--format csv --store media").out.lines().count(), 1);
    assert!(!report(&home, "--format csv --mask-keys").exits(0).out.contains("order-"));
}

#[tokio::test]
async fn a_delta_that_is_not_what_was_compared_is_incomplete() {
    let home = Home::new();
    unfinished(&home).await;
    let path = "session/delta/diff-orders.ndjson";
    let lines = home.read(path);
    let (first, rest) = lines.split_once('\n').expect("lines");
    home.write(path, rest);
    report(&home, "--format csv --output d.csv").exits(4).says("the comparison counted 455").says("hint: ");
    assert!(!home.path("d.csv").exists(), "half a table is no table");
    home.write(path, &format!("{rest}{}", &first[..20]));
    report(&home, "--format csv").exits(4).says("is damaged");
    std::fs::remove_file(home.path(path)).expect("removed");
    report(&home, "--format csv").exits(4).says("cannot be read");
    report(&home, "--format html").exits(0).prints("The delta cannot be read");
}

#[tokio::test]
async fn what_two_options_contradict_is_refused() {
    let home = Home::new();
    unfinished(&home).await;
    for (more, words) in [
        ("--format pdf", "html"),
        ("--format html --json", "ask for two things"),
        ("--format html --store orders", "--store goes with --format csv only"),
        ("--format csv --store nothing", "it has orders, media"),
        ("--format csv --show-values", "no values to show"),
        ("--show-values --mask-keys", "cannot be used with"),
        ("--output nowhere/r.md", "cannot write nowhere/r.md"),
    ] {
        let ran = report(&home, more).exits(2).says(words);
        assert!(ran.out.is_empty() || more.contains("--json"), "{more}: {}", ran.out);
    }
}

#[tokio::test]
async fn values_of_a_finished_session_come_from_the_journal_and_are_its_owners_alone() {
    let home = Home::new();
    finished(&home).await;
    report(&home, "--format html --show-values --output values.html").exits(0);
    let page = home.read("values.html");
    assert!(page.contains("VALUES SHOWN") && page.contains("none kept"), "{page}");
    let mode = |name: &str| std::fs::metadata(home.path(name)).expect("a file").permissions().mode() & 0o077;
    assert_eq!(mode("values.html"), 0);
    let junit = report(&home, "--format junit").exits(0);
    assert_eq!(junit.out.matches("<testcase").count(), 5, "three stores, the fence and the certificate");
    assert!(junit.out.contains("failures=\"0\" errors=\"0\""), "{}", junit.out);
    // The session is told of wherever its folder is.
    std::fs::rename(home.path("session"), home.path("moved")).expect("moved");
    home.run("report profile.toml --session moved --format csv").exits(0).prints("accepted");
    home.run("report profile.toml --session moved --format html").exits(0).prints("signature fits");
}

/// A session on one store in memory, under a policy for what no base explains.
fn session(home: &Home, memory: &MemoryRegistry, unattributed: &str) -> Session {
    let store = "[[store]]\nname = \"orders\"\nkind = \"memory\"\nprimary = { name = \"orders\" }\ndr = { name = \"orders-dr\" }\n";
    let sides = "[primary]\nregion = \"us-east-1\"\n[dr]\nregion = \"us-west-2\"\n";
    let text = format!("name = \"shop\"\n{sides}{store}policy = {{ unattributed = \"{unattributed}\" }}\n");
    home.write("profile.toml", &text);
    let profile = Profile::parse(&text, "profile.toml", &|_| None).expect("a profile");
    let allowances = Allowances { overwrites: true, everything: true, ..Allowances::default() };
    let around = Surroundings {
        clock: Arc::new(failback::cli::SystemClock),
        progress: Arc::new(Quiet),
        memory: memory.clone(),
        checkpoints: home.path("checkpoints"),
        pace: Default::default(),
        dial: None,
    };
    let options = Options { allowances, ..Options::default() };
    Session::open(&home.path("session"), profile, &text, options, around).expect("a session")
}

#[tokio::test]
async fn what_was_refused_and_what_a_held_item_was_are_told() {
    let home = Home::new();
    let memory = MemoryRegistry::new();
    let (primary, dr) = (memory.table("orders"), memory.table("orders-dr"));
    let put = |table: &MemoryTable, id: &str, total: i64| {
        table.put(&Value::map([("id", Value::text(id))]), Value::map([("total", Value::Number(total.into()))]));
    };
    for id in ["written", "refused"] {
        put(&primary, id, 4711);
        put(&dr, id, 1);
    }
    let replaying = session(&home, &memory, "dr-wins");
    replaying.plan().await.expect("a plan");
    put(&primary, "refused", 815);
    replaying.replay(Mode::Apply).await.expect("a replay");
    drop(replaying);
    let table = report(&home, "--format csv").exits(0).out;
    assert!(table.contains("written") && table.contains(",done,\n"), "{table}");
    assert!(table.contains(",refused,the primary changed since the plan\n"), "{table}");
    report(&home, "--format html").exits(0).prints("Refused: 1 write");
    report(&home, "--format md").exits(0).prints("## Refused: 1 write");
    let json = report(&home, "--json").exits(0).json();
    assert_eq!(json["refused"]["listed"][0]["reason"], "the primary changed since the plan");

    put(&primary, "written", 2);
    put(&dr, "written", 3);
    let holding = session(&home, &memory, "hold");
    holding.plan().await.expect("a plan");
    drop(holding);
    let masked = report(&home, "--json").exits(0).out;
    assert!(!masked.contains("4711"), "{masked}");
    let shown = report(&home, "--json --show-values").exits(0).json();
    let held = shown["held"]["listed"].as_array().expect("held items");
    let of = |id: &str| held.iter().find(|item| item["key"].to_string().contains(id)).expect("an item");
    assert!(of("written")["value"].to_string().contains("4711"), "the image before this session's write: {shown:#}");
    assert_eq!(of("refused").get("value"), None, "what was never written has no image");
    report(&home, "--format html --show-values").exits(0).prints("4711").prints("none kept");
    report(&home, "--format md --show-values").exits(0).prints("4711").prints("none kept");
}

#[tokio::test]
async fn a_certificate_that_was_tampered_with_is_no_proof() {
    let home = Home::new();
    finished(&home).await;
    let path = "session/certificate.json";
    let text = home.read(path);
    home.write(path, &text.replacen("\"profile\": \"drill\"", "\"profile\": \"thrill\"", 1));
    assert_ne!(home.read(path), text, "something was changed");
    let json = report(&home, "--json").exits(0).json();
    assert_eq!((&json["certificate_check"]["valid"], &json["verdict"]["can_cut_over"]), (&false.into(), &false.into()));
    report(&home, "--format junit").exits(0).prints("type=\"unusable\"").prints("errors=\"3\"");
    home.write(path, &text);
    std::fs::remove_file(home.path("session/signing.key")).expect("removed");
    SigningKey::load_or_create(&home.path("session/signing.key")).expect("another key");
    report(&home, "--format html").exits(0).prints("another key than this session");
}
