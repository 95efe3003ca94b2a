//! A hand on the pace of work that another process does: an order in a small file of the session's folder, which whoever is
//! at work takes up. Nothing rests on it: it is not synced, and the next process begins at the pace of the profile.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::live::{LiveTasks, publish, read_progress};
use crate::store::wrap::{Pace, PaceChange, PaceState};

/// The order, until it is taken up.
const ORDER_FILE: &str = "pace.json";
/// The order while it is read by whoever took it.
const TAKEN_FILE: &str = "pace.taken.json";
/// The version of the order's format.
const FORMAT: u32 = 1;
/// How often an order is looked for.
const HEED_EVERY: Duration = Duration::from_millis(250);
/// How often is looked whether an order was taken up.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Looks until an order counts as not taken up: ten seconds of them.
const LOOKS_MAX: u32 = 200;

/// Why a pace could not be told or changed.
#[derive(Debug, thiserror::Error)]
pub enum PaceError {
    /// No process works on the session.
    #[error("no command is at work on this session")]
    NobodyAtWork,
    /// The process at work did not take the order.
    #[error("process {pid} did not take up the new pace within {} seconds", (LOOK_EVERY * LOOKS_MAX).as_secs())]
    NotTaken {
        /// The process.
        pid: u32,
    },
    /// The order could not be written.
    #[error("cannot use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct PaceOrder {
    format: u32,
    /// Whom it is for: it means nothing to a later process.
    pid: u32,
    pace: PaceState,
}

/// The process that is at work on the session in `folder`, and its pace.
///
/// # Errors
///
/// [`PaceError::NobodyAtWork`].
pub fn pace_at_work(folder: &Path) -> Result<(u32, PaceState), PaceError> {
    read_progress(folder).map(|live| (live.pid, live.pace)).ok_or(PaceError::NobodyAtWork)
}

/// Changes the pace of the process that is at work on the session in `folder`, and returns once it goes by it.
///
/// # Errors
///
/// [`PaceError`] when nobody is at work or whoever is does not take it up; then the order is withdrawn.
pub async fn order_pace(folder: &Path, change: PaceChange) -> Result<(u32, PaceState), PaceError> {
    ordered(folder, change, LOOKS_MAX).await
}

async fn ordered(folder: &Path, change: PaceChange, looks_max: u32) -> Result<(u32, PaceState), PaceError> {
    let (pid, now) = pace_at_work(folder)?;
    let wanted = now.after(change);
    let path = folder.join(ORDER_FILE);
    let file = |source| PaceError::File { path: path.clone(), source };
    let draft = folder.join(format!("{ORDER_FILE}.unfinished"));
    let text =
        serde_json::to_vec(&PaceOrder { format: FORMAT, pid, pace: wanted }).map_err(|error| file(error.into()))?;
    std::fs::write(&draft, text).and_then(|()| std::fs::rename(&draft, &path)).map_err(file)?;
    for _ in 0..looks_max {
        match pace_at_work(folder) {
            Ok(at_work) if at_work == (pid, wanted) => return Ok(at_work),
            Ok((at_work, _)) if at_work == pid => sleep(LOOK_EVERY).await,
            // It ended meanwhile.
            Ok(_) | Err(_) => break,
        }
    }
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(file(error)),
        _ => Err(pace_at_work(folder).map_or_else(|nobody| nobody, |_| PaceError::NotTaken { pid })),
    }
}

/// Takes up orders for as long as it is polled, and tells in the folder at which pace this process goes.
pub(super) async fn heed(folder: &Path, pace: &Pace, tasks: &LiveTasks) -> Infallible {
    let mut told = None;
    let mut looks = interval(HEED_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        if let Some(ordered) = take_order(folder) {
            pace.set(ordered);
        }
        let now = pace.now();
        if told != Some(now) {
            publish(folder, tasks.snapshot(), now);
            told = Some(now);
        }
    }
}

/// The order that lies there for this process. It is renamed first, so that a newer one that comes meanwhile stays.
fn take_order(folder: &Path) -> Option<PaceState> {
    let taken = folder.join(TAKEN_FILE);
    std::fs::rename(folder.join(ORDER_FILE), &taken).ok()?;
    let order: Option<PaceOrder> = std::fs::read(&taken).ok().and_then(|text| serde_json::from_slice(&text).ok());
    let _ = std::fs::remove_file(&taken);
    let order = order.filter(|order| order.format == FORMAT && order.pid == std::process::id())?;
    order.pace.is_sound().then_some(order.pace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::SessionLock;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder")
    }

    #[tokio::test]
    async fn who_is_at_work_takes_it_up() {
        let folder = folder();
        let _lock = SessionLock::take(folder.path()).expect("free");
        let (pace, tasks) = (Pace::default(), LiveTasks::default());
        let orders = async {
            // Until it has told its pace for the first time nobody seems to be at work.
            while pace_at_work(folder.path()).is_err() {
                tokio::task::yield_now().await;
            }
            let slow = order_pace(folder.path(), PaceChange::Percent(25)).await.expect("taken up");
            let paused = order_pace(folder.path(), PaceChange::Pause).await.expect("taken up");
            (slow.1, paused.1)
        };
        let told = tokio::select! {
            told = orders => told,
            never = heed(folder.path(), &pace, &tasks) => match never {},
        };
        assert_eq!(told, (PaceState { paused: false, percent: 25 }, PaceState { paused: true, percent: 25 }));
        assert_eq!(pace.now(), told.1);
        assert!(!folder.path().join(ORDER_FILE).exists());
    }

    #[tokio::test]
    async fn nobody_at_work_is_told() {
        let folder = folder();
        let error = order_pace(folder.path(), PaceChange::Pause).await.expect_err("nobody");
        assert!(matches!(error, PaceError::NobodyAtWork), "{error}");
        assert!(!folder.path().join(ORDER_FILE).exists());
    }

    #[tokio::test]
    async fn an_order_that_nobody_takes_is_withdrawn() {
        let folder = folder();
        let _lock = SessionLock::take(folder.path()).expect("free");
        publish(folder.path(), Vec::new(), PaceState::default());
        let error = ordered(folder.path(), PaceChange::Pause, 1).await.expect_err("not taken");
        assert!(matches!(error, PaceError::NotTaken { .. }), "{error}");
        assert!(!folder.path().join(ORDER_FILE).exists());
    }

    #[test]
    fn what_is_not_for_this_process_or_not_sound_is_dropped() {
        let folder = folder();
        let pid = std::process::id();
        let order =
            |pid, percent| format!(r#"{{"format":1,"pid":{pid},"pace":{{"paused":false,"percent":{percent}}}}}"#);
        for (text, taken) in [
            (order(pid, 50), true),
            (order(pid + 1, 50), false),
            (order(pid, 0), false),
            (order(pid, 100_000), false),
            ("{".into(), false),
        ] {
            std::fs::write(folder.path().join(ORDER_FILE), &text).expect("written");
            assert_eq!(take_order(folder.path()).is_some(), taken, "{text}");
            assert!(!folder.path().join(ORDER_FILE).exists());
        }
    }
}
