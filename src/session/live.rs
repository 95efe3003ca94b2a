//! How far the work has come: for the screen of this process, and in a small file for whoever looks on.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::compare::Progress;
use crate::journal::SessionLock;
use crate::store::wrap::{Pace, PaceState};

/// The span that a rate is measured over.
const RATE_SPAN: Duration = Duration::from_secs(5);
/// Samples kept of one task.
const SAMPLES_MAX: usize = 64;
/// Ended tasks kept, so that what was quick is seen too.
const ENDED_MAX: usize = 32;

/// One task as it stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskProgress {
    /// Its name: `read orders dr`, `replay orders`.
    pub task: String,
    /// Items handled.
    pub done: u64,
    /// Items in all, where that is known.
    pub items: Option<u64>,
    /// Items per second of the last seconds.
    pub per_second: f64,
    /// Whether it has ended.
    pub ended: bool,
}

impl TaskProgress {
    /// Seconds that are left at this rate, where the end is known.
    pub fn seconds_left(&self) -> Option<u64> {
        let left = self.items?.saturating_sub(self.done);
        (self.per_second > 0.0 && !self.ended).then(|| (left as f64 / self.per_second).ceil() as u64)
    }

    /// How much is done, from 0 to 1, where the end is known.
    pub fn ratio(&self) -> Option<f64> {
        match (self.ended, self.items) {
            (true, _) => Some(1.0),
            (false, Some(0)) | (false, None) => None,
            (false, Some(items)) => Some((self.done as f64 / items as f64).min(1.0)),
        }
    }
}

/// The file within the session folder that tells how far the work has come.
const PROGRESS_FILE: &str = "progress.json";

/// How far the work of another process has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveProgress {
    /// The process.
    pub pid: u32,
    /// Its tasks.
    pub tasks: Vec<TaskProgress>,
    /// How fast it goes.
    #[serde(default)]
    pub pace: PaceState,
}

/// How often that file is written while a task goes on; a task's begin and end are told at once.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);

/// Tells in the session folder how far the work of this process has come. Nothing rests on it, so it is not synced, and what
/// cannot be written is left out.
pub(super) fn publish(folder: &Path, tasks: Vec<TaskProgress>, pace: PaceState) {
    let live = LiveProgress { pid: std::process::id(), tasks, pace };
    let draft = folder.join(format!("{PROGRESS_FILE}.unfinished"));
    let Ok(text) = serde_json::to_vec(&live) else { return };
    let _ = std::fs::write(&draft, text).and_then(|()| std::fs::rename(&draft, folder.join(PROGRESS_FILE)));
}

/// How far the work on a session has come, as the process at work tells it; `None` when none is at work.
pub fn read_progress(folder: &Path) -> Option<LiveProgress> {
    let file = std::fs::File::open(folder.join(PROGRESS_FILE)).ok()?;
    let mut live: LiveProgress = serde_json::from_reader(std::io::BufReader::new(&file)).ok()?;
    // What a process left behind that ended says nothing. Its lock is not tried: that would hold up whoever takes it now.
    let owner = SessionLock::owner(folder)?;
    let told_ago = file.metadata().ok()?.modified().ok()?.elapsed().unwrap_or_default();
    if told_ago > RATE_SPAN {
        live.tasks.iter_mut().for_each(|task| task.per_second = 0.0);
    }
    // A process of another user may not be signalled, but it is there.
    let runs = matches!(kill(Pid::from_raw(i32::try_from(owner).ok()?), None), Ok(()) | Err(Errno::EPERM));
    (owner == live.pid && runs).then_some(live)
}

struct Task {
    progress: TaskProgress,
    began: Instant,
    samples: VecDeque<(Instant, u64)>,
}

impl Task {
    fn now(&self) -> TaskProgress {
        let mut progress = self.progress.clone();
        let (from, before) = self.samples.front().copied().unwrap_or((self.began, 0));
        let span = if progress.ended { self.samples.back().map(|(at, _)| *at - from) } else { Some(from.elapsed()) };
        let seconds = span.unwrap_or_default().as_secs_f64();
        progress.per_second = if seconds > 0.05 { (progress.done - before) as f64 / seconds } else { 0.0 };
        progress
    }

    fn sample(&mut self) {
        let now = Instant::now();
        // Samples close together say no more than one of them.
        if self.samples.back().is_some_and(|(at, _)| now - *at < RATE_SPAN / SAMPLES_MAX as u32) {
            return;
        }
        self.samples.push_back((now, self.progress.done));
        // One sample older than the span stays: what comes seldom has a rate too.
        let old = |sample: Option<&(Instant, u64)>| sample.is_some_and(|(at, _)| now - *at > RATE_SPAN);
        while self.samples.len() > SAMPLES_MAX || old(self.samples.get(1)) {
            self.samples.pop_front();
        }
    }
}

/// The tasks under way, and the last that ended; clones share them.
#[derive(Clone, Default)]
pub struct LiveTasks {
    tasks: Arc<Mutex<Vec<Task>>>,
}

impl LiveTasks {
    /// Every task as it stands, in the order they began.
    pub fn snapshot(&self) -> Vec<TaskProgress> {
        self.tasks().iter().map(Task::now).collect()
    }

