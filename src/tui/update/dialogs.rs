//! Keys while a dialog is open.

use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use tui_input::Input;
use tui_input::backend::crossterm::EventHandler;

use super::{actions, browser, perform};
use crate::session::{Choice, Picked, Rule};
use crate::tui::message::{Effect, Job};
use crate::tui::state::{Confirm, Dialog, Model, Tone};

pub(super) fn pressed(model: &mut Model, key: KeyEvent) -> Vec<Effect> {
    let Some(dialog) = model.dialog.take() else { return Vec::new() };
    // The lever that always works, unless a text is being typed.
    let typing = matches!(dialog, Dialog::Confirm(_) | Dialog::Palette(..) | Dialog::Find(_) | Dialog::Checkpoint(_));
    if key.code == KeyCode::Char('R') && !typing {
        return actions::retreat(model);
    }
    let interrupted = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    if key.code == KeyCode::Esc || interrupted {
        return Vec::new();
    }
    match dialog {
        Dialog::Confirm(confirm) => confirming(model, *confirm, key),
        Dialog::Help(line) => scrolled(model, key, line, Dialog::Help),
        Dialog::Palette(input, at) => palette(model, input, at, key),
        Dialog::Find(input) => find(model, input, key),
        Dialog::Checkpoint(input) => checkpoint(model, input, key),
        Dialog::DecideAll(items) => decide_all(model, items, key),
        Dialog::Decisions(at) => decisions(model, at, key),
        Dialog::Stages | Dialog::Trouble(_) | Dialog::Told(..) => Vec::new(),
    }
}

fn typed(mut input: Input, key: KeyEvent) -> Input {
    input.handle_event(&Event::Key(key));
    input
}

fn confirming(model: &mut Model, mut confirm: Confirm, key: KeyEvent) -> Vec<Effect> {
    if key.code != KeyCode::Enter {
        confirm.input = typed(confirm.input, key);
        model.dialog = Some(Dialog::Confirm(Box::new(confirm)));
        return Vec::new();
    }
    let plain = |text: &str| text.trim().replace([',', '%'], "");
    if plain(confirm.input.value()) == plain(&confirm.wanted) {
        return confirm.then;
    }
    let wrong = format!("`{}` is not {}: nothing was done", confirm.input.value().trim(), confirm.wanted);
    confirm.wrong = Some(wrong);
    confirm.input = Input::default();
    model.dialog = Some(Dialog::Confirm(Box::new(confirm)));
    Vec::new()
}

fn scrolled(model: &mut Model, key: KeyEvent, line: u16, dialog: fn(u16) -> Dialog) -> Vec<Effect> {
    let line = match key.code {
        KeyCode::Down | KeyCode::Char('j') => line.saturating_add(1),
        KeyCode::Up | KeyCode::Char('k') => line.saturating_sub(1),
        KeyCode::PageDown | KeyCode::Char(' ') => line.saturating_add(10),
        KeyCode::PageUp => line.saturating_sub(10),
        KeyCode::Home => 0,
        _ => return Vec::new(),
    };
    model.dialog = Some(dialog(line.min(super::super::view::help_lines_max(model))));
    Vec::new()
}

fn palette(model: &mut Model, input: Input, at: usize, key: KeyEvent) -> Vec<Effect> {
    let offered = model.offered(input.value());
    let last = offered.len().saturating_sub(1);
    let (input, at) = match key.code {
        KeyCode::Enter => {
            return offered.get(at.min(last)).map_or_else(Vec::new, |(command, _)| perform(model, *command));
        }
        KeyCode::Down => (input, (at + 1).min(last)),
        KeyCode::Up => (input, at.saturating_sub(1)),
        _ => (typed(input, key), 0),
    };
    model.dialog = Some(Dialog::Palette(input, at));
    Vec::new()
}

fn find(model: &mut Model, input: Input, key: KeyEvent) -> Vec<Effect> {
    if key.code != KeyCode::Enter {
        model.dialog = Some(Dialog::Find(typed(input, key)));
        return Vec::new();
    }
    model.browser.filter.text = input.value().to_owned();
    (model.browser.cursor, model.browser.first, model.browser.total) = (0, 0, None);
    model.browser.rows.clear();
    browser::ask(model)
}

fn checkpoint(model: &mut Model, input: Input, key: KeyEvent) -> Vec<Effect> {
    let name = input.value().trim().to_owned();
    if key.code != KeyCode::Enter || name.is_empty() {
        model.dialog = Some(Dialog::Checkpoint(typed(input, key)));
        return Vec::new();
    }
    vec![Effect::Begin(Job::Checkpoint(name))]
}

fn decide_all(model: &mut Model, items: u64, key: KeyEvent) -> Vec<Effect> {
    let choice = match key.code {
        KeyCode::Char('d') => Choice::Dr,
        KeyCode::Char('p') => Choice::Primary,
        KeyCode::Char('b') => Choice::Both,
        _ => {
            model.dialog = Some(Dialog::DecideAll(items));
            return Vec::new();
        }
    };
    model.browser.marked.clear();
    let crate::session::Filter { store, verdict, change, fate: _, text } = model.browser.filter.clone();
    let text = (!text.is_empty()).then_some(text);
    vec![Effect::Decide(Picked::Rule(Rule { store, verdict, change, text }), choice)]
}

fn decisions(model: &mut Model, at: usize, key: KeyEvent) -> Vec<Effect> {
    let last = model.state.decisions.len().saturating_sub(1);
    let at = match key.code {
        KeyCode::Down | KeyCode::Char('j') => (at + 1).min(last),
        KeyCode::Up | KeyCode::Char('k') => at.saturating_sub(1),
        KeyCode::Char('t') if !model.setting.watching => return take_back(model, at),
        _ => at,
    };
    model.dialog = Some(Dialog::Decisions(at));
    Vec::new()
}

fn take_back(model: &mut Model, at: usize) -> Vec<Effect> {
    model.dialog = Some(Dialog::Decisions(at));
    if model.running.is_some() {
        model.say(Tone::Warning, "something is under way: a decision can be taken back after it");
        return Vec::new();
    }
    match model.state.decisions.get(at) {
        Some(decision) if decision.taken_back.is_none() => vec![Effect::TakeBack(decision.number)],
        Some(_) => {
            model.say(Tone::Plain, "that decision was taken back already");
            Vec::new()
        }
        None => Vec::new(),
    }
}
