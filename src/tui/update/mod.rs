//! What a message does to the screen: pure. What must be done beyond it comes back as effects.

mod actions;
mod browser;
mod confirm;
mod dialogs;
mod news;
#[cfg(test)]
mod tests;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

use super::keymap::{Command, command_of};
use super::message::{Effect, Job, Message};
use super::state::{Dialog, Model, Screen, Tone};
use super::view::regions;
use crate::session::PaceChange;

/// Lines that a page moves, at least.
const PAGE_MIN: i64 = 5;

/// Takes a message in, and gives what must be done.
pub fn update(model: &mut Model, message: Message) -> Vec<Effect> {
    match message {
        Message::Key(key) if key.kind != KeyEventKind::Release => pressed(model, key),
        Message::Key(_) => Vec::new(),
        Message::Mouse(mouse) => moused(model, mouse),
        Message::Resize(columns, rows) => {
            model.size = (columns, rows);
            browser::ask(model)
        }
        Message::Tick(tick) => news::ticked(model, tick),
        Message::Session(told) => news::session(model, *told),
        Message::Began(action) => news::began(model, action),
        Message::Ended(ended) => news::ended(model, ended),
        Message::Window(window) => browser::window(model, window),
        Message::Sides { store, key, sides } => browser::sides(model, &store, &key, *sides),
        Message::Said(tone, words) => {
            model.say(tone, words);
            Vec::new()
        }
        Message::Told { title, lines } => {
            model.dialog = Some(Dialog::Told(title, lines));
            Vec::new()
        }
        Message::Narrated(lines) => {
            model.narrator.extend(lines);
            Vec::new()
        }
        Message::Printed(lines) => {
            model.printed = lines;
            Vec::new()
        }
    }
}

fn pressed(model: &mut Model, key: KeyEvent) -> Vec<Effect> {
    // Over a slow line Esc and the next key come together, which reads as Alt with that key; Alt means nothing here.
    if key.modifiers.contains(KeyModifiers::ALT) {
        let mut effects = pressed(model, KeyCode::Esc.into());
        effects.extend(pressed(model, KeyEvent { modifiers: key.modifiers - KeyModifiers::ALT, ..key }));
        return effects;
    }
    if model.dialog.is_some() {
        return dialogs::pressed(model, key);
    }
    command_of(model.screen, key).map_or_else(Vec::new, |command| perform(model, command))
}

/// Does what a key or the palette asks for.
pub(super) fn perform(model: &mut Model, command: Command) -> Vec<Effect> {
    match command {
        Command::Next => actions::next(model),
        Command::Do(action) => actions::ask_for(model, action),
        Command::Stop => actions::stop(model),
        Command::Retreat => actions::retreat(model),
        Command::Quit => actions::quit(model),
        Command::WriteReport(form, disclosure) => vec![Effect::Report(form, disclosure)],
        Command::Adopt => vec![Effect::Adopt],
        Command::Checkpoint => actions::checkpoint(model),
        Command::Rescue => actions::begin(model, Job::Rescue),
        Command::Rescan => actions::begin(model, Job::Rescan),
        Command::Sample => actions::begin(model, Job::Sample),
        Command::Show(screen) => show(model, screen),
        Command::NextScreen => neighbour(model, 1),
        Command::PreviousScreen => neighbour(model, -1),
        Command::Back => back(model),
        Command::Open => open(model),
        Command::Line(lines) => moved(model, lines),
        Command::Page(pages) => moved(model, pages.saturating_mul(page(model))),
        Command::First => moved(model, i64::MIN),
        Command::Last => moved(model, i64::MAX),
        Command::FilterText
        | Command::FilterStore
        | Command::FilterVerdict
        | Command::FilterChange
        | Command::FilterNone
        | Command::Sort
        | Command::SortReverse
        | Command::Mark
        | Command::Decide(_)
        | Command::DecideAll
        | Command::Decisions => browser::perform(model, command),
        Command::Reveal => browser::reveal(model),
        Command::Slower => paced(model, PaceChange::Slower),
        Command::Faster => paced(model, PaceChange::Faster),
        Command::Pause if model.pace.paused => paced(model, PaceChange::Resume),
        Command::Pause => paced(model, PaceChange::Pause),
        Command::Stages => dialog(model, Dialog::Stages),
        Command::Palette => dialog(model, Dialog::Palette(Default::default(), 0)),
        Command::Help => dialog(model, Dialog::Help(0)),
        Command::Mouse => {
            model.mouse = !model.mouse;
            let words = if model.mouse { "the mouse works here now" } else { "the mouse is the terminal's again" };
            model.say(Tone::Plain, words);
            vec![Effect::Mouse(model.mouse)]
        }
    }
}