    /// Forgets all tasks: another action begins.
    pub fn clear(&self) {
        self.tasks().clear();
    }

    fn tasks(&self) -> MutexGuard<'_, Vec<Task>> {
        self.tasks.lock().expect("nothing panics while it holds the tasks")
    }

    fn with(&self, task: &str, change: impl FnOnce(&mut Task)) {
        let mut tasks = self.tasks();
        let found = tasks.iter_mut().rev().find(|known| known.progress.task == task && !known.progress.ended);
        if let Some(task) = found {
            change(task);
        }
    }
}

impl Progress for LiveTasks {
    fn begin(&self, task: &str, items: Option<u64>) {
        let mut tasks = self.tasks();
        tasks.retain(|known| known.progress.task != task);
        while tasks.len() >= ENDED_MAX && tasks.first().is_some_and(|first| first.progress.ended) {
            tasks.remove(0);
        }
        let now = Instant::now();
        let progress = TaskProgress { task: task.to_owned(), items, ..TaskProgress::default() };
        tasks.push(Task { progress, began: now, samples: VecDeque::from([(now, 0)]) });
    }

    fn advance(&self, task: &str, items: u64) {
        self.with(task, |task| {
            task.progress.done += items;
            task.sample();
        });
    }

    fn end(&self, task: &str) {
        self.with(task, |task| task.progress.ended = true);
    }
}

/// Passes progress on, keeps it as tasks, and tells of it in the session's folder, for whoever looks on.
pub(super) struct Published {
    to: Arc<dyn Progress>,
    tasks: LiveTasks,
    pace: Arc<Pace>,
    folder: PathBuf,
    told: Mutex<Option<Instant>>,
}

impl Published {
    pub(super) fn new(to: Arc<dyn Progress>, tasks: LiveTasks, pace: Arc<Pace>, folder: &Path) -> Published {
        Published { to, tasks, pace, folder: folder.to_owned(), told: Mutex::default() }
    }

    fn tell(&self) {
        *self.told() = Some(Instant::now());
        publish(&self.folder, self.tasks.snapshot(), self.pace.now());
    }

    fn tell_now_and_then(&self) {
        if self.told().is_none_or(|told| told.elapsed() >= PUBLISH_EVERY) {
            self.tell();
        }
    }

    fn told(&self) -> MutexGuard<'_, Option<Instant>> {
        self.told.lock().expect("nothing panics while it holds the time")
    }
}

impl Progress for Published {
    fn begin(&self, task: &str, items: Option<u64>) {
        self.to.begin(task, items);
        self.tasks.begin(task, items);
        self.tell();
    }

    fn advance(&self, task: &str, items: u64) {
        self.to.advance(task, items);
        self.tasks.advance(task, items);
        self.tell_now_and_then();
    }

    fn end(&self, task: &str) {
        self.to.end(task);
        self.tasks.end(task);
        self.tell();
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        // Nothing was told: nothing is to be taken back.
        if self.told.lock().is_ok_and(|told| told.is_some()) {
            publish(&self.folder, Vec::new(), self.pace.now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_counted_by_name_and_told_in_order() {
        let live = LiveTasks::default();
        live.begin("read orders dr", Some(100));
        live.begin("replay orders", None);
        live.advance("read orders dr", 40);
        live.advance("unknown", 1);
        live.end("replay orders");
        let told = live.snapshot();
        let words: Vec<_> = told.iter().map(|task| (task.task.as_str(), task.done, task.ended, task.ratio())).collect();
        assert_eq!(words, [("read orders dr", 40, false, Some(0.4)), ("replay orders", 0, true, Some(1.0))]);
        assert_eq!(told[1].seconds_left(), None);
        live.begin("read orders dr", Some(10));
        assert_eq!(live.snapshot().last().expect("a task").done, 0, "the same task begun again starts anew");
    }

    #[test]
    fn what_ended_is_forgotten_in_the_end() {
        let live = LiveTasks::default();
        for at in 0..100 {
            let task = format!("task {at}");
            live.begin(&task, None);
            live.end(&task);
        }
        assert_eq!(live.snapshot().len(), ENDED_MAX);
    }

    #[test]
    fn what_an_ended_process_left_says_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let task = TaskProgress { task: "read orders dr".into(), done: 7, ..TaskProgress::default() };
        publish(folder.path(), vec![task.clone()], PaceState::default());
        assert_eq!(read_progress(folder.path()), None, "nobody holds the session");
        let lock = crate::journal::SessionLock::take(folder.path()).expect("free");
        let live = read_progress(folder.path()).expect("somebody is at work");
        assert_eq!((live.pid, live.tasks), (std::process::id(), vec![task]));
        drop(lock);
        std::fs::write(folder.path().join("session.lock"), "1").expect("another owner");
        assert_eq!(read_progress(folder.path()), None);
    }

    #[test]
    fn time_left_follows_the_rate() {
        let task = TaskProgress { done: 50, items: Some(100), per_second: 10.0, ..TaskProgress::default() };
        assert_eq!(task.seconds_left(), Some(5));
        assert_eq!(TaskProgress { per_second: 0.0, ..task }.seconds_left(), None);
    }
}
