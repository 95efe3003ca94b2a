//! What a contestant costs.

use std::io::{Read, Seek};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::PART;

const START_TIMEOUT: Duration = Duration::from_secs(60);

/// What one process cost, by the operating system's account of it.
#[derive(Debug, Clone)]
pub struct Cost {
    /// From its start to its end.
    pub wall: Duration,
    /// User time of all its threads.
    pub user: Duration,
    /// System time of all its threads.
    pub system: Duration,
    /// The most memory it had at a time.
    pub peak_bytes: u64,
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to its standard output.
    pub said: String,
}

impl Cost {
    /// User and system time.
    pub fn cpu(&self) -> Duration {
        self.user + self.system
    }

    /// Its standard output as JSON.
    pub fn json(&self) -> serde_json::Value {
        let last = self.said.lines().rev().find(|line| line.starts_with('{')).unwrap_or_default();
        serde_json::from_str(last)
            .unwrap_or_else(|_| serde_json::from_str(&self.said).expect("JSON on standard output"))
    }

    /// Its peak memory in mebibytes.
    pub fn peak_mib(&self) -> f64 {
        self.peak_bytes as f64 / f64::from(1 << 20)
    }
}

/// Runs a process to its end.
pub fn cost_of(command: &mut Command) -> Cost {
    cost_of_fed(command, Stdio::null())
}

/// Runs a process that reads `input` to its end.
pub fn cost_of_fed(command: &mut Command, input: Stdio) -> Cost {
    let mut said = tempfile::tempfile().expect("a file");
    command.stdin(input).stdout(said.try_clone().expect("a file"));
    let started = Instant::now();
    let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let (status, usage) = wait(child);
    let wall = started.elapsed();
    let time = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    let mut text = String::new();
    said.rewind().expect("rewound");
    said.read_to_string(&mut text).expect("text on standard output");
    Cost {
        wall,
        user: time(usage.ru_utime),
        system: time(usage.ru_stime),
        // Linux counts it in kibibytes.
        peak_bytes: usage.ru_maxrss as u64 * 1024,
        status,
        said: text,
    }
}

#[expect(unsafe_code, reason = "no safe interface gives the usage of one child by itself")]
fn wait(child: Child) -> (ExitStatus, libc::rusage) {
    let pid = i32::try_from(child.id()).expect("a process id");
    let mut status = 0;
    // SAFETY: zeros are a valid rusage, both pointers are to locals that outlive the call, and the child is waited for once.
    let (ended, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        let ended = loop {
            let ended = libc::wait4(pid, &mut status, 0, &mut usage);
            if ended != -1 || std::io::Error::last_os_error().kind() != std::io::ErrorKind::Interrupted {
                break ended;
            }
        };
        (ended, usage)
    };
    assert_eq!(ended, pid, "the child is there to be waited for");
    (ExitStatus::from_raw(status), usage)
}

/// Processor time spent so far; unlike a clock on the wall it does not mind what else the machine does.
#[derive(Debug, Clone, Copy)]
pub enum Clock {
    /// By this thread.
    Thread,
    /// By all threads of this process.
    Process,
}

impl Clock {
    /// The time now.
    #[expect(unsafe_code, reason = "no safe interface tells processor time")]
    pub fn now(self) -> Duration {
        let clock = match self {
            Clock::Thread => libc::CLOCK_THREAD_CPUTIME_ID,
            Clock::Process => libc::CLOCK_PROCESS_CPUTIME_ID,
        };
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the pointer is to a local that outlives the call.
        let failed = unsafe { libc::clock_gettime(clock, &mut time) };
        assert_eq!(failed, 0, "the clock is there");
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }
}

