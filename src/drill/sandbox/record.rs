//! `sandbox.json`: where the servers of a running sandbox listen and which processes they are.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::SandboxError;
use crate::model::Side;

const FILE: &str = "sandbox.json";
const FORMAT: u32 = 1;

/// A running sandbox, as its supervisor wrote it down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The version of this file's format.
    pub format: u32,
    /// The supervisor's process id.
    pub supervisor: u32,
    /// When the supervisor started, as the system tells it: a process with the same id but another start is another one.
    pub supervisor_started: String,
    /// The AWS emulator.
    pub aws: Server,
    /// The primary's PostgreSQL server.
    pub postgres_primary: Server,
    /// dr's PostgreSQL server.
    pub postgres_dr: Server,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Its loopback port.
    pub port: u16,
    /// Its process id.
    pub pid: u32,
}

impl Record {
    /// The record of the sandbox in `folder`, if one was written.
    ///
    /// # Errors
    ///
    /// [`SandboxError::Local`] when it cannot be read, [`SandboxError::Failed`] when it is not a sandbox's record.
    pub fn read(folder: &Path) -> Result<Option<Record>, SandboxError> {
        let path = folder.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            read => read.map_err(SandboxError::local(format!("cannot read {}", path.display())))?,
        };
        let unknown = |_| SandboxError::Failed(format!("{} is not a sandbox's record", path.display()));
        let record: Record = serde_json::from_str(&text).map_err(unknown)?;
        if record.format == FORMAT {
            Ok(Some(record))
        } else {
            Err(SandboxError::Failed(format!("{} is of another version of failback", path.display())))
        }
    }

    pub(super) fn new(supervisor: u32, aws: Server, postgres_primary: Server, postgres_dr: Server) -> Record {
        let supervisor_started = started(supervisor).unwrap_or_default();
        Record { format: FORMAT, supervisor, supervisor_started, aws, postgres_primary, postgres_dr }
    }

    /// Appears whole or not at all.
    pub(super) fn write(&self, folder: &Path) -> Result<(), SandboxError> {
        let failed = || SandboxError::local(format!("cannot write {FILE}"));
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed())?;
        let text = serde_json::to_vec_pretty(self).expect("a record is plain data");
        file.write_all(&text).map_err(failed())?;
        file.persist(folder.join(FILE)).map_err(|error| failed()(error.error))?;
        Ok(())
    }

    pub(super) fn remove(folder: &Path) -> Result<(), SandboxError> {
        match std::fs::remove_file(folder.join(FILE)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(SandboxError::local(format!("cannot remove {FILE}"))),
        }
    }

    /// Whether the supervisor that wrote this still runs.
    pub fn is_alive(&self) -> bool {
        started(self.supervisor).is_some_and(|started| started == self.supervisor_started)
    }

    /// The AWS emulator's endpoint, the same for both Regions.
    pub fn aws_endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.aws.port)
    }

    /// The port of a side's PostgreSQL server; the base has none of its own and is the primary's.
    pub fn postgres_port(&self, side: Side) -> u16 {
        match side {
            Side::Primary | Side::Base => self.postgres_primary.port,
            Side::Dr => self.postgres_dr.port,
        }
    }
}

/// When a process started, in the system's own words; `None` when there is no such process (a zombie is none).
pub(super) fn started(pid: u32) -> Option<String> {
    if Path::new("/proc/self/stat").exists() {
        let stat = std::fs::read_to_string(PathBuf::from(format!("/proc/{pid}/stat"))).ok()?;
        // The second field is the program's name in parentheses, which may hold anything; the 22nd is the start.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let state = *fields.first()?;
        return fields.get(19).filter(|_| state != "Z" && state != "X").map(|start| (*start).to_owned());
    }
    let output = std::process::Command::new("ps").args(["-o", "lstart=", "-p", &pid.to_string()]).output().ok()?;
    let start = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (!start.is_empty()).then_some(start)
}
