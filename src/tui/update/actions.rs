//! Beginning and ending what changes anything.

use super::confirm;
use crate::guide::{Next, ReportForm};
use crate::model::Percent;
use crate::report::{Customers, Disclosure, Standing};
use crate::session::Action;
use crate::tui::message::{Effect, Job};
use crate::tui::state::{Dialog, Model, Screen, Tone};

/// The next safe action.
pub(super) fn next(model: &mut Model) -> Vec<Effect> {
    if let Some(running) = &model.running {
        let words = format!("{} is under way: x stops it", running.action.name());
        model.say(Tone::Plain, words);
        return Vec::new();
    }
    let advice = model.advice();
    match advice.next {
        Next::Do(action) => ask_for(model, action),
        Next::Decide => {
            model.say(Tone::Warning, "decide about the held items: d dr, p primary, b both, a all of them; then n");
            super::show(model, Screen::Held)
        }
        Next::Nothing => {
            model.say(Tone::Plain, advice.why);
            Vec::new()
        }
    }
}

/// An action: at once where it changes nothing, else after a confirmation.
pub(super) fn ask_for(model: &mut Model, action: Action) -> Vec<Effect> {
    if let Some(refused) = refused_to_watcher(model) {
        return refused;
    }
    match action {
        Action::Report => return vec![Effect::Report(ReportForm::Html, Disclosure::default())],
        Action::Retreat => return retreat(model),
        _ => {}
    }
    if let Some(running) = &model.running {
        let words = format!("{} is under way: x stops it, then this can begin", running.action.name());
        model.say(Tone::Warning, words);
        return Vec::new();
    }
    match confirm::of(model, action) {
        Ok(Some(confirm)) => {
            model.dialog = Some(Dialog::Confirm(Box::new(confirm)));
            Vec::new()
        }
        Ok(None) => vec![Effect::Run(action)],
        Err(why) => {
            model.say(Tone::Warning, format!("{} cannot begin: {why}", action.name()));
            Vec::new()
        }
    }
}

/// Asks for the name of a checkpoint.
pub(super) fn checkpoint(model: &mut Model) -> Vec<Effect> {
    if let Some(refused) = refused_for_now(model) {
        return refused;
    }
    model.dialog = Some(Dialog::Checkpoint(Default::default()));
    Vec::new()
}

/// Begins work that writes neither side.
pub(super) fn begin(model: &mut Model, job: Job) -> Vec<Effect> {
    refused_for_now(model).unwrap_or_else(|| vec![Effect::Begin(job)])
}

/// Why nothing can begin now, said to the operator: somebody else has the wheel, or something is under way.
fn refused_for_now(model: &mut Model) -> Option<Vec<Effect>> {
    if let Some(refused) = refused_to_watcher(model) {
        return Some(refused);
    }
    let running = model.running.as_ref()?;
    let words = format!("{} is under way: x stops it, then this can begin", running.action.name());
    model.say(Tone::Warning, words);
    Some(Vec::new())
}

/// Ends what is running.
pub(super) fn stop(model: &mut Model) -> Vec<Effect> {
    if let Some(refused) = refused_to_watcher(model) {
        return refused;
    }
    match &mut model.running {
        None => {
            model.say(Tone::Plain, "nothing is under way; q leaves");
            Vec::new()
        }
        Some(running) => {
            running.stopping = true;
            let words = format!("{} is being stopped: nothing is lost, doing it again resumes", running.action.name());
            model.say(Tone::Warning, words);
            vec![Effect::Stop]
        }
    }
}

/// All traffic back to dr: at once while customers are on their way, after a confirmation once they are home.
pub(super) fn retreat(model: &mut Model) -> Vec<Effect> {
    if let Some(refused) = refused_to_watcher(model) {
        return refused;
    }
    if !model.setting.means.cutover {
        model.say(Tone::Warning, "the profile has no [cutover]: this session cannot move customers");
        return Vec::new();
    }
    let under_way = model.running.as_ref().is_some_and(|running| running.action == Action::Cutover);
    let standing = Standing::of(&model.state);
    let on_the_way = match standing.customers {
        Customers::Shifted(_, share) => share > Percent::ZERO && !standing.cutover_done,
        Customers::Unsure(..) => true,
        Customers::Untouched | Customers::Retreated(..) => false,
    };
    if under_way || on_the_way {
        model.screen = Screen::Cutover;
        model.say(Tone::Warning, "RETREAT: giving all traffic back to dr");
        return vec![Effect::Retreat];
    }
    model.dialog = Some(Dialog::Confirm(Box::new(confirm::retreat(&standing))));
    Vec::new()
}

/// Leaves; what is running is asked about first.
pub(super) fn quit(model: &mut Model) -> Vec<Effect> {
    match (&model.running, model.setting.watching) {
        (Some(running), false) => {
            let confirm = confirm::leave(running.action);
            model.dialog = Some(Dialog::Confirm(Box::new(confirm)));
            Vec::new()
        }
        _ => {
            model.leaving = true;
            vec![Effect::Leave]
        }
    }
}

/// A second person only looks on.
pub(super) fn refused_to_watcher(model: &mut Model) -> Option<Vec<Effect>> {
    model.setting.watching.then(|| {
        model.say(Tone::Warning, "you are looking on: only the person at the wheel can do this");
        Vec::new()
    })
}
