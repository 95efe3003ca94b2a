//! The join of two sides: the product's sink, buckets and join against a bare radix sort and merge of 32-byte records.

use std::path::Path;
use std::time::Duration;

use failback::diff::join;
use failback::digest::{BUCKETS, Buckets, LeafSink, frame};
use failback::model::{Digest, Key, Leaf};
use rayon::prelude::*;

use super::Size;
use super::measure::{Clock, Cost, Row, cost_of, in_turns, in_words, part};

/// The target in memory, against the bare sort and merge.
const RATIO_MAX: f64 = 1.5;

/// The target for a join that spills, in mebibytes.
const BUDGET_MIB: usize = 256;

/// Leaves handed over together, as a page of a scan does.
const BATCH: u64 = 1_000;

/// One leaf in a hundred differs on dr.
const CHANGED: u64 = 7;

/// An odd number far from any power of two: numbers times it, wrapped, come in no order.
const STRIDE: u64 = 0x9E37_79B9_7F4A_7C15;

/// A number that looks like nothing, made of another.
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(STRIDE);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed ^ (mixed >> 27)
}

/// Numbers of twelve digits in no order, each once.
fn spread(number: u64) -> u64 {
    // A factor that has none in common with a power of ten.
    (u128::from(number) * 387_420_489_001 % 1_000_000_000_000) as u64
}

/// A leaf as a table keyed by a text has it.
fn leaf(number: u64, is_dr: bool) -> Leaf {
    let mut key = Vec::with_capacity(64);
    let map = frame::open(&mut key, frame::MAP);
    frame::put(&mut key, frame::TEXT, b"order_id");
    frame::put(&mut key, frame::TEXT, format!("order-{:012}", spread(number)).as_bytes());
    map.close(&mut key);
    Leaf { key: Key::from_canonical(&key[..]), digest: digest(number, is_dr), size: 825, modified_at: None }
}

fn digest(number: u64, is_dr: bool) -> Digest {
    let version = u64::from(is_dr && number % 100 == CHANGED);
    let mut digest = [0; 32];
    for (at, word) in digest.chunks_exact_mut(8).enumerate() {
        word.copy_from_slice(&mixed(number ^ (version << 60) ^ ((at as u64) << 56)).to_le_bytes());
    }
    Digest(digest)
}

/// Plays `KIND LEAVES [FOLDER]` and says how much processor time its parts took, without that of making up leaves.
pub fn play(words: &[&str]) {
    let leaves: u64 = words[1].parse().expect("a number of leaves");
    rayon::ThreadPoolBuilder::new().num_threads(2).build_global().expect("two threads");
    let said = match words[0] {
        "bare" => bare(leaves),
        "memory" => product(leaves, usize::MAX, 8, Path::new(words[2])),
        // Half of the budget is for reading, shared by two sides; the other half for joining.
        "spill" => product(leaves, (BUDGET_MIB << 20) / 4, 2, Path::new(words[2])),
        other => panic!("no engine is called {other}"),
    };
    println!("\n{said}");
}

/// Both sides at once, each on a thread of its own, as a comparison reads them.
fn both<T: Send>(side: impl Fn(bool) -> T + Sync) -> (T, T) {
    std::thread::scope(|scope| {
        let dr = scope.spawn(|| side(true));
        let primary = side(false);
        (primary, dr.join().expect("a side"))
    })
}

fn product(leaves: u64, budget: usize, at_once: usize, folder: &Path) -> serde_json::Value {
    let collect = |is_dr: bool| {
        let mut sink = LeafSink::new(budget, folder.join(format!("spill-{is_dr}")));
        let mut pushing = Duration::ZERO;
        for first in (0..leaves).step_by(BATCH as usize) {
            let batch = (first..leaves.min(first + BATCH)).map(|number| leaf(number, is_dr)).collect();
            let started = Clock::Thread.now();
            sink.push(batch).expect("room on the disk");
            pushing += Clock::Thread.now() - started;
        }
        (sink.finish(), pushing)
    };
    let ((primary, push_primary), (dr, push_dr)) = both(collect);
    let started = Clock::Process.now();
    let (unchanged, differing) = joined(&primary, &dr, at_once);
    let join = Clock::Process.now() - started;
    serde_json::json!({
        "unchanged": unchanged,
        "differing": differing,
        "collect_seconds": (push_primary + push_dr).as_secs_f64(),
        "join_seconds": join.as_secs_f64(),
    })
}

fn joined(primary: &Buckets, dr: &Buckets, at_once: usize) -> (u64, u64) {
    let (mut unchanged, mut differing) = (0, 0);
    for first in (0..BUCKETS).step_by(at_once) {
        let buckets = (first..BUCKETS.min(first + at_once)).into_par_iter().map(|index| {
            let (primary, dr) = (primary.read(index).expect("a bucket"), dr.read(index).expect("a bucket"));
            let joined = join(&primary, &dr, None);
            (joined.unchanged, joined.candidates.len() as u64)
        });
        for (same, other) in buckets.collect::<Vec<_>>() {
            unchanged += same;
            differing += other;
        }
    }
    (unchanged, differing)
}

/// Sixteen bytes of a key's hash, and sixteen of a digest.
type Record = [u8; 32];

