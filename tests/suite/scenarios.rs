//! Whole disasters as scripts: `tests/scenarios/*.txt`. A line that begins with `> ` is a command; what follows is what it
//! must print. `FAILBACK_BLESS=1` writes what was printed into the files, to be read before it is committed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use failback::compare::Quiet;
use failback::diff::DeltaLine;
use failback::digest::{key_of, key_text};
use failback::model::{Clock, StoreKind, Timestamp, Value};
use failback::plan::Allowances;
use failback::profile::Profile;
use failback::replay::Mode;
use failback::session::{Options, Session, SessionError, Surroundings};
use failback::store::memory::MemoryRegistry;

/// Moves on by a millisecond whenever it is asked.
struct Ticking(AtomicI64);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.fetch_add(1, Ordering::SeqCst)).expect("in range")
    }
}

struct Stage {
    folder: tempfile::TempDir,
    clock: Arc<Ticking>,
    memory: MemoryRegistry,
    policy: String,
    base: &'static str,
    disaster: Option<Timestamp>,
}

impl Stage {
    fn new() -> Stage {
        Stage {
            folder: tempfile::tempdir().expect("a folder"),
            clock: Arc::new(Ticking(AtomicI64::new(1_790_000_000_000))),
            memory: MemoryRegistry::new(),
            policy: String::new(),
            base: "",
            disaster: None,
        }
    }

    fn session(&self, allowances: Allowances) -> Session {
        let times = self.disaster.map_or_else(String::new, |at| format!("disaster_at = {at}\n"));
        let text = format!(
            "name = \"scenario\"\n{times}[primary]\nregion = \"us-east-1\"\n[dr]\nregion = \"us-west-2\"\n\
             [[store]]\nname = \"shop\"\nkind = \"memory\"\nprimary = {{ name = \"p\" }}\ndr = {{ name = \"d\" }}\n{}\
             policy = {{ {} }}\n[freeze]\ncommand = [\"true\"]\nnegative_write_test = [\"false\"]\n",
            self.base, self.policy
        );
        let profile = Profile::parse(&text, "scenario.toml", &|_| None).unwrap_or_else(|error| panic!("{error}"));
        let around = Surroundings {
            clock: self.clock.clone(),
            progress: Arc::new(Quiet),
            memory: self.memory.clone(),
            checkpoints: self.folder.path().join("checkpoints"),
            dial: None,
        };
        let options = Options { allowances, ..Options::default() };
        Session::open(&self.folder.path().join("session"), profile, &text, options, around).expect("a session")
    }

    fn write(&self, side: &str, words: &[&str]) {
        let names: &[&str] = match side {
            "primary" => &["p"],
            "dr" => &["d"],
            _ => &["p", "d"],
        };
        for table in names.iter().map(|name| self.memory.table(name)) {
            let key = Value::map([("id", Value::text(words[1]))]);
            match words {
                ["put", id, value] => {
                    let contents = Value::map([("id", Value::text(*id)), ("value", Value::text(*value))]);
                    table.put(&key, contents);
                }
                _ => drop(table.remove(&key)),
            }
        }
    }

    fn show(&self, side: &str) -> String {
        let table = self.memory.table(if side == "dr" { "d" } else { "p" });
        let mut lines: Vec<String> = table
            .entries()
            .into_iter()
            .map(|(key, entry)| {
                let value = entry.contents.get("value").and_then(|value| value.as_text().map(str::to_owned));
                format!("{} {}\n", key_text(StoreKind::Memory, &key), value.unwrap_or_default())
            })
            .collect();
        lines.sort();
        lines.concat()
    }

    async fn run(&mut self, command: &str) -> String {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words.as_slice() {
            [side @ ("primary" | "dr" | "both"), rest @ ..] => {
                self.write(side, rest);
                String::new()
            }
            ["policy", ..] => {
                self.policy = command["policy ".len()..].to_owned();
                String::new()
            }
            ["disaster"] => {
                self.disaster = Some(self.clock.now());
                String::new()
            }
            ["recreate", name] => {
                let items = self.memory.table(name).entries().len();
                self.memory.recreate(name);
                format!("{items} items lost with the resource\n")
            }
            ["show", side] => self.show(side),
            [command, flags @ ..] => match self.job(command, flags).await {
                Ok(text) => text,
                Err(error) => format!("error: {}\n", without_numbers(&error.to_string())),
            },
            [] => String::new(),
        }
    }

