//! Carries out the commands of one script on one stage, and prints what came of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use failback::compare::Quiet;
use failback::diff::DeltaLine;
use failback::digest::key_text;
use failback::model::{Clock, Side, Timestamp};
use failback::plan::{Allowances, Ruling, Rulings};
use failback::profile::Profile;
use failback::replay::Mode;
use failback::session::{Options, Session, SessionError, Surroundings, open_pair};
use failback::store::memory::MemoryRegistry;
use serde_json::Value as Json;

use super::script::{shown, words};
use super::stage::{Row, Stage, id_of_key, key_of_id};

/// The store's name in every script's profile.
const STORE: &str = "shop";

/// Plays one script and gives it back with what was printed now.
pub async fn play(script: &str, stage: Box<dyn Stage>) -> String {
    let mut player = Player::new(stage);
    let mut played = String::new();
    for line in script.lines() {
        if let Some(command) = line.strip_prefix("> ") {
            played += &format!("{line}\n{}", player.run(command).await);
        } else if line.starts_with('#') || line.is_empty() {
            played += &format!("{line}\n");
        }
    }
    played
}

/// Moves on by a millisecond whenever it is asked, from the second in which the script began.
///
/// The servers have clocks of their own, so this one begins near theirs.
struct Ticking(AtomicI64);

impl Ticking {
    fn new() -> Ticking {
        Ticking(AtomicI64::new(crate::rig::now().as_second() * 1000))
    }

    fn wait(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    fn reach(&self, instant: Timestamp) {
        self.0.fetch_max(instant.as_millisecond(), Ordering::SeqCst);
    }
}

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.fetch_add(1, Ordering::SeqCst)).expect("in range")
    }
}

struct Player {
    stage: Box<dyn Stage>,
    memory: MemoryRegistry,
    folder: tempfile::TempDir,
    clock: Arc<Ticking>,
    policy: String,
    newest: String,
    base: String,
    disaster: Option<Timestamp>,
    dr_as_of: Option<Timestamp>,
    rulings: Rulings,
    /// Identities that no two runs share, and what is printed for them.
    identities: Vec<(String, &'static str)>,
}

impl Player {
    fn new(stage: Box<dyn Stage>) -> Player {
        Player {
            memory: stage.memory(),
            stage,
            folder: tempfile::tempdir().expect("a folder"),
            clock: Arc::new(Ticking::new()),
            policy: String::new(),
            newest: String::new(),
            base: String::new(),
            disaster: None,
            dr_as_of: None,
            rulings: Rulings::new(),
            identities: Vec::new(),
        }
    }

    async fn run(&mut self, command: &str) -> String {
        let words = words(command);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["both", rest @ ..] => self.write(&[Side::Primary, Side::Dr], rest).await,
            ["primary", rest @ ..] => self.write(&[Side::Primary], rest).await,
            ["dr", rest @ ..] => self.write(&[Side::Dr], rest).await,
            ["policy", ..] => self.policy = command["policy ".len()..].to_owned(),
            ["newest", field] => self.newest = self.stage.newest(field),
            ["expire-by", field] => self.stage.expire_by(field).await,
            ["rule", id, "dr"] => self.rule(id, Ruling::Dr),
            ["rule", id, "primary"] => self.rule(id, Ruling::Primary),
            ["dr-as-of", instant] => self.dr_as_of = Timestamp::from_second(self.number(instant)).ok(),
            ["disaster"] => self.disaster = Some(self.clock.now()),
            ["wait", seconds] => self.clock.wait(seconds.parse().expect("seconds")),
            ["restore-aside"] => self.restore_aside().await,
            ["recreate", "primary"] => return self.recreate().await,
            ["show", "primary"] => return self.show(Side::Primary).await,
            ["show", "dr"] => return self.show(Side::Dr).await,
            [job, flags @ ..] => {
                return match self.job(job, flags).await {
                    Ok(text) => text,
                    Err(error) => format!("error: {}\n", self.normalised(&error.to_string())),
                };
            }
            [] => {}
        }
        String::new()
    }

