//! A replay that dies anywhere is resumed by running it again, and taken back exactly.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use failback::compare::{Base, Quiet};
use failback::diff::DeltaLine;
use failback::journal::{Event, Journal, JournalError, StepRow, StepState};
use failback::model::{Change, Digest, FixedClock, Key, Timestamp, Value, Verdict};
use failback::plan::Step;
use failback::replay::{
    Context, Mode, ReplayError, ReplaySummary, UndoSummary, decode_image, replay_store, undo_store,
};
use failback::store::wrap::{Call, Effect, Faults};
use failback::store::{ErrorKind, StorePair};

use crate::truth::{CLOCK, Rows, World, delta, key};
use crate::twisted::{Twist, Twisted};

/// Keys 0..40 are stranded, 40..120 gone from dr, 120..260 changed on dr, 260..330 new on dr, 330..340 in conflict.
struct Outage {
    world: World,
    diff: Arc<Diff>,
    /// Keys that the primary really wrote, in order.
    written: Arc<Mutex<Vec<Key>>>,
}

/// What is compared once for all outages of a test: each one begins with the same rows.
struct Diff {
    base: Base,
    lines: Vec<DeltaLine>,
    root_before: Digest,
    _folder: tempfile::TempDir,
}

impl Diff {
    async fn make() -> Arc<Diff> {
        let world = World::new();
        let base = plant(&world, true).await.expect("a base");
        let comparison = world.compare(&base, "diff").await;
        let lines = delta(&comparison.delta);
        Arc::new(Diff { base, lines, root_before: comparison.primary.root, _folder: world.folder })
    }
}

/// Puts both sides where the outage left them, by way of the base.
async fn plant(world: &World, checkpoint: bool) -> Option<Base> {
    let mut rows: Rows = (0..260).chain(330..400).map(|number| (number, 1)).collect();
    World::set(&world.primary, &rows);
    World::set(&world.dr, &rows);
    let base = if checkpoint { Some(world.checkpoint().await) } else { None };
    let mut primary = rows.clone();
    primary.extend(STRANDED.chain(330..340).map(|number| (number, 2)));
    rows.retain(|number, _| !(40..120).contains(number));
    rows.extend((120..260).chain(260..340).map(|number| (number, 3)));
    World::set(&world.primary, &primary);
    World::set(&world.dr, &rows);
    base
}

const STRANDED: std::ops::Range<u32> = 0..40;
const STEPS: u64 = 300;

impl Outage {
    async fn new(diff: &Arc<Diff>) -> Outage {
        let world = World::new();
        plant(&world, false).await;
        Outage { world, diff: Arc::clone(diff), written: Arc::default() }
    }

    fn pair(&self, on_primary: &Faults, on_dr: &Faults) -> StorePair {
        let noted = Twisted { inner: self.world.primary_store(), twist: Twist::Noted(self.written.clone()) };
        self.world.faulty(Arc::new(noted), on_primary, on_dr)
    }

    fn journal(&self) -> Journal {
        Journal::open(&self.world.path().join("session"), Arc::new(CLOCK)).expect("a journal")
    }

    fn primary(&self) -> BTreeMap<Key, Digest> {
        self.world.primary.entries().into_iter().map(|(key, entry)| (key, entry.digest)).collect()
    }

    /// What the primary must hold in the end: dr, and what was accepted.
    fn wanted(&self) -> BTreeMap<Key, Digest> {
        let mut wanted: BTreeMap<Key, Digest> =
            self.world.dr.entries().into_iter().map(|(key, entry)| (key, entry.digest)).collect();
        let before = self.primary();
        wanted.extend(STRANDED.map(|number| (key(number), before[&key(number)])));
        wanted
    }

    /// Plans to follow dr, but to accept what is stranded.
    fn plan(&self) -> (i64, Digest) {
        let lines = &self.diff.lines;
        let follow: Vec<&DeltaLine> = lines.iter().filter(|line| line.verdict != Verdict::Stranded).collect();
        assert_eq!((follow.len(), lines.len()), (STEPS as usize, STEPS as usize + STRANDED.len()));
        save_plan(&self.journal(), &follow)
    }

    async fn replay(&self, plan: (i64, Digest), pair: &StorePair) -> Result<ReplaySummary, ReplayError> {
        let journal = self.journal();
        let saved = self.world.path().join("saved");
        replay_store(&Context { journal: &journal, pair, saved, clock: &CLOCK, progress: &Quiet }, plan, Mode::Apply)
            .await
    }

    async fn undo(&self, pair: &StorePair) -> Result<UndoSummary, ReplayError> {
        let journal = self.journal();
        let saved = self.world.path().join("saved");
        undo_store(&Context { journal: &journal, pair, saved, clock: &CLOCK, progress: &Quiet }).await
    }

