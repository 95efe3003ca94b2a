//! The program with a library preloaded that ends it, or fills its disk, at a chosen change of its files.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;

use crate::rig::{Home, Ran};

/// What happens to the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    /// Nothing: its changes are only told.
    Nothing,
    /// Killed in place of this change, the first is 1.
    Before(usize),
    /// Killed right after this change.
    After(usize),
    /// Killed when half of the bytes of this change are written.
    Torn(usize),
    /// Half of the bytes of this change still fit on the disk, and nothing after it.
    Full(usize),
}

/// One change of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// `write`, `pwrite`, `sync`, `truncate`, `rename`, `remove`, `mkdir`, `open` (which makes or empties) or `copy`.
    pub call: String,
    /// The file, relative to the home.
    pub path: String,
}

/// One run with the library.
#[derive(Debug)]
pub struct Struck {
    pub ran: Ran,
    /// The changes that were reached, the one it was struck at included.
    pub changes: Vec<Change>,
}

impl Struck {
    /// Whether the program was killed; otherwise it ended by itself before the change came.
    pub fn is_killed(&self) -> bool {
        self.ran.code.is_none()
    }

    /// What it was struck at.
    pub fn last(&self) -> String {
        self.changes.last().map_or("nothing".into(), |change| format!("{} {}", change.call, change.path))
    }
}

/// The compiled library.
pub struct Shim {
    folder: tempfile::TempDir,
}

const SOURCE: &str = include_str!("shim/kill_at.c");

impl Shim {
    /// Compiles the library with the compiler that links the program.
    pub fn build() -> Shim {
        let folder = tempfile::tempdir().expect("a folder");
        let source = folder.path().join("kill_at.c");
        std::fs::write(&source, SOURCE).expect("written");
        let mut compiler = Command::new("cc");
        compiler
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"])
            .arg(library(folder.path().into()));
        let output = compiler.arg(&source).arg("-ldl").output().expect("cc, which Rust needs to link");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Shim { folder }
    }

    /// Runs the program; only changes of paths that contain `part` count.
    pub fn run(&self, home: &Home, arguments: &str, blow: Blow, part: &str) -> Struck {
        let trace = tempfile::Builder::new().prefix("trace").tempfile_in(self.folder.path()).expect("a file");
        let mut command = home.command(arguments);
        let (mode, at) = match blow {
            Blow::Nothing => ("count", 0),
            Blow::Before(at) => ("before", at),
            Blow::After(at) => ("after", at),
            Blow::Torn(at) => ("torn", at),
            Blow::Full(at) => ("full", at),
        };
        command.env("LD_PRELOAD", library(self.folder.path().into()));
        command.env("SHIM_MODE", mode).env("SHIM_AT", at.to_string()).env("SHIM_TRACE", trace.path());
        command.env("SHIM_FOLDER", home.path("").canonicalize().expect("a folder")).env("SHIM_PART", part);
        let output = command.output().expect("the program starts");
        let killed = output.status.signal();
        assert!(killed.is_none_or(|signal| signal == 9), "ended by signal {killed:?}");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        let ran = Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) };
        let trace = std::fs::read_to_string(trace.path()).expect("a trace");
        Struck { ran, changes: trace.lines().map(change).collect() }
    }

    /// The changes that the program makes when nothing happens to it.
    pub fn changes(&self, home: &Home, arguments: &str) -> Struck {
        self.run(home, arguments, Blow::Nothing, "")
    }
}

fn library(folder: PathBuf) -> PathBuf {
    folder.join("kill_at.so")
}

fn change(line: &str) -> Change {
    let mut words = line.splitn(3, ' ').skip(1).map(str::to_owned);
    let (call, path) = words.next().zip(words.next()).expect("a number, a call and a path");
    Change { call, path }
}
