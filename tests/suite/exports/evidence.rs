//! What logs of changes tell, by random histories whose truth is known.

use std::collections::BTreeMap;
use std::sync::Arc;

use failback::compare::{Base, ChangeEvidence};
use failback::diff::BaseState;
use failback::digest::item_digest;
use failback::model::{Leaf, Side, StoreId, Timestamp, Verdict};
use failback::store::memory::{MemoryStore, MemoryTable};
use failback::store::{
    BaseStore, BaseStoreKind, ChangeChain, ChangeLog, ChangeStream, ItemThen, KeyChange, PairChanges, Window,
};
use futures_util::{StreamExt, stream};
use jiff::SignedDuration;

use crate::truth::{Random, Rows, World, contents, delta, key};

/// A log held in memory.
struct Log(Window, Vec<KeyChange>);

impl ChangeLog for Log {
    fn name(&self) -> &str {
        "a log"
    }

    fn window(&self) -> Window {
        self.0
    }

    fn partitions(&self) -> usize {
        3
    }

    fn changes(&self, partition: usize) -> ChangeStream<'_> {
        let mine = self.1.iter().enumerate().filter(move |(at, _)| at % 3 == partition);
        // Each twice: a partition that is read again repeats what it gave.
        let batch: Vec<KeyChange> = mine.flat_map(|(_, change)| [change.clone(), change.clone()]).collect();
        stream::iter([Ok(batch)]).boxed()
    }
}

/// T0, Tb and a service's clock in seconds since then.
fn at(seconds: i64) -> Timestamp {
    "2026-11-22T03:00:00Z"
        .parse::<Timestamp>()
        .expect("an instant")
        .checked_add(SignedDuration::from_secs(seconds))
        .expect("in range")
}

/// One write: when, to which key, what it becomes.
type Write = (i64, u32, Option<u32>);

/// Leaves as the memory store makes them.
fn leaves(rows: &Rows) -> BTreeMap<u32, Leaf> {
    let leaf = |(number, total): (&u32, &u32)| {
        let digest = item_digest(&contents(*total));
        (*number, Leaf { key: key(*number), digest, size: 1, modified_at: None })
    };
    rows.iter().map(leaf).collect()
}

fn apply(rows: &mut Rows, key: u32, value: Option<u32>) {
    match value {
        Some(value) => drop(rows.insert(key, value)),
        None => drop(rows.remove(&key)),
    }
}

/// The log of a window over a history, folded by key as the service folds it: nothing for what came and went.
fn log(start: &Rows, writes: &[Write], from: i64, to: i64) -> Arc<dyn ChangeLog> {
    let mut before = start.clone();
    writes.iter().filter(|write| write.0 < from).for_each(|(_, key, value)| apply(&mut before, *key, *value));
    let mut after = before.clone();
    let mut last = BTreeMap::new();
    for (when, key, value) in writes.iter().filter(|write| (from..to).contains(&write.0)) {
        apply(&mut after, *key, *value);
        last.insert(*key, *when);
    }
    let (old, new) = (leaves(&before), leaves(&after));
    let image = |leaf: Option<&Leaf>| leaf.map_or(ItemThen::Absent, |leaf| ItemThen::Present(leaf.clone()));
    let changes =
        last.into_iter().filter(|(key, _)| old.contains_key(key) || new.contains_key(key)).map(|(number, when)| {
            KeyChange {
                key: key(number),
                written_at: at(when),
                before: image(old.get(&number)),
                after: image(new.get(&number)),
            }
        });
    Arc::new(Log(Window { from: at(from), to: at(to) }, changes.collect()))
}

const KEYS: u32 = 40;

fn history(random: &mut Random, from: i64, to: i64, writes: u32) -> Vec<Write> {
    let span = u32::try_from(to - from).expect("a span");
    let mut all: Vec<Write> = (0..writes)
        .map(|_| {
            (from + i64::from(random.below(span)), random.below(KEYS), (random.below(4) > 0).then(|| random.below(4)))
        })
        .collect();
    all.sort_by_key(|write| write.0);
    all
}

fn verdict(base: Option<&u32>, primary: Option<&u32>, dr: Option<&u32>) -> Verdict {
    match (primary != base, dr != base) {
        _ if primary == dr => Verdict::Unchanged,
        (false, true) => Verdict::DrOnly,
        (true, false) => Verdict::Stranded,
        _ => Verdict::Conflict,
    }
}

fn evidence(primary: Vec<Arc<dyn ChangeLog>>, dr: Vec<Arc<dyn ChangeLog>>) -> ChangeEvidence {
    let chain = |logs| ChangeChain::new(logs).map_err(|error| error.to_string()).expect("a chain");
    let changes = PairChanges { primary: chain(primary), dr: chain(dr) };
    ChangeEvidence::new(changes, at(0), at(1800), SignedDuration::from_secs(300)).expect("evidence")
}