    async fn write(&self, sides: &[Side], words: &[&str]) {
        match words {
            ["put", id, value, fields @ ..] => {
                let fields = fields.iter().map(|field| self.field(field)).collect();
                let row = Row { id: (*id).into(), value: (*value).into(), fields };
                for side in sides {
                    self.stage.put(*side, &row).await;
                }
            }
            ["del", id] => {
                for side in sides {
                    self.stage.remove(*side, id).await;
                }
            }
            other => panic!("no such write: {other:?}"),
        }
    }

    fn field(&self, word: &str) -> (String, i64) {
        let (name, number) = word.split_once('=').expect("a field is name=number");
        (name.to_owned(), self.number(number))
    }

    /// A number, or `now+60` or `now-60` for an instant in epoch seconds.
    fn number(&self, word: &str) -> i64 {
        match word.strip_prefix("now") {
            Some(seconds) => self.clock.now().as_second() + seconds.parse::<i64>().expect("+seconds or -seconds"),
            None => word.parse().expect("a number"),
        }
    }

    /// A person's decision on one item, as a decisions file would give it.
    fn rule(&mut self, id: &str, ruling: Ruling) {
        let (key, _) = key_of_id(self.stage.kind(), id);
        self.rulings.insert((STORE.into(), key.to_string()), ruling);
    }

    async fn restore_aside(&mut self) {
        let restored = self.stage.restore_aside().await;
        self.base = restored.profile_line;
        self.dr_as_of = restored.as_of;
        if let Some(instant) = restored.as_of {
            self.clock.reach(instant);
        }
    }

    async fn recreate(&mut self) -> String {
        let lost = self.stage.values(Side::Primary).await.len();
        let old = self.primary_identity().await;
        self.stage.recreate().await;
        let new = self.primary_identity().await;
        self.identities = vec![(old, "<the old one>"), (new, "<the new one>")];
        format!("{lost} items lost with the resource\n")
    }

    async fn primary_identity(&self) -> String {
        let (profile, _) = self.profile();
        let pair = open_pair(&profile, &profile.stores[0], &self.around()).await.expect("a pair");
        pair.primary.identity().await.expect("an identity").id
    }

    /// A message without what no two runs share: identities and instants.
    fn normalised(&self, text: &str) -> String {
        let text =
            self.identities.iter().fold(text.to_owned(), |text, (identity, shown)| text.replace(identity, shown));
        let words = text.split(' ').map(|word| {
            let bare = word.trim_end_matches([',', ':']);
            match bare.parse::<Timestamp>() {
                Ok(_) => format!("<instant>{}", &word[bare.len()..]),
                Err(_) => word.to_owned(),
            }
        });
        words.collect::<Vec<String>>().join(" ")
    }

    async fn show(&self, side: Side) -> String {
        let values = self.stage.values(side).await;
        values.iter().map(|(id, value)| format!("{} {}\n", shown(id), shown(value))).collect()
    }

    fn profile(&self) -> (Profile, String) {
        let instant = |name: &str, at: Option<Timestamp>| at.map_or_else(String::new, |at| format!("{name} = {at}\n"));
        // An instant from before the disaster is not stated before it.
        let dr_as_of = self.dr_as_of.filter(|_| self.disaster.is_some());
        let text = format!(
            "name = \"scenario\"\n{}{}{}[[store]]\nname = \"{STORE}\"\n{}{}{}policy = {{ {} }}\n\
             limits = {{ writes_per_second = 0 }}\n[freeze]\ncommand = [\"true\"]\nnegative_write_test = [\"false\"]\n",
            instant("disaster_at", self.disaster),
            instant("dr_as_of", dr_as_of),
            self.stage.sides(),
            self.stage.resources(),
            self.newest,
            self.base,
            self.policy
        );
        let profile = Profile::parse(&text, "scenario.toml", &|_| None).unwrap_or_else(|error| panic!("{error}"));
        (profile, text)
    }

    fn around(&self) -> Surroundings {
        Surroundings {
            clock: self.clock.clone(),
            progress: Arc::new(Quiet),
            memory: self.memory.clone(),
            checkpoints: self.folder.path().join("checkpoints"),
            pace: Default::default(),
            dial: None,
        }
    }

