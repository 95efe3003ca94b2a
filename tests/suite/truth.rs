//! A world in memory whose history is known, and random histories with planted truth.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use failback::compare::{Base, Comparison, LogUse, Quiet, Settings, compare, compare_changed};
use failback::diff::DeltaLine;
use failback::digest::key_of;
use failback::digest::manifest::Manifest;
use failback::model::{Change, FixedClock, Key, Side, StoreId, Timestamp, Value, Verdict};
use failback::store::memory::{MemoryStore, MemoryTable};
use failback::store::wrap::{Faults, Faulty};
use failback::store::{ReadStore, StorePair, WriteStore};

pub const CLOCK: FixedClock = FixedClock(Timestamp::UNIX_EPOCH);

/// Key number to contents number.
pub type Rows = BTreeMap<u32, u32>;

pub fn key_value(number: u32) -> Value {
    Value::map([("id", Value::Number(i64::from(number).into()))])
}

pub fn key(number: u32) -> Key {
    key_of(&key_value(number))
}

pub fn contents(number: u32) -> Value {
    Value::map([("total", Value::Number(i64::from(number).into()))])
}

/// Two tables, and a folder for what is written about them.
pub struct World {
    pub primary: MemoryTable,
    pub dr: MemoryTable,
    pub folder: tempfile::TempDir,
}

impl World {
    pub fn new() -> World {
        let folder = tempfile::tempdir().expect("a folder");
        World { primary: MemoryTable::new("orders"), dr: MemoryTable::new("orders"), folder }
    }

    /// Both sides with the same rows of some history, those rows, and a checkpoint of them.
    pub async fn in_step(seed: u64) -> (World, Random, Rows, Base) {
        let (world, mut random, mut base) = (World::new(), Random(seed), Rows::new());
        random.live(&mut base, 200);
        World::set(&world.primary, &base);
        World::set(&world.dr, &base);
        let checkpoint = world.checkpoint().await;
        (world, random, base, checkpoint)
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Brings a table to exactly these rows.
    pub fn set(table: &MemoryTable, rows: &Rows) {
        table.clear();
        for (number, total) in rows {
            table.put(&key_value(*number), contents(*total));
        }
    }

    /// Both sides, failing by script.
    pub fn faulty(&self, primary: Arc<dyn WriteStore>, on_primary: &Faults, on_dr: &Faults) -> StorePair {
        StorePair {
            id: StoreId("orders".into()),
            primary: Arc::new(Faulty::new(primary, on_primary.clone())),
            dr: Arc::new(Faulty::new(self.dr_store(), on_dr.clone())),
            base: None,
            changes: Default::default(),
        }
    }

    pub fn primary_store(&self) -> Arc<dyn WriteStore> {
        Arc::new(MemoryStore::new(StoreId("orders".into()), Side::Primary, self.primary.clone()))
    }

    pub fn dr_store(&self) -> Arc<dyn ReadStore> {
        Arc::new(MemoryStore::new(StoreId("orders".into()), Side::Dr, self.dr.clone()))
    }

    pub fn pair(&self) -> StorePair {
        StorePair {
            id: StoreId("orders".into()),
            primary: self.primary_store(),
            dr: self.dr_store(),
            base: None,
            changes: Default::default(),
        }
    }

    pub fn settings(&self, name: &str) -> Settings {
        Settings {
            partitions: 3,
            memory_bytes: 1 << 24,
            spill: self.path().join("spill").join(name),
            manifests: self.path().join("manifests").join(name),
            delta: self.path().join(format!("{name}.ndjson")),
            newest_field: None,
            common_since: Arc::new(|_| Ok(None)),
            hours_since: None,
            attribute_since: None,
            logs: LogUse::Ignored,
        }
    }

    /// Compares the sides; what is written about it goes under `name`.
    pub async fn compare(&self, base: &Base, name: &str) -> Comparison {
        compare(&self.pair(), base, &self.settings(name), &CLOCK, &Quiet).await.expect("a comparison")
    }

    /// Compares only what the changes that `base` rests on name, with so little memory that everything spills.
    pub async fn compare_changed(&self, base: &Base, name: &str) -> Comparison {
        let settings = Settings { memory_bytes: 1024, ..self.settings(name) };
        compare_changed(&self.pair(), base, &settings, (&CLOCK, &Quiet)).await.expect("a comparison")
    }

    /// A base from a comparison of sides that are in step.
    pub async fn checkpoint(&self) -> Base {
        let comparison = self.compare(&Base::None, "checkpoint").await;
        assert!(comparison.at_parity(), "a checkpoint is taken of sides in step");
        Base::Manifest(Box::new(Manifest::open(&comparison.manifests, Side::Primary).expect("a manifest")))
    }
}

pub fn delta(path: &PathBuf) -> Vec<DeltaLine> {
    let text = std::fs::read_to_string(path).expect("a delta");
    text.lines().map(|line| serde_json::from_str(line).expect("a delta line")).collect()
}

/// SplitMix64: small, and the same on every machine.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        u32::try_from((bits ^ (bits >> 31)) % u64::from(bound)).expect("below a u32")
    }

    /// Writes and deletes at random keys; a later one may take an earlier one back.
    pub fn live(&mut self, rows: &mut Rows, operations: u32) {
        for _ in 0..operations {
            let key = self.below(KEYS);
            match self.below(4) {
                0 => drop(rows.remove(&key)),
                _ => drop(rows.insert(key, self.below(4))),
            }
        }
    }
}