/// From windows that are cut at Tb the verdicts are exactly the truth, without any base.
#[tokio::test]
async fn random_histories_are_told_by_the_primarys_changes_alone() {
    for seed in 0..16 {
        let (world, mut random) = (World::new(), Random(seed));
        let start: Rows = (0..30).map(|number| (number, random.below(4))).collect();
        let common = history(&mut random, -7000, -120, 30);
        let on_primary = history(&mut random, 0, 1800, 25);
        let on_dr = history(&mut random, 0, 4000, 25);
        let mut base = start.clone();
        common.iter().for_each(|(_, key, value)| apply(&mut base, *key, *value));
        let (mut primary, mut dr) = (base.clone(), base.clone());
        on_primary.iter().for_each(|(_, key, value)| apply(&mut primary, *key, *value));
        on_dr.iter().for_each(|(_, key, value)| apply(&mut dr, *key, *value));
        World::set(&world.primary, &primary);
        World::set(&world.dr, &dr);
        let all: Vec<Write> = common.iter().chain(&on_primary).copied().collect();
        let logs = vec![log(&start, &all, -7200, -60), log(&start, &all, -60, 1000), log(&start, &all, 1000, 1900)];
        let base_of = Base::Changes { below: Box::new(Base::None), evidence: evidence(logs, vec![]) };
        let comparison = world.compare(&base_of, "changes").await;
        let lines = delta(&comparison.delta);
        let differing = (0..KEYS).filter(|number| primary.get(number) != dr.get(number)).count();
        assert_eq!(lines.len(), differing, "seed {seed}");
        for line in lines {
            let number = (0..KEYS).find(|number| key(*number) == line.key().expect("a key")).expect("a known key");
            let truth = verdict(base.get(&number), primary.get(&number), dr.get(&number));
            assert_eq!(line.verdict, truth, "seed {seed} key {number}");
        }
    }
}

/// dr's changes alone tell of what dr changed; what differs elsewhere stays unattributed.
#[tokio::test]
async fn drs_changes_alone_tell_of_what_dr_changed() {
    let world = World::new();
    let base: Rows = (0..10).map(|number| (number, 0)).collect();
    let on_dr = [(100, 1, Some(1)), (101, 2, None), (102, 3, Some(1))];
    let (mut primary, mut dr) = (base.clone(), base.clone());
    on_dr.iter().for_each(|(_, key, value)| apply(&mut dr, *key, *value));
    apply(&mut primary, 3, Some(2));
    apply(&mut primary, 4, Some(2));
    World::set(&world.primary, &primary);
    World::set(&world.dr, &dr);
    let evidence = evidence(vec![], vec![log(&base, &on_dr, -60, 2000)]);
    let comparison = world.compare(&Base::Changes { below: Box::new(Base::None), evidence }, "dr").await;
    let found: BTreeMap<_, _> =
        delta(&comparison.delta).into_iter().map(|line| (line.key().expect("a key"), line.verdict)).collect();
    let told = [(1, Verdict::DrOnly), (2, Verdict::DrOnly), (3, Verdict::Conflict), (4, Verdict::Unattributed)];
    assert_eq!(found, told.map(|(number, verdict)| (key(number), verdict)).into());
}

/// Where the primary's log is silent on a key that dr's log knows otherwise, somebody wrote after a log ended: unknown.
#[tokio::test]
async fn logs_that_contradict_one_another_leave_the_base_unknown() {
    let world = World::new();
    let base: Rows = (0..10).map(|number| (number, 0)).collect();
    let on_dr = [(100, 1, Some(1))];
    let (mut primary, mut dr) = (base.clone(), base.clone());
    apply(&mut dr, 1, Some(1));
    // After the primary's log ended.
    apply(&mut primary, 1, Some(3));
    World::set(&world.primary, &primary);
    World::set(&world.dr, &dr);
    let evidence = evidence(vec![log(&base, &[], -60, 2000)], vec![log(&base, &on_dr, -60, 2000)]);
    let comparison = world.compare(&Base::Changes { below: Box::new(Base::None), evidence }, "both").await;
    let lines = delta(&comparison.delta);
    assert_eq!((lines.len(), lines[0].verdict, lines[0].base), (1, Verdict::Unattributed, BaseState::Unknown));
}

