//! Commands of the profile: each in a process group of its own, which never outlives its time or its caller.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::Command;

/// Kills a process group when dropped, also when the future that holds it is dropped half way.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // It fails only when no process of the group is left.
            let _ = killpg(leader, Signal::SIGKILL);
        }
    }
}

/// Runs a command without input or output; `None` when its time was up and it was killed with all that it started.
///
/// # Errors
///
/// When it cannot be started or waited for.
pub async fn run_in_group(mut command: Command, timeout: Duration) -> io::Result<Option<ExitStatus>> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).process_group(0).spawn()?;
    let leader = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    let mut group = Group(leader);
    let waited = tokio::time::timeout(timeout, child.wait()).await;
    if matches!(waited, Ok(Ok(_))) {
        // Its leader is reaped: the id may be another process's by now.
        group.0 = None;
    }
    drop(group);
    match waited {
        Ok(status) => status.map(Some),
        Err(_) => {
            let _ = child.wait().await;
            Ok(None)
        }
    }
}