    /// Every planned key was written once and only once, and the journal says so.
    fn assert_each_once(&self) {
        let mut written = self.written.lock().expect("unharmed").clone();
        assert_eq!(written.len() as u64, STEPS);
        written.sort();
        written.dedup();
        assert_eq!(written.len() as u64, STEPS, "an item was written twice");
        let mut done = BTreeMap::<String, u32>::new();
        for record in self.journal().events().expect("events") {
            if let Event::Done { key, .. } = record.event {
                *done.entry(key).or_default() += 1;
            }
        }
        assert_eq!(done.len() as u64, STEPS);
        assert!(done.values().all(|times| *times == 1), "a step was settled twice");
    }
}

fn save_plan(journal: &Journal, lines: &[&DeltaLine]) -> (i64, Digest) {
    let record = journal.save_plan(|writer| {
        let mut hasher = blake3::Hasher::new();
        for line in lines {
            let step = Step::follow_dr(line, line.key().expect("a key"));
            step.digest_into(&mut hasher);
            writer.step(&row(step))?;
        }
        Ok::<_, JournalError>((hasher.finalize().into(), serde_json::Value::Null))
    });
    let record = record.expect("a plan");
    (record.number, record.id)
}

fn row(step: Step) -> StepRow {
    let Step { store, key, key_json, verdict, change, expected, wanted, phase, bytes } = step;
    StepRow {
        position: 0,
        store,
        key,
        key_json,
        verdict: verdict.word().into(),
        change: change.word().into(),
        expected,
        wanted,
        phase,
        bytes,
        state: StepState::Open,
        reason: None,
    }
}

/// Where a run is struck.
#[derive(Debug, Clone, Copy)]
struct Blow {
    on_dr: bool,
    call: Call,
    nth: u64,
    after: bool,
}

impl Blow {
    fn faults(self) -> [Faults; 2] {
        let (faults, none) = (Faults::new(), Faults::new());
        let kind = ErrorKind::Unreachable;
        faults.at(self.call, self.nth, if self.after { Effect::FailAfter(kind) } else { Effect::FailBefore(kind) });
        if self.on_dr { [none, faults] } else { [faults, none] }
    }

    /// Every blow to calls that happened this often in a run without faults.
    fn all(primary: &Faults, dr: &Faults) -> Vec<Blow> {
        let calls = [(false, Call::Fetch), (false, Call::Apply), (false, Call::CheckConstraints), (true, Call::Fetch)];
        let mut blows = Vec::new();
        for (on_dr, call) in calls {
            let count = if on_dr { dr.count(call) } else { primary.count(call) };
            for nth in 1..=count {
                blows.extend([false, true].map(|after| Blow { on_dr, call, nth, after }));
            }
        }
        blows
    }
}

/// The blows of a replay, and those of the undo that follows it.
async fn blows(diff: &Arc<Diff>) -> (Vec<Blow>, Vec<Blow>) {
    let outage = Outage::new(diff).await;
    let plan = outage.plan();
    let (before, wanted) = (outage.primary(), outage.wanted());
    let (primary, dr) = (Faults::new(), Faults::new());
    let summary = outage.replay(plan, &outage.pair(&primary, &dr)).await.expect("a replay");
    assert_eq!((summary.applied, summary.steps()), (STEPS, STEPS));
    assert_eq!(outage.primary(), wanted);
    outage.assert_each_once();
    let replay = Blow::all(&primary, &dr);
    let (primary, dr) = (Faults::new(), Faults::new());
    let undone = outage.undo(&outage.pair(&primary, &dr)).await.expect("an undo");
    assert_eq!((undone.restored, undone.refused), (STEPS, 0));
    assert_eq!(outage.primary(), before);
    assert_eq!(outage.world.compare(&Base::None, "undone").await.primary.root, diff.root_before);
    (replay, Blow::all(&primary, &dr))
}

#[tokio::test]
async fn what_a_refused_write_found_is_kept() {
    let diff = Diff::make().await;
    let outage = Outage::new(&diff).await;
    let plan = outage.plan();
    let id = Value::map([("id", Value::Number(200.into()))]);
    let theirs = Value::map([("id", Value::Number(200.into())), ("value", Value::text("by somebody else"))]);
    assert_eq!(failback::digest::key_of(&id), key(200), "the same item");
    let twist = Twist::IsBeaten(outage.world.primary.clone(), id, theirs.clone());
    let beaten = Twisted { inner: outage.world.primary_store(), twist };
    let pair = outage.world.faulty(Arc::new(beaten), &Faults::new(), &Faults::new());
    let kept = |journal: Journal| -> Vec<Value> {
        let images = journal.images(&pair.id, &key(200)).expect("images").into_iter().flatten();
        images.map(|image| decode_image(&image).expect("an item").contents).collect()
    };

    assert_eq!(outage.replay(plan, &pair).await.expect("a replay").refused, 1);
    assert_eq!(kept(outage.journal()).last(), Some(&theirs));
    let none = Faults::new();
    let undone = outage.undo(&outage.pair(&none, &none)).await.expect("an undo");
    assert_eq!((undone.restored, undone.refused), (STEPS - 1, 0), "what was never written is not restored");
    assert_eq!(kept(outage.journal()).len(), 2);
}

