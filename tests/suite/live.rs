//! Passes that follow the change logs while writers go on, on the reference store: every verdict is the planted one.

use std::sync::Arc;

use failback::compare::{Base, Comparison, HowRead, Known, LogUse, Quiet, Settings, compare};
use failback::model::{Change, FixedClock, Timestamp, Value, Verdict};
use failback::store::memory::MemoryTable;
use failback::store::wrap::{Call, Effect, Faults};

use crate::truth::{CLOCK, KEYS, Random, Rows, World, assert_true, contents, delta, key, key_value};

/// Follows an earlier comparison, whose manifests no other comparison writes.
fn following(settings: Settings, last: &Comparison) -> Settings {
    let Comparison { primary, dr, logs, manifests, .. } = last.clone();
    let known = Known { manifests, primary, dr, logs: logs.expect("logs were watched") };
    Settings { logs: LogUse::Followed(Box::new(known)), ..settings }
}

/// One write or delete that an application makes on a table; gives whether it changed anything.
fn write(table: &MemoryTable, rows: &mut Rows, random: &mut Random) {
    let number = random.below(KEYS);
    match random.below(4) {
        0 => {
            table.remove(&key_value(number));
            rows.remove(&number);
        }
        _ => {
            let total = random.below(4);
            table.put(&key_value(number), contents(total));
            rows.insert(number, total);
        }
    }
}

fn how(comparison: &Comparison) -> [HowRead; 2] {
    let logs = comparison.logs.clone().expect("logs");
    [logs.primary.how, logs.dr.how]
}

#[tokio::test]
async fn passes_that_follow_the_logs_give_exactly_the_planted_verdicts() {
    for seed in 0..6 {
        let (world, mut random, base, checkpoint) = World::in_step(seed).await;
        world.dr.keep_log();
        let is_primary_logged = seed % 2 == 1;
        if is_primary_logged {
            world.primary.keep_log();
        }
        let (mut primary, mut dr) = (base.clone(), base.clone());
        let bulk = Settings { logs: LogUse::Watched, ..world.settings("pass-0") };
        let mut last = compare(&world.pair(), &checkpoint, &bulk, &CLOCK, &Quiet).await.expect("a comparison");
        for pass in 1..6 {
            let writes = random.below(25);
            (0..writes).for_each(|_| write(&world.dr, &mut dr, &mut random));
            (0..writes / 3).for_each(|_| write(&world.primary, &mut primary, &mut random));
            if pass == 4 {
                world.dr.trim_log();
            }
            let settings = following(world.settings(&format!("pass-{pass}")), &last);
            last = compare(&world.pair(), &checkpoint, &settings, &CLOCK, &Quiet).await.expect("a comparison");
            assert_true(&last, Some(&base), &primary, &dr, seed);
            let [on_primary, on_dr] = how(&last);
            assert_eq!(matches!(on_primary, HowRead::Followed { .. }), is_primary_logged, "{on_primary:?}");
            match on_dr {
                HowRead::Followed { keys, .. } => assert!(keys <= u64::from(writes), "{keys} keys of {writes} writes"),
                HowRead::Scanned { instead } => {
                    assert!(pass == 4 && writes > 0, "seed {seed}, pass {pass}: {instead:?}");
                    assert!(instead.is_some_and(|why| why.contains("beginning")), "the gap is said");
                }
            }
        }
    }
}