fn dialog(model: &mut Model, dialog: Dialog) -> Vec<Effect> {
    model.dialog = Some(dialog);
    Vec::new()
}

fn paced(model: &mut Model, change: PaceChange) -> Vec<Effect> {
    if let Some(refused) = actions::refused_to_watcher(model) {
        return refused;
    }
    // Shown at once, and asked about until the next tick tells what is.
    model.pace = model.pace.after(change);
    vec![Effect::Pace(change)]
}

fn show(model: &mut Model, screen: Screen) -> Vec<Effect> {
    let was = model.screen;
    model.screen = screen;
    match screen {
        Screen::Delta | Screen::Held if was != screen => browser::enter(model),
        _ => Vec::new(),
    }
}

fn neighbour(model: &mut Model, by: isize) -> Vec<Effect> {
    let tabs = Screen::TABS;
    let at = tabs.iter().position(|screen| *screen == parent(model)).unwrap_or(0);
    let next = (at as isize + by).rem_euclid(tabs.len() as isize) as usize;
    show(model, tabs[next])
}

/// The numbered screen that a screen belongs to.
pub fn parent(model: &Model) -> Screen {
    match model.screen {
        Screen::Store => Screen::Stores,
        Screen::Item => model.item.as_ref().map_or(Screen::Delta, |item| item.from),
        screen => screen,
    }
}

fn back(model: &mut Model) -> Vec<Effect> {
    model.notice = None;
    match model.screen {
        Screen::Store | Screen::Item => {
            model.screen = parent(model);
            Vec::new()
        }
        Screen::Delta | Screen::Held if browser::is_filtered(model) => browser::perform(model, Command::FilterNone),
        _ => Vec::new(),
    }
}

fn open(model: &mut Model) -> Vec<Effect> {
    match model.screen {
        Screen::Stores => {
            model.lines.insert(Screen::Store.word(), 0);
            show(model, Screen::Store)
        }
        Screen::Delta | Screen::Held => browser::open(model),
        _ => Vec::new(),
    }
}

fn page(model: &Model) -> i64 {
    i64::from(regions::body(model).height).saturating_sub(4).max(PAGE_MIN)
}

/// Moves the selected line, or the first line of a text; the view stops a text at its end.
fn moved(model: &mut Model, by: i64) -> Vec<Effect> {
    match model.screen {
        Screen::Delta | Screen::Held => browser::moved(model, by),
        Screen::Item => {
            if let Some(item) = &mut model.item {
                let line = i64::from(item.scroll).saturating_add(by).clamp(0, i64::from(u16::MAX / 2));
                item.scroll = u16::try_from(line).unwrap_or(0);
            }
            Vec::new()
        }
        screen => {
            let last = lines_of(model, screen).saturating_sub(1) as i64;
            let at = (model.line(screen) as i64).saturating_add(by).clamp(0, last.max(0));
            model.lines.insert(screen.word(), usize::try_from(at).unwrap_or(0));
            Vec::new()
        }
    }
}

/// How many lines a plain list has.
fn lines_of(model: &Model, screen: Screen) -> usize {
    match screen {
        Screen::Stores => model.setting.stores.len(),
        Screen::Journal => model.events.len(),
        screen => super::view::text_lines(model, screen),
    }
}

fn moused(model: &mut Model, mouse: MouseEvent) -> Vec<Effect> {
    if model.dialog.is_some() {
        return Vec::new();
    }
    match mouse.kind {
        MouseEventKind::ScrollUp => moved(model, -3),
        MouseEventKind::ScrollDown => moved(model, 3),
        MouseEventKind::Down(MouseButton::Left) => clicked(model, mouse.column, mouse.row),
        _ => Vec::new(),
    }
}

fn clicked(model: &mut Model, column: u16, row: u16) -> Vec<Effect> {
    if let Some(screen) = regions::tab_at(model, column, row) {
        return show(model, screen);
    }
    let Some(line) = regions::list_line_at(model, row) else { return Vec::new() };
    match model.screen {
        Screen::Delta | Screen::Held => browser::clicked(model, line),
        Screen::Stores => {
            let last = model.setting.stores.len().saturating_sub(1);
            model.lines.insert(Screen::Stores.word(), usize::from(line).min(last));
            Vec::new()
        }
        _ => Vec::new(),
    }
}