/// Runs contestants in turns and gives the cheapest round of each, by `by`.
pub fn in_turns<const N: usize>(
    rounds: usize,
    by: impl Fn(&Cost) -> Duration,
    mut contestants: [&mut dyn FnMut() -> Cost; N],
) -> [Cost; N] {
    let mut best: [Option<Cost>; N] = std::array::from_fn(|_| None);
    for _ in 0..rounds {
        for (contestant, best) in contestants.iter_mut().zip(&mut best) {
            let cost = contestant();
            if best.as_ref().is_none_or(|best| by(&cost) < by(best)) {
                *best = Some(cost);
            }
        }
    }
    best.map(|cost| cost.expect("at least one round"))
}

/// This very program, to play a part.
pub fn part(words: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    // In the test suite the program is a test harness, one of whose tests plays parts.
    command.args(["bench::a_part_is_played", "--exact", "--nocapture", "--quiet"]).env(PART, words);
    command
}

/// A program that sees nothing of what the environment says of AWS, so that both contestants reach the same server.
pub fn without_surroundings(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
        command.env_remove(name);
    }
    command
}

/// The product's program.
pub fn failback() -> Command {
    let mut command = without_surroundings(env!("CARGO_BIN_EXE_failback"));
    command.env("NO_COLOR", "1").stderr(Stdio::null());
    command
}

/// A program of the peers' own environment, where it is installed.
pub fn peer(program: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("FAILBACK_BENCH_VENV").map_or_else(default_venv, PathBuf::from);
    Some(folder.join("bin").join(program)).filter(|path| path.exists())
}

fn default_venv() -> PathBuf {
    PathBuf::from("/var/cache/failback/bench")
}

/// A server that is ended when this is dropped.
pub struct Server {
    child: Child,
    /// The loopback port it listens on.
    pub port: u16,
}

impl Server {
    /// Starts this program as a server; `words` gives its part for a port.
    pub fn start(words: impl Fn(u16) -> String) -> Server {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
        let mut command = part(&words(port));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("a server");
        let server = Server { child, port };
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < START_TIMEOUT, "the server on port {port} does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One line of a benchmark's table.
#[derive(Debug, Clone)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// The number, with its unit.
    pub measured: String,
    /// The number and the most it may be, where it has a target.
    pub target: Option<(f64, f64)>,
}

impl Row {
    /// A number for the reader.
    pub fn note(what: impl Into<String>, measured: impl Into<String>) -> Row {
        Row { what: what.into(), measured: measured.into(), target: None }
    }

    /// A ratio with a target.
    pub fn ratio(what: impl Into<String>, ratio: f64, at_most: f64) -> Row {
        Row { what: what.into(), measured: format!("{ratio:.3}x"), target: Some((ratio, at_most)) }
    }

    /// A peak of memory with a target, in mebibytes.
    pub fn peak(what: impl Into<String>, cost: &Cost, at_most: f64) -> Row {
        let mib = cost.peak_mib();
        Row { what: what.into(), measured: format!("{mib:.0} MiB"), target: Some((mib, at_most)) }
    }

    /// Whether it has a target and misses it.
    pub fn is_missed(&self) -> bool {
        self.target.is_some_and(|(measured, at_most)| measured > at_most)
    }
}

/// The cost of a contestant in words.
pub fn in_words(cost: &Cost) -> String {
    let seconds = |time: Duration| time.as_secs_f64();
    format!(
        "{:.2} s wall, {:.2} s user, {:.2} s system, {:.0} MiB",
        seconds(cost.wall),
        seconds(cost.user),
        seconds(cost.system),
        cost.peak_mib()
    )
}

/// How often one time fits into another.
pub fn ratio(of: Duration, to: Duration) -> f64 {
    of.as_secs_f64() / to.as_secs_f64()
}

/// Prints rows as a Markdown table.
pub fn print(rows: &[Row]) {
    println!("| measured | result | target | |\n|---|---|---|---|");
    for row in rows {
        let (target, verdict) = match row.target {
            None => (String::new(), ""),
            Some((_, at_most)) => {
                let unit = row.measured.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
                (format!("at most {at_most}{unit}"), if row.is_missed() { "MISS" } else { "pass" })
            }
        };
        println!("| {} | {} | {target} | {verdict} |", row.what, row.measured);
    }
}
