//! How long work gets on: bars on a terminal, a line now and then elsewhere.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::compare::{Progress, Quiet};

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Progress as fits stderr: none when quiet, bars on a terminal, lines elsewhere.
pub fn progress(quiet: bool) -> Arc<dyn Progress> {
    if quiet {
        Arc::new(Quiet)
    } else if std::io::stderr().is_terminal() {
        Arc::new(Bars::default())
    } else {
        Arc::new(Lines::default())
    }
}

#[derive(Default)]
struct Bars {
    all: MultiProgress,
    bars: Mutex<HashMap<String, ProgressBar>>,
}

impl Bars {
    fn bars(&self) -> MutexGuard<'_, HashMap<String, ProgressBar>> {
        self.bars.lock().expect("nothing panics while it holds the bars")
    }
}

impl Progress for Bars {
    fn begin(&self, task: &str, items: Option<u64>) {
        let template = match items {
            Some(_) => "{msg:24} [{bar:24}] {human_pos}/{human_len} {per_sec} eta {eta}",
            None => "{msg:24} {spinner} {human_pos} {per_sec}",
        };
        let style = ProgressStyle::with_template(template).expect("the templates are valid").progress_chars("=> ");
        let bar = items.map_or_else(ProgressBar::new_spinner, ProgressBar::new).with_style(style);
        let bar = self.all.add(bar.with_message(task.to_owned()));
        self.bars().insert(task.to_owned(), bar);
    }

    fn advance(&self, task: &str, items: u64) {
        if let Some(bar) = self.bars().get(task) {
            bar.inc(items);
        }
    }

    fn end(&self, task: &str) {
        if let Some(bar) = self.bars().remove(task) {
            bar.finish_and_clear();
        }
    }
}

#[derive(Default)]
struct Lines {
    tasks: Mutex<HashMap<String, Task>>,
}

struct Task {
    began: Instant,
    told: Instant,
    done: u64,
    items: Option<u64>,
}

impl Lines {
    fn tasks(&self) -> MutexGuard<'_, HashMap<String, Task>> {
        self.tasks.lock().expect("nothing panics while it holds the tasks")
    }
}

impl Progress for Lines {
    fn begin(&self, task: &str, items: Option<u64>) {
        let now = Instant::now();
        self.tasks().insert(task.to_owned(), Task { began: now, told: now, done: 0, items });
    }

    fn advance(&self, task: &str, items: u64) {
        let mut tasks = self.tasks();
        let Some(entry) = tasks.get_mut(task) else { return };
        entry.done += items;
        if entry.told.elapsed() >= LINE_EVERY {
            entry.told = Instant::now();
            let rate = entry.done as f64 / entry.began.elapsed().as_secs_f64().max(0.001);
            let eta = entry.items.map(|items| items.saturating_sub(entry.done) as f64 / rate.max(0.001));
            let of = entry.items.map_or(String::new(), |items| format!(" of about {items}"));
            let eta = eta.map_or(String::new(), |eta| format!(", {eta:.0} s left"));
            super::output::tell(&format!("{task}: {}{of}, {rate:.0}/s{eta}", entry.done));
        }
    }

    fn end(&self, task: &str) {
        self.tasks().remove(task);
    }
}
