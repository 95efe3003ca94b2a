//! Every benchmark at a tiny size: that it runs and its results are right; never how long it takes.

#[path = "../bench/house/mod.rs"]
#[expect(dead_code, reason = "the command line of the benchmarks is not used here")]
mod house;

/// Not a test by itself: benchmarks start this program again, which plays its part here.
#[test]
fn a_part_is_played() {
    house::play();
}

fn tiny(name: &str) {
    let (_, run) = house::BENCHMARKS.iter().find(|(known, _)| *known == name).expect("a benchmark");
    let rows = run(house::Size::Tiny);
    assert!(rows.iter().any(|row| row.target.is_some()), "{name} has a target");
}

#[test]
fn scan() {
    tiny("scan");
}

#[test]
fn tables() {
    tiny("tables");
}

#[test]
fn engine() {
    tiny("engine");
}

#[test]
fn exports() {
    tiny("exports");
}

#[test]
fn replay() {
    tiny("replay");
}

#[test]
fn objects() {
    tiny("objects");
}

#[test]
fn postgres() {
    tiny("postgres");
}

#[test]
fn mysql() {
    tiny("mysql");
}

#[test]
fn bulk() {
    tiny("bulk");
}
