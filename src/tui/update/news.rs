//! What the session and its work tell.

use super::browser;
use crate::session::{Action, Exit};
use crate::tui::message::{Effect, Ended, SessionNews, Tick};
use crate::tui::state::{Dialog, EVENTS_KEPT, Model, RATES_KEPT, Running, Screen, Tone};

pub(super) fn ticked(model: &mut Model, tick: Tick) -> Vec<Effect> {
    let Tick { now, tasks, pace } = tick;
    let replaying = tasks.iter().filter(|task| task.task.starts_with("replay ") && !task.ended);
    let rate: f64 = replaying.map(|task| task.per_second).sum();
    let writes = matches!(model.running.as_ref().map(|run| run.action), Some(Action::Replay | Action::FinalPass));
    if writes && now.as_second() != model.now.as_second() {
        model.rates.push_back(rate.round() as u64);
        while model.rates.len() > RATES_KEPT {
            model.rates.pop_front();
        }
    }
    (model.now, model.tasks, model.pace) = (now, tasks, pace);
    Vec::new()
}

pub(super) fn session(model: &mut Model, news: SessionNews) -> Vec<Effect> {
    let SessionNews { state, seq, undecided, events, delta_changed } = news;
    (model.state, model.seq, model.undecided) = (state, seq, undecided);
    // Somebody who reads older events keeps the place.
    let at_end = model.line(Screen::Journal) + 1 >= model.events.len();
    model.events.extend(events);
    while model.events.len() > EVENTS_KEPT {
        model.events.pop_front();
    }
    if at_end {
        model.lines.insert(Screen::Journal.word(), model.events.len().saturating_sub(1));
    }
    let mut effects = match model.ending.take() {
        Some(ending) => ended(model, ending),
        None => Vec::new(),
    };
    if delta_changed && matches!(model.screen, Screen::Delta | Screen::Held) {
        effects.extend(browser::ask(model));
    }
    effects
}

pub(super) fn began(model: &mut Model, action: Action) -> Vec<Effect> {
    model.running = Some(Running { action, since: model.now, stopping: false });
    model.notice = None;
    if matches!(action, Action::Replay | Action::FinalPass) {
        model.rates.clear();
    }
    if let Some(screen) = screen_of(action) {
        return super::show(model, screen);
    }
    Vec::new()
}

/// Where an action can be watched.
fn screen_of(action: Action) -> Option<Screen> {
    match action {
        Action::Check | Action::Diff | Action::Plan => Some(Screen::Stores),
        Action::DryRun | Action::Replay | Action::FinalPass | Action::Undo => Some(Screen::Replay),
        Action::Verify | Action::FreezeAndVerify | Action::VerifyUndone => Some(Screen::Verify),
        Action::Cutover | Action::Retreat => Some(Screen::Cutover),
        Action::Checkpoint | Action::Report => None,
    }
}

pub(super) fn ended(model: &mut Model, ended: Ended) -> Vec<Effect> {
    if ended.seq > model.seq {
        model.ending = Some(ended);
        return Vec::new();
    }
    let Ended { action, exit, trouble, seq: _ } = ended;
    model.running = None;
    model.progress = progressed(model, action, exit);
    let (tone, words) = ending(action, exit);
    model.say(tone, words);
    if let Some(trouble) = trouble {
        model.dialog = Some(Dialog::Trouble(trouble));
    }
    if action == Action::Plan && matches!(exit, Exit::Done | Exit::Undecided) {
        return super::show(model, Screen::Plan);
    }
    Vec::new()
}

/// How far this run has come: as a led session counts it.
fn progressed(model: &Model, action: Action, exit: Exit) -> crate::guide::Progress {
    let mut progress = model.progress;
    // A checkpoint is on no course home.
    if action != Action::Checkpoint {
        progress.last = Some((action, exit));
    }
    match action {
        Action::Plan => {
            let plans = model.state.plans.iter().rev().nth(1);
            let before = plans.map(|(_, _, summary)| summary.steps());
            progress.steps_before = before.filter(|_| progress.passes > 0);
        }
        Action::Replay => progress.passes += 1,
        _ => {}
    }
    progress
}

fn ending(action: Action, exit: Exit) -> (Tone, String) {
    let name = action.name();
    match (action, exit) {
        (_, Exit::Done) => (Tone::Good, format!("{name}: done")),
        (Action::Diff | Action::Verify | Action::FreezeAndVerify | Action::VerifyUndone, Exit::Differs) => {
            (Tone::Warning, format!("{name}: the sides differ"))
        }
        (_, Exit::Differs) => {
            (Tone::Warning, format!("{name}: not everything is as planned; the next pass plans the rest"))
        }
        (_, Exit::Undecided) => (Tone::Warning, format!("{name}: a person must decide")),
        (_, Exit::Usage) => (Tone::Bad, format!("{name}: something must be mended first")),
        (_, Exit::Incomplete) => (Tone::Bad, format!("{name}: incomplete, which never counts as parity")),
        (_, Exit::Interrupted) => (Tone::Warning, format!("{name}: stopped; doing it again resumes")),
    }
}