#[tokio::test]
async fn what_an_earlier_pass_left_is_proved_before_it_is_followed() {
    let world = World::new();
    (0..40).for_each(|n| drop(world.dr.put(&key_value(n), contents(n))));
    world.dr.keep_log();
    let bulk = Settings { logs: LogUse::Watched, ..world.settings("bulk") };
    let last = compare(&world.pair(), &Base::None, &bulk, &CLOCK, &Quiet).await.expect("a comparison");
    let parts = walk(&last.manifests.join("side=dr"));
    let part = parts.iter().find(|path| path.extension().is_some_and(|end| end == "parquet")).expect("a part");
    std::fs::remove_file(part).expect("removed");
    let settings = following(world.settings("next"), &last);
    let next = compare(&world.pair(), &Base::None, &settings, &CLOCK, &Quiet).await.expect("a comparison");
    let [_, on_dr] = how(&next);
    assert!(matches!(&on_dr, HowRead::Scanned { instead: Some(why) } if why.contains("cannot be used")), "{on_dr:?}");
    assert_eq!(next.dr, last.dr, "everything was read again");
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn a_write_that_comes_while_everything_is_read_is_in_the_next_pass() {
    let world = World::new();
    (0..40).for_each(|n| drop(world.dr.put(&key_value(n), contents(n))));
    world.primary.copy_from(&world.dr);
    world.dr.keep_log();
    let faults = Faults::new();
    let (table, other) = (world.dr.clone(), world.dr.clone());
    // After the scan has begun, which stands still, and again just before a difference is read once more.
    faults.at(Call::Page, 1, Effect::Act(Arc::new(move || drop(table.put(&key_value(1), contents(100))))));
    let pair = world.faulty(world.primary_store(), &Faults::new(), &faults);
    let bulk = Settings { logs: LogUse::Watched, ..world.settings("bulk") };
    let first = compare(&pair, &Base::None, &bulk, &CLOCK, &Quiet).await.expect("a comparison");
    let pages = faults.count(Call::Page);
    assert!(first.at_parity(), "the scan did not see it: a comparison of live sides is a forecast");
    faults.at(Call::Fetch, 1, Effect::Act(Arc::new(move || drop(other.put(&key_value(1), contents(200))))));
    let settings = following(world.settings("next"), &first);
    let next = compare(&pair, &Base::None, &settings, &CLOCK, &Quiet).await.expect("a comparison");
    let lines = delta(&next.delta);
    let newest = world.dr.get(&key_value(1)).expect("an item").digest;
    assert_eq!((lines.len(), lines[0].key().expect("a key")), (1, key(1)));
    assert_eq!(lines[0].dr, Some(newest), "what is reported is what was there when it was read once more");
    assert_eq!(faults.count(Call::Page), pages, "dr was not scanned again");
}

/// A clock of the test's own.
fn at(text: &str) -> FixedClock {
    FixedClock(text.parse().expect("an instant"))
}

const TB: &str = "2026-11-22T03:10:00Z";

fn instant(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

#[tokio::test]
async fn without_a_base_the_primarys_own_log_tells_stranded_writes_where_it_reaches_back() {
    for (begins, is_told) in [("2026-11-22T02:00:00Z", true), ("2026-11-22T03:09:30Z", false)] {
        let world = World::new();
        let primary = MemoryTable::with_clock("orders", Arc::new(at(begins)));
        let world = World { primary, ..world };
        for n in 0..6 {
            world.primary.put(&key_value(n), contents(n));
            world.dr.put(&key_value(n), contents(n));
        }
        world.primary.keep_log();
        let put = |n, total, when: &str| drop(world.primary.put_at(&key_value(n), contents(total), instant(when)));
        // Before Tb on both sides, near Tb on the primary, after Tb on the primary; on dr alone; on both.
        put(0, 10, "2026-11-22T02:30:00Z");
        world.dr.put(&key_value(0), contents(10));
        put(1, 10, "2026-11-22T03:10:20Z");
        put(2, 10, "2026-11-22T04:00:00Z");
        put(100, 10, "2026-11-22T04:00:00Z");
        world.dr.put(&key_value(3), contents(20));
        world.dr.put(&key_value(101), contents(20));
        put(4, 10, "2026-11-22T04:00:00Z");
        world.dr.put(&key_value(4), contents(20));
        let mut settings = Settings { logs: LogUse::Watched, ..world.settings(begins) };
        settings.attribute_since = Some(instant(TB));
        let clock = at("2026-11-22T06:00:00Z");
        let comparison = compare(&world.pair(), &Base::None, &settings, &clock, &Quiet).await.expect("a comparison");
        let mut told: Vec<(u32, Verdict, Change)> = Vec::new();
        for line in delta(&comparison.delta) {
            let number = (0..200).find(|n| key(*n) == line.key().expect("a key")).expect("planted");
            told.push((number, line.verdict, line.change));
        }
        told.sort_by_key(|(number, ..)| *number);
        let (update, insert, delete) = (Change::Update, Change::Insert, Change::Delete);
        let truth = [
            (1, Verdict::Unattributed, update),
            (2, Verdict::Stranded, update),
            (3, Verdict::DrOnly, update),
            (4, Verdict::Conflict, update),
            (100, Verdict::Stranded, delete),
            (101, Verdict::DrOnly, insert),
        ];
        if is_told {
            assert_eq!(told, truth);
            assert_eq!(comparison.base.and_then(|base| base.as_of), Some(instant(TB)));
        } else {
            assert!(told.iter().all(|(_, verdict, _)| *verdict == Verdict::Unattributed), "{told:?}");
            assert!(comparison.unattributed_because.is_some_and(|why| why.contains("too late")), "it is said");
            assert_eq!(comparison.base, None);
        }
    }
}

#[tokio::test]
async fn a_delete_by_expiry_is_proved_by_the_log_and_by_nothing_else() {
    let world = World::new();
    let expiring =
        |mark: i64| Value::map([("until", Value::Number(1_000.into())), ("mark", Value::Number(mark.into()))]);
    for table in [&world.primary, &world.dr] {
        table.set_ttl_attribute(Some("until"));
        (0..3).for_each(|n| drop(table.put(&key_value(n), expiring(0))));
    }
    world.dr.keep_log();
    // 0 expires on dr as it is on the primary, 1 is deleted by an application, 2 was another item when it expired.
    world.dr.remove(&key_value(1));
    world.dr.put(&key_value(2), expiring(7));
    assert_eq!(world.dr.expire(instant("2026-11-22T03:00:00Z")), 2);
    let settings = Settings { logs: LogUse::Watched, ..world.settings("expired") };
    let clock = at("2026-11-22T06:00:00Z");
    let comparison = compare(&world.pair(), &Base::None, &settings, &clock, &Quiet).await.expect("a comparison");
    for line in delta(&comparison.delta) {
        assert_eq!((line.verdict, line.change), (Verdict::Expired, Change::Delete));
        assert_eq!(line.expiry_proved, line.key().expect("a key") == key(0));
    }
    assert_eq!(comparison.verdicts.get(Verdict::Expired), 3);
    let blind = compare(&world.pair(), &Base::None, &world.settings("blind"), &clock, &Quiet).await.expect("compared");
    assert!(delta(&blind.delta).iter().all(|line| !line.expiry_proved), "a verification asks no log");
}
