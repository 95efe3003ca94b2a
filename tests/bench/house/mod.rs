//! Benchmarks that run the product and its peers side by side and print ratios.
//!
//! Every contestant is a process of its own, so that what it costs is what the operating system says of it: user and system
//! time, wall time, peak memory. Contestants take turns, and of each the round with the least time counts. A target is a
//! ratio against the peer in the same run; absolute numbers are for the reader. The suite runs every benchmark at a tiny size and
//! asserts its results, never its times.

mod bulk;
mod engine;
mod exports;
mod measure;
mod mysql;
mod objects;
mod pages;
mod postgres;
mod replay;
mod rows;
mod scan;
mod tables;

use std::process::ExitCode;

pub use measure::Row;

/// A child process is told by this variable that it plays a part, and which.
const PART: &str = "FAILBACK_BENCH_PART";

/// How large a benchmark is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// As the targets say.
    Full,
    /// As small as shows that it works.
    Tiny,
}

impl Size {
    /// One of two numbers.
    fn pick<T>(self, full: T, tiny: T) -> T {
        match self {
            Size::Full => full,
            Size::Tiny => tiny,
        }
    }
}

/// One benchmark: prints what it does, and gives its rows.
type Benchmark = fn(Size) -> Vec<Row>;

/// Every benchmark by name.
pub const BENCHMARKS: [(&str, Benchmark); 9] = [
    ("scan", scan::run),
    ("tables", tables::run),
    ("replay", replay::run),
    ("engine", engine::run),
    ("exports", exports::run),
    ("objects", objects::run),
    ("postgres", postgres::run),
    ("mysql", mysql::run),
    ("bulk", bulk::run),
];

/// Plays the part that this process was started for, if it was.
pub fn play() -> bool {
    let Ok(part) = std::env::var(PART) else { return false };
    let words: Vec<&str> = part.split(' ').collect();
    match words[0] {
        "pages" => pages::serve(&words[1..]),
        "scan" => scan::play(&words[1..]),
        "objects" => objects::play(&words[1..]),
        "engine" => engine::play(&words[1..]),
        other => panic!("no part is called {other}"),
    }
    true
}

/// Runs the benchmarks named on the command line, or all of them.
pub fn main() -> ExitCode {
    if play() {
        return ExitCode::SUCCESS;
    }
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    for name in &named {
        if !BENCHMARKS.iter().any(|(known, _)| known == name) {
            let known: Vec<&str> = BENCHMARKS.iter().map(|(known, _)| *known).collect();
            eprintln!("no benchmark is called {name}; there are {}", known.join(", "));
            return ExitCode::from(2);
        }
    }
    // A look at whether everything is there; its times say nothing.
    let size = if std::env::args().any(|argument| argument == "--tiny") { Size::Tiny } else { Size::Full };
    let mut missed = 0;
    for (name, run) in BENCHMARKS {
        if named.is_empty() || named.iter().any(|wanted| wanted == name) {
            println!("\n## {name}\n");
            let rows = run(size);
            measure::print(&rows);
            missed += rows.iter().filter(|row| row.is_missed()).count();
        }
    }
    println!("\n{missed} targets missed");
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