    async fn job(&mut self, command: &str, flags: &[&str]) -> Result<String, SessionError> {
        let allowed = |flag: &str| flags.contains(&flag);
        let session = self.session(Allowances {
            deletes: allowed("allow-deletes"),
            overwrites: allowed("allow-overwrites"),
            empty_dr: allowed("allow-empty-dr"),
            everything: allowed("allow-everything"),
            base_age: allowed("accept-base-age"),
        });
        Ok(match command {
            "checkpoint" => {
                let outcome = session.checkpoint("in-step").await?;
                self.base = "base = { checkpoint = \"in-step\" }\n";
                if outcome.folder.is_some() { "in step\n".into() } else { "not in step\n".into() }
            }
            "diff" => delta(&session.diff().await?.stores[0].delta),
            "plan" => {
                let outcome = session.plan().await?;
                let counts = &outcome.summary.stores[0].counts;
                let mut text =
                    format!("insert {} update {} delete {}\n", counts.inserts, counts.updates, counts.deletes);
                for (word, file) in [("held", &outcome.held_file), ("accepted", &outcome.accepted_file)] {
                    text += &kept(word, file);
                }
                text
            }
            "replay" => {
                let outcome = session.replay(Mode::Apply).await?;
                let run = &outcome.stores[0].run;
                format!("applied {} already {} refused {} stale {}\n", run.applied, run.already, run.refused, run.stale)
            }
            "verify" => {
                let outcome = session.verify().await?;
                let store = &outcome.stores[0];
                let word = if outcome.certificate.is_some() { "certificate issued" } else { "no certificate" };
                format!(
                    "parity {} accepted {} unaccepted {}: {word}\n",
                    outcome.at_parity(),
                    store.accepted,
                    store.unaccepted
                )
            }
            "undo" => {
                let undone = &session.undo().await?.stores[0].1;
                format!("restored {} already {} refused {}\n", undone.restored, undone.already, undone.refused)
            }
            "undone" => format!("as before: {}\n", session.verify_undone().await?.is_as_before()),
            other => panic!("no such command: {other}"),
        })
    }
}

/// Identities of tables in memory are numbered by the process: `p#15` becomes `p#n`.
fn without_numbers(text: &str) -> String {
    let mut parts = text.split('#');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| all + "#n" + part.trim_start_matches(|c: char| c.is_ascii_digit()))
}

fn delta(path: &Path) -> String {
    let text = std::fs::read_to_string(path).expect("a delta");
    let mut lines: BTreeMap<String, String> = BTreeMap::new();
    for line in text.lines() {
        let line: DeltaLine = serde_json::from_str(line).expect("a delta line");
        let key = key_text(StoreKind::Memory, &line.key().expect("a key"));
        lines.insert(key, format!("{} {}", line.verdict, line.change));
    }
    lines.into_iter().map(|(key, what)| format!("{key} {what}\n")).collect()
}

fn kept(word: &str, path: &Path) -> String {
    let text = std::fs::read_to_string(path).expect("kept items");
    let mut lines: Vec<String> = text
        .lines()
        .map(|line| {
            let json: serde_json::Value = serde_json::from_str(line).expect("a kept item");
            format!(
                "{word} {}: {}\n",
                json["key"]["id"]["S"].as_str().expect("an id"),
                json["reason"].as_str().expect("why")
            )
        })
        .collect();
    lines.sort();
    lines.concat()
}

async fn play(script: &str) -> String {
    let mut stage = Stage::new();
    let mut played = String::new();
    for line in script.lines() {
        if let Some(command) = line.strip_prefix("> ") {
            played += &format!("{line}\n{}", stage.run(command).await);
        } else if line.starts_with('#') || line.is_empty() {
            played += &format!("{line}\n");
        }
    }
    played
}

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let entries = std::fs::read_dir(folder).expect("scenarios");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

#[test]
fn every_scenario_prints_what_its_script_says() {
    // The key type is made here once so that a renamed encoding shows in this file too.
    assert_eq!(key_text(StoreKind::Memory, &key_of(&Value::map([("id", Value::text("a"))]))), "id=a");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut different = Vec::new();
    for path in scripts() {
        let script = std::fs::read_to_string(&path).expect("a script");
        let played = runtime.block_on(play(&script));
        if std::env::var("FAILBACK_BLESS").is_ok_and(|bless| bless == "1") {
            std::fs::write(&path, &played).expect("blessed");
        } else if played != script {
            different.push(format!("{}:\n{played}", path.display()));
        }
    }
    assert!(scripts().len() >= 5, "the scenarios are gone");
    assert!(different.is_empty(), "printed otherwise:\n{}", different.join("\n"));
}