#[tokio::test]
async fn what_is_parked_is_written_when_the_rest_is_done() {
    let diff = Diff::make().await;
    let outage = Outage::new(&diff).await;
    let plan = outage.plan();
    let wanted = outage.wanted();
    let noted = Arc::new(Twisted { inner: outage.world.primary_store(), twist: Twist::Noted(outage.written.clone()) });
    let times = Arc::new(std::sync::Mutex::new(3));
    let parking = Twisted { inner: noted, twist: Twist::Parks(key(200), times.clone()) };
    let pair = outage.world.faulty(Arc::new(parking), &Faults::new(), &Faults::new());
    let summary = outage.replay(plan, &pair).await.expect("a replay");
    assert_eq!((summary.applied, summary.refused, *times.lock().expect("unharmed")), (STEPS, 0, 0));
    assert_eq!(outage.primary(), wanted);
    outage.assert_each_once();
    assert_eq!(outage.written.lock().expect("unharmed").last(), Some(&key(200)));
}

#[tokio::test]
async fn what_expired_since_the_plan_is_not_brought_back() {
    let diff = Diff::make().await;
    let outage = Outage::new(&diff).await;
    let plan = outage.plan();
    let is_insert = |line: &&DeltaLine| line.change == Change::Insert && line.verdict != Verdict::Stranded;
    let inserts: Vec<Key> = diff.lines.iter().filter(is_insert).map(|line| line.key().expect("a key")).collect();
    assert!(!inserts.is_empty(), "the plan inserts");
    // The totals are small numbers: as instants they are over a day after the epoch.
    outage.world.dr.set_ttl_attribute(Some("total"));
    let later = FixedClock(Timestamp::from_second(86_400).expect("an instant"));
    let (journal, saved) = (outage.journal(), outage.world.path().join("saved"));
    let pair = outage.pair(&Faults::new(), &Faults::new());
    let context = Context { journal: &journal, pair: &pair, saved, clock: &later, progress: &Quiet };
    let summary = replay_store(&context, plan, Mode::Apply).await.expect("a replay");
    assert_eq!((summary.stale, summary.applied), (inserts.len() as u64, STEPS - inserts.len() as u64));
    let primary = outage.primary();
    assert!(inserts.iter().all(|key| !primary.contains_key(key)), "nothing expired is brought back");
}

#[tokio::test]
async fn a_replay_that_dies_anywhere_is_resumed_and_taken_back() {
    let diff = Diff::make().await;
    let (replay, _) = blows(&diff).await;
    assert!(replay.len() > 20, "a run has too few calls to prove much: {}", replay.len());
    for blow in replay {
        let outage = Outage::new(&diff).await;
        let plan = outage.plan();
        let (before, wanted) = (outage.primary(), outage.wanted());
        let [on_primary, on_dr] = blow.faults();
        let died = outage.replay(plan, &outage.pair(&on_primary, &on_dr)).await;
        assert!(died.is_err(), "{blow:?} was not felt");
        let none = Faults::new();
        let resumed = outage.replay(plan, &outage.pair(&none, &none)).await.expect("resumed");
        assert_eq!((resumed.refused, resumed.stale), (0, 0), "{blow:?}");
        assert_eq!(outage.primary(), wanted, "{blow:?}");
        outage.assert_each_once();
        let third = outage.replay(plan, &outage.pair(&none, &none)).await.expect("a third run");
        assert_eq!(third.steps(), 0, "{blow:?}: something was left to do");

        let comparison = outage.world.compare(&outage.diff.base, "afterwards").await;
        assert_eq!(comparison.verdicts.differing(), STRANDED.len() as u64, "{blow:?}");
        assert_eq!(comparison.verdicts.get(Verdict::Stranded), STRANDED.len() as u64, "{blow:?}");
        let undone = outage.undo(&outage.pair(&none, &none)).await.expect("an undo");
        assert_eq!((undone.restored, undone.refused), (STEPS, 0), "{blow:?}");
        assert_eq!(outage.primary(), before, "{blow:?}");
    }
}