    fn session(&self, allowances: Allowances) -> Session {
        let (profile, text) = self.profile();
        let options = Options { allowances, rulings: self.rulings.clone(), ..Options::default() };
        let folder = self.folder.path().join("session");
        Session::open(&folder, profile, &text, options, self.around()).expect("a session")
    }

    async fn job(&mut self, command: &str, flags: &[&str]) -> Result<String, SessionError> {
        let session = self.session(allowances(flags));
        Ok(match command {
            "checkpoint" => {
                let outcome = session.checkpoint("in-step").await?;
                self.base = "base = { checkpoint = \"in-step\" }\n".into();
                if outcome.folder.is_some() { "in step\n".into() } else { "not in step\n".into() }
            }
            "diff" => self.delta(&session.diff().await?.stores[0].delta),
            "plan" => {
                let outcome = session.plan().await?;
                let counts = &outcome.summary.stores[0].counts;
                let held = self.kept("held", &outcome.held_file);
                let accepted = self.kept("accepted", &outcome.accepted_file);
                format!("insert {} update {} delete {}\n", counts.inserts, counts.updates, counts.deletes)
                    + &held
                    + &accepted
            }
            "replay" => {
                let outcome = session.replay(Mode::Apply).await?;
                let run = &outcome.stores[0].run;
                format!("applied {} already {} refused {} stale {}\n", run.applied, run.already, run.refused, run.stale)
            }
            "freeze" => session.freeze().await.map(|_| "writes to dr are stopped\n".into())?,
            "verify" => {
                let outcome = session.verify().await?;
                let store = &outcome.stores[0];
                let word = if outcome.certificate.is_some() { "certificate issued" } else { "no certificate" };
                let (accepted, unaccepted) = (store.accepted, store.unaccepted);
                format!("parity {} accepted {accepted} unaccepted {unaccepted}: {word}\n", outcome.at_parity())
            }
            "undo" => {
                let undone = &session.undo().await?.stores[0].1;
                format!("restored {} already {} refused {}\n", undone.restored, undone.already, undone.refused)
            }
            "undone" => format!("as before: {}\n", session.verify_undone().await?.is_as_before()),
            other => panic!("no such command: {other}"),
        })
    }

    /// The delta by id: verdict and change.
    fn delta(&self, path: &Path) -> String {
        let kind = self.stage.kind();
        let lines = lines(path).into_iter().map(|line| {
            let line: DeltaLine = serde_json::from_value(line).expect("a delta line");
            let id = id_of_key(kind, &line.key);
            assert_eq!(key_text(kind, &line.key().expect("a key")), key_of_id(kind, &id).1, "a key for people");
            (id, format!("{} {}", line.verdict, line.change))
        });
        let lines: BTreeMap<String, String> = lines.collect();
        lines.into_iter().map(|(id, what)| format!("{} {what}\n", shown(&id))).collect()
    }

    /// Held or accepted items by id, with why.
    fn kept(&self, word: &str, path: &Path) -> String {
        let kept = lines(path).into_iter().map(|line| {
            let reason = line["reason"].as_str().expect("why").to_owned();
            (id_of_key(self.stage.kind(), &line["key"]), reason)
        });
        let kept: BTreeMap<String, String> = kept.collect();
        kept.into_iter().map(|(id, reason)| format!("{word} {}: {reason}\n", shown(&id))).collect()
    }
}

fn allowances(flags: &[&str]) -> Allowances {
    let mut allowed = Allowances::default();
    for flag in flags {
        match *flag {
            "allow-deletes" => allowed.deletes = true,
            "allow-overwrites" => allowed.overwrites = true,
            "allow-empty-dr" => allowed.empty_dr = true,
            "allow-everything" => allowed.everything = true,
            "accept-base-age" => allowed.base_age = true,
            other => panic!("no such flag: {other}"),
        }
    }
    allowed
}

/// The lines of an NDJSON file.
fn lines(path: &Path) -> Vec<Json> {
    let text = std::fs::read_to_string(path).expect("a file of lines");
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}
