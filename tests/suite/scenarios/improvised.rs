//! Scripts nobody wrote: random histories, which must print at every place what they print in memory.

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How many there are; more are tried with `FAILBACK_IMPROVISED=50`.
const SCRIPTS: u64 = 3;
const IDS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
const POLICIES: [&str; 6] = [
    "conflict = \"hold\"",
    "conflict = \"dr-wins\"",
    "conflict = \"primary-wins\"",
    "stranded = \"overwrite\"",
    "conflict = \"dr-wins\", stranded = \"hold\"",
    "conflict = \"dr-wins\", stranded = \"overwrite\", deletes = \"mirror\"",
];

/// Every improvised script with its name.
pub fn all() -> Vec<(String, String)> {
    let wanted = std::env::var("FAILBACK_IMPROVISED").ok().and_then(|number| number.parse().ok());
    (0..wanted.unwrap_or(SCRIPTS)).map(|seed| (format!("improvised-{seed}"), script(seed))).collect()
}

fn script(seed: u64) -> String {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut lines: Vec<String> = IDS[..6].iter().map(|id| format!("both put {id} 0")).collect();
    lines.push("checkpoint".into());
    writes(&mut random, &["primary", "primary", "both"], &mut lines);
    lines.push("disaster".into());
    for pass in 0..3 {
        let sides: &[&str] = if pass == 0 { &["dr"] } else { &["dr", "dr", "primary"] };
        writes(&mut random, sides, &mut lines);
        let policy = POLICIES.choose(&mut random).expect("there are policies");
        lines.extend([format!("policy {policy}"), "diff".into(), "plan allow-everything allow-empty-dr".into()]);
        // Some passes meet what changed between plan and replay, some are taken back.
        if random.random_bool(0.3) {
            writes(&mut random, &["dr", "primary"], &mut lines);
        }
        lines.extend(["replay", "verify", "show primary"].map(str::to_owned));
        if random.random_bool(0.3) {
            lines.extend(["undo", "undone", "show primary"].map(str::to_owned));
        }
    }
    lines.extend(["undo", "undone", "show primary", "show dr"].map(str::to_owned));
    lines.iter().map(|line| format!("> {line}\n")).collect()
}

fn writes(random: &mut ChaCha8Rng, sides: &[&str], lines: &mut Vec<String>) {
    for _ in 0..random.random_range(2..7) {
        let side = sides.choose(random).expect("there are sides");
        let id = IDS.choose(random).expect("there are ids");
        // Few values, so that some histories converge and some go back.
        lines.push(match random.random_range(0..4) {
            0 => format!("{side} del {id}"),
            value => format!("{side} put {id} {value}"),
        });
    }
}