/// Makes records of the same leaves, sorts both sides by their hashes and merges them.
fn bare(leaves: u64) -> serde_json::Value {
    let make = |is_dr: bool| {
        let mut hashing = Duration::ZERO;
        let mut records: Vec<Record> = Vec::with_capacity(leaves as usize);
        for first in (0..leaves).step_by(BATCH as usize) {
            let batch: Vec<Leaf> = (first..leaves.min(first + BATCH)).map(|number| leaf(number, is_dr)).collect();
            let started = Clock::Thread.now();
            records.extend(batch.iter().map(|leaf| {
                let mut record = [0; 32];
                record[..16].copy_from_slice(&blake3::hash(leaf.key.as_bytes()).as_bytes()[..16]);
                record[16..].copy_from_slice(&leaf.digest.as_bytes()[..16]);
                record
            }));
            drop(batch);
            hashing += Clock::Thread.now() - started;
        }
        (records, hashing)
    };
    let ((primary, hash_primary), (dr, hash_dr)) = both(make);
    let started = Clock::Process.now();
    let (primary, dr) = rayon::join(|| parted(primary), || parted(dr));
    let merged = primary.into_par_iter().zip(dr).map(|(mut primary, mut dr)| {
        radix_sort(&mut primary);
        radix_sort(&mut dr);
        merge(&primary, &dr)
    });
    let (unchanged, differing) = merged.reduce(|| (0, 0), |one, other| (one.0 + other.0, one.1 + other.1));
    serde_json::json!({
        "unchanged": unchanged,
        "differing": differing,
        "collect_seconds": (hash_primary + hash_dr).as_secs_f64(),
        "join_seconds": (Clock::Process.now() - started).as_secs_f64(),
    })
}

/// Records by their first byte.
fn parted(records: Vec<Record>) -> Vec<Vec<Record>> {
    let mut counts = [0; 256];
    records.iter().for_each(|record| counts[usize::from(record[0])] += 1);
    let mut parts: Vec<Vec<Record>> = counts.iter().map(|count| Vec::with_capacity(*count)).collect();
    records.into_iter().for_each(|record| parts[usize::from(record[0])].push(record));
    parts
}

/// Sorts the records of one part by the next three bytes, least first, and what agrees in those by all.
fn radix_sort(records: &mut Vec<Record>) {
    let mut other = vec![[0; 32]; records.len()];
    for byte in [3, 2, 1] {
        let mut starts = [0_usize; 256];
        records.iter().for_each(|record| starts[usize::from(record[byte])] += 1);
        let mut next = 0;
        for start in &mut starts {
            next += std::mem::replace(start, next);
        }
        for record in records.iter() {
            let start = &mut starts[usize::from(record[byte])];
            other[*start] = *record;
            *start += 1;
        }
        std::mem::swap(records, &mut other);
    }
    records
        .chunk_by_mut(|one, other| one[..4] == other[..4])
        .filter(|run| run.len() > 1)
        .for_each(<[_]>::sort_unstable);
}

fn merge(primary: &[Record], dr: &[Record]) -> (u64, u64) {
    let (mut at, mut other_at, mut unchanged, mut differing) = (0, 0, 0, 0);
    while at < primary.len() && other_at < dr.len() {
        let (one, other) = (&primary[at], &dr[other_at]);
        let order = one[..16].cmp(&other[..16]);
        match one == other {
            true => unchanged += 1,
            false => differing += 1,
        }
        at += usize::from(order.is_le());
        other_at += usize::from(order.is_ge());
    }
    let rest = primary.len() - at + dr.len() - other_at;
    (unchanged, differing + rest as u64)
}

pub fn run(size: Size) -> Vec<Row> {
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().display();
    let run = |words: String, leaves: u64| {
        let cost = cost_of(&mut part(&format!("engine {words}")));
        assert!(cost.status.success(), "{words}: {}", cost.said);
        let differing = leaves / 100 + u64::from(leaves % 100 > CHANGED);
        assert_eq!(cost.json()["differing"], differing, "{words}");
        assert_eq!(cost.json()["unchanged"], leaves - differing, "{words}");
        cost
    };
    let leaves: u64 = size.pick(5_000_000, 20_000);
    let seconds = |cost: &Cost, part: &str| cost.json()[part].as_f64().expect("seconds");
    let whole = |cost: &Cost| seconds(cost, "collect_seconds") + seconds(cost, "join_seconds");
    let by = |cost: &Cost| Duration::from_secs_f64(whole(cost));
    let product = || run(format!("memory {leaves} {place}"), leaves);
    let bare = || run(format!("bare {leaves}"), leaves);
    let [product, bare] = in_turns(size.pick(3, 1), by, [&mut { product }, &mut { bare }]);
    let parts = |cost: &Cost| {
        let (collect, join) = (seconds(cost, "collect_seconds"), seconds(cost, "join_seconds"));
        format!("{collect:.2} s to collect, {join:.2} s to join, {:.0} MiB", cost.peak_mib())
    };
    let join_ratio = seconds(&product, "join_seconds") / seconds(&bare, "join_seconds");
    let spilled: u64 = size.pick(50_000_000, 30_000);
    let spilling = run(format!("spill {spilled} {place}"), spilled);
    vec![
        Row::note(format!("bare: {leaves} leaves a side to 32-byte records, radix sort, merge"), parts(&bare)),
        Row::note("the product, in memory, whole keys and digests kept", parts(&product)),
        Row::ratio(
            "from the first leaf to the last verdict, against the bare one",
            whole(&product) / whole(&bare),
            RATIO_MAX,
        ),
        Row::ratio("the join by itself, against bare sort and merge", join_ratio, RATIO_MAX),
        Row::note(format!("{spilled} leaves a side, spilling"), parts(&spilling)),
        Row::note("the same, all costs", in_words(&spilling)),
        Row::peak(format!("peak memory, {spilled} leaves a side"), &spilling, BUDGET_MIB as f64),
    ]
}