#[tokio::test]
async fn an_undo_after_a_dead_replay_restores_everything() {
    let diff = Diff::make().await;
    let (replay, _) = blows(&diff).await;
    for blow in replay {
        let outage = Outage::new(&diff).await;
        let plan = outage.plan();
        let before = outage.primary();
        let [on_primary, on_dr] = blow.faults();
        assert!(outage.replay(plan, &outage.pair(&on_primary, &on_dr)).await.is_err(), "{blow:?} was not felt");
        let none = Faults::new();
        let undone = outage.undo(&outage.pair(&none, &none)).await.expect("an undo");
        assert_eq!(undone.refused, 0, "{blow:?}");
        assert_eq!(outage.primary(), before, "{blow:?}");
    }
}

#[tokio::test]
async fn an_undo_that_dies_anywhere_is_resumed() {
    let diff = Diff::make().await;
    let (_, undo) = blows(&diff).await;
    assert!(undo.len() > 10, "an undo has too few calls to prove much: {}", undo.len());
    for blow in undo {
        let outage = Outage::new(&diff).await;
        let plan = outage.plan();
        let before = outage.primary();
        let none = Faults::new();
        outage.replay(plan, &outage.pair(&none, &none)).await.expect("a replay");
        let [on_primary, on_dr] = blow.faults();
        assert!(outage.undo(&outage.pair(&on_primary, &on_dr)).await.is_err(), "{blow:?} was not felt");
        let undone = outage.undo(&outage.pair(&none, &none)).await.expect("resumed");
        assert_eq!(undone.refused, 0, "{blow:?}");
        assert_eq!(outage.primary(), before, "{blow:?}");
        let again = outage.undo(&outage.pair(&none, &none)).await.expect("a third run");
        assert_eq!((again.restored, again.already, again.refused), (0, 0, 0), "{blow:?}");
    }
}

#[tokio::test]
async fn what_others_write_during_a_replay_is_neither_overwritten_nor_taken_back() {
    let diff = Diff::make().await;
    let outage = Outage::new(&diff).await;
    let plan = outage.plan();
    let foreign = [40, 130, 270, 335];
    let table = outage.world.primary.clone();
    let act = move || {
        for number in foreign {
            table.put(&crate::truth::key_value(number), crate::truth::contents(99));
        }
    };
    let (on_primary, none) = (Faults::new(), Faults::new());
    // Between the reading of the first batch and its write.
    on_primary.at(Call::Apply, 1, Effect::Act(Arc::new(act)));
    let summary = outage.replay(plan, &outage.pair(&on_primary, &none)).await.expect("a replay");
    assert_eq!(summary.refused, foreign.len() as u64);
    let theirs = failback::digest::item_digest(&crate::truth::contents(99));
    let is_untouched = || foreign.iter().all(|number| outage.primary()[&key(*number)] == theirs);
    assert!(is_untouched(), "another writer's item was overwritten");
    let undone = outage.undo(&outage.pair(&none, &none)).await.expect("an undo");
    assert_eq!((undone.restored, undone.refused), (STEPS - foreign.len() as u64, 0));
    assert!(is_untouched(), "another writer's item was taken back");
}

#[tokio::test]
async fn a_dr_item_that_changed_since_the_plan_is_left_for_the_next_plan() {
    let diff = Diff::make().await;
    let outage = Outage::new(&diff).await;
    let plan = outage.plan();
    outage.world.dr.put(&crate::truth::key_value(130), crate::truth::contents(77));
    outage.world.dr.remove(&crate::truth::key_value(270));
    let before = outage.primary();
    let none = Faults::new();
    let summary = outage.replay(plan, &outage.pair(&none, &none)).await.expect("a replay");
    assert_eq!((summary.applied, summary.stale), (STEPS - 2, 2));
    assert_eq!(outage.primary().get(&key(130)), before.get(&key(130)));
    assert_eq!(outage.primary().get(&key(270)), None);
    let comparison = outage.world.compare(&outage.diff.base, "second").await;
    let lines = delta(&comparison.delta);
    let follow: Vec<&DeltaLine> = lines.iter().filter(|line| line.verdict != Verdict::Stranded).collect();
    let second = save_plan(&outage.journal(), &follow);
    assert_eq!(follow.len(), 1, "key 270 is gone from both sides");
    outage.replay(second, &outage.pair(&none, &none)).await.expect("the second pass");
    let comparison = outage.world.compare(&outage.diff.base, "third").await;
    assert_eq!(comparison.verdicts.differing(), STRANDED.len() as u64);
    outage.undo(&outage.pair(&none, &none)).await.expect("an undo");
    assert_eq!(outage.primary(), before, "an undo reaches back over all plans");
}