/// Few enough that histories meet on many keys.
pub const KEYS: u32 = 150;

/// What truly happened to one key: its verdict, and the change that following dr would be.
fn truth(base: Option<&Rows>, primary: &Rows, dr: &Rows, key: u32) -> Option<(Verdict, Option<Change>)> {
    let (here, there) = (primary.get(&key), dr.get(&key));
    let change = if here == there { None } else { Change::between(here, there) };
    let Some(base) = base else {
        here.or(there)?;
        return Some((if here == there { Verdict::Unchanged } else { Verdict::Unattributed }, change));
    };
    let before = base.get(&key);
    before.or(here).or(there)?;
    let verdict = match (here != before, there != before) {
        (false, false) => Verdict::Unchanged,
        (false, true) => Verdict::DrOnly,
        (true, false) => Verdict::Stranded,
        (true, true) if here == there => Verdict::Converged,
        (true, true) => Verdict::Conflict,
    };
    Some((verdict, change))
}

/// Compares a comparison with the truth: every verdict's count, and every differing key's line.
pub fn assert_true(comparison: &Comparison, base: Option<&Rows>, primary: &Rows, dr: &Rows, seed: u64) {
    let mut counts: BTreeMap<Verdict, u64> = BTreeMap::new();
    let mut differing = BTreeMap::new();
    for number in 0..KEYS {
        let Some((verdict, change)) = truth(base, primary, dr, number) else { continue };
        *counts.entry(verdict).or_default() += 1;
        if let Some(change) = change {
            differing.insert(key(number), (verdict, change));
        }
    }
    let lines = delta(&comparison.delta);
    let told: BTreeMap<Key, (Verdict, Change)> =
        lines.iter().map(|line| (line.key().expect("a key"), (line.verdict, line.change))).collect();
    assert_eq!(told.len(), lines.len(), "seed {seed}: a key has two lines");
    assert_eq!(told, differing, "seed {seed}");
    for verdict in Verdict::ALL {
        let planted = counts.get(&verdict).copied().unwrap_or(0);
        assert_eq!(comparison.verdicts.get(verdict), planted, "seed {seed}: {verdict}");
    }
    assert_eq!(comparison.at_parity(), differing.is_empty(), "seed {seed}");
    assert_eq!(comparison.primary.items, primary.len() as u64);
    assert_eq!(comparison.dr.items, dr.len() as u64);
}

#[tokio::test]
async fn random_histories_get_exactly_the_planted_verdicts() {
    for seed in 0..24 {
        let (world, mut random, base, checkpoint) = World::in_step(seed).await;
        let (mut primary, mut dr) = (base.clone(), base.clone());
        let (on_primary, on_dr) = (random.below(80), random.below(200));
        random.live(&mut primary, on_primary);
        random.live(&mut dr, on_dr);
        World::set(&world.primary, &primary);
        World::set(&world.dr, &dr);
        let comparison = world.compare(&checkpoint, "diff").await;
        assert_true(&comparison, Some(&base), &primary, &dr, seed);
        let comparison = world.compare(&Base::None, "without-base").await;
        assert_true(&comparison, None, &primary, &dr, seed);
    }
}