/// An older state and the windows that lead from it to Tb are the base, whatever spills on the way.
#[tokio::test]
async fn a_chain_leads_an_older_state_to_the_base() {
    for seed in 0..8 {
        let (world, mut random) = (World::new(), Random(seed));
        let start: Rows = (0..30).map(|number| (number, random.below(4))).collect();
        let common = history(&mut random, -7000, -1, 40);
        let mut base = start.clone();
        common.iter().for_each(|(_, key, value)| apply(&mut base, *key, *value));
        let (mut primary, mut dr) = (base.clone(), base.clone());
        history(&mut random, 0, 1800, 10).into_iter().for_each(|(_, key, value)| apply(&mut primary, key, value));
        history(&mut random, 0, 4000, 20).into_iter().for_each(|(_, key, value)| apply(&mut dr, key, value));
        World::set(&world.primary, &primary);
        World::set(&world.dr, &dr);
        let older = MemoryTable::new("older");
        World::set(&older, &start);
        // The second window begins within the first one.
        let logs = vec![log(&start, &common, -7200, -3000), log(&start, &common, -4000, 0)];
        let store = BaseStore {
            store: Arc::new(MemoryStore::new(StoreId("orders".into()), Side::Base, older)),
            as_of: Some(at(0)),
            since: ChangeChain::new(logs).map_err(|error| error.to_string()).expect("a chain"),
            kind: BaseStoreKind::Export,
        };
        let comparison = world.compare(&Base::Store(store), "chain").await;
        assert_eq!(comparison.base.as_ref().expect("a base").items, base.len() as u64, "seed {seed}");
        for line in delta(&comparison.delta) {
            let number = (0..KEYS).find(|number| key(*number) == line.key().expect("a key")).expect("a known key");
            let truth = verdict(base.get(&number), primary.get(&number), dr.get(&number));
            assert_eq!(line.verdict, truth, "seed {seed} key {number}");
        }
    }
}

/// A pass over what changed gives exactly the lines of a pass over everything, with another base below or without, and is
/// no parity even where nothing differs.
#[tokio::test]
async fn a_pass_over_what_changed_tells_what_a_full_one_tells() {
    for seed in 0..8 {
        let (world, mut random) = (World::new(), Random(seed));
        let base: Rows = (0..30).map(|number| (number, random.below(4))).collect();
        World::set(&world.primary, &base);
        World::set(&world.dr, &base);
        let checkpoint = world.checkpoint().await;
        let (on_primary, on_dr) = (history(&mut random, 0, 1800, 10), history(&mut random, 0, 4000, 20));
        let (mut primary, mut dr) = (base.clone(), base.clone());
        on_primary.iter().for_each(|(_, key, value)| apply(&mut primary, *key, *value));
        on_dr.iter().for_each(|(_, key, value)| apply(&mut dr, *key, *value));
        World::set(&world.primary, &primary);
        World::set(&world.dr, &dr);
        for below in [checkpoint.clone(), Base::None] {
            let logs = || (vec![log(&base, &on_primary, -60, 1900)], vec![log(&base, &on_dr, -60, 4000)]);
            let (of_primary, of_dr) = logs();
            let base_of = Base::Changes { below: Box::new(below.clone()), evidence: evidence(of_primary, of_dr) };
            let full = world.compare(&base_of, "full").await;
            let narrow = world.compare_changed(&base_of, "narrow").await;
            assert_eq!(delta(&narrow.delta), delta(&full.delta), "seed {seed}");
            let keys: std::collections::BTreeSet<u32> = on_primary.iter().chain(&on_dr).map(|write| write.1).collect();
            let narrowed = narrow.narrowed.as_ref().expect("it says so");
            assert!(narrowed.keys <= keys.len() as u64 && narrowed.keys > 0, "seed {seed}");
            assert!(narrow.primary.items <= narrowed.keys && !narrow.at_parity());
            assert!(narrow.not_checked.iter().any(|what| what.contains(&narrowed.rests_on)));
        }
        World::set(&world.primary, &dr);
        let (of_primary, of_dr) = (vec![log(&base, &on_primary, -60, 1900)], vec![log(&base, &on_dr, -60, 4000)]);
        let base_of = Base::Changes { below: Box::new(Base::None), evidence: evidence(of_primary, of_dr) };
        let same = world.compare_changed(&base_of, "same").await;
        assert_eq!((same.verdicts.differing(), same.at_parity()), (0, false));
    }
}

#[test]
fn windows_must_reach_a_minute_beyond_what_they_cover() {
    let told = |primary: Option<(i64, i64)>, dr: Option<(i64, i64)>| {
        let chain = |window: Option<(i64, i64)>| {
            let logs = window.into_iter().map(|(from, to)| log(&Rows::new(), &[], from, to)).collect();
            ChangeChain::new(logs).map_err(|error| error.to_string()).expect("a chain")
        };
        let changes = PairChanges { primary: chain(primary), dr: chain(dr) };
        ChangeEvidence::new(changes, at(0), at(1800), SignedDuration::from_secs(300)).map(drop)
    };
    assert_eq!(told(Some((-60, 1860)), Some((-60, 10))), Ok(()));
    for (primary, dr, words) in [
        (Some((-59, 1860)), None, "the changes of primary begin at 2026-11-22T02:59:01Z"),
        (Some((-60, 1859)), None, "the changes of the primary end at 2026-11-22T03:30:59Z"),
        (None, Some((-59, 10)), "the changes of dr begin at"),
        (Some((-301, 1860)), None, "what was written before it and taken back after leaves no trace"),
        (None, Some((-301, 10)), "one begins between 2026-11-22T02:55:00Z and 2026-11-22T02:59:00Z"),
    ] {
        let why = told(primary, dr).expect_err(words);
        assert!(why.contains(words), "{why}");
    }
}
