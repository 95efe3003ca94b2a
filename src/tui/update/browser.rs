//! The list of differences: filters, order, marks, decisions. Only the window is here; the rest is in the session's files.

use super::actions::refused_to_watcher;
use crate::model::{Change, StoreId, Verdict};
use crate::session::{BrowseFate, BrowseRow, Choice, Filter, ItemSides, Picked, SortBy};
use crate::tui::keymap::Command;
use crate::tui::message::{Effect, Window};
use crate::tui::state::{Dialog, Model, OpenItem, Screen, Tone};
use crate::tui::view::regions;

/// Lines asked for at a time, in pages.
const PAGES_ASKED: usize = 3;

/// Begins the list of a screen: all differences, or the held items.
pub(super) fn enter(model: &mut Model) -> Vec<Effect> {
    let fate = held_only(model.screen);
    if model.browser.filter.fate != fate {
        model.browser.filter = Filter { fate, ..Filter::default() };
        model.browser.marked.clear();
        return from_the_top(model);
    }
    ask(model)
}

fn held_only(screen: Screen) -> Option<BrowseFate> {
    (screen == Screen::Held).then_some(BrowseFate::Held)
}

/// Whether more is hidden than the screen says by its name.
pub(super) fn is_filtered(model: &Model) -> bool {
    let fate = model.browser.filter.fate;
    model.browser.filter != Filter { fate, ..Filter::default() }
}

/// Asks for the window around the selected line.
pub(super) fn ask(model: &mut Model) -> Vec<Effect> {
    let page = usize::from(regions::body(model).height).max(10);
    let rows = page * PAGES_ASKED;
    let browser = &mut model.browser;
    browser.question += 1;
    let first = browser.cursor.saturating_sub(page as u64);
    let (filter, sort) = (browser.filter.clone(), browser.sort);
    vec![Effect::Ask { question: browser.question, filter, sort, first, rows }]
}

fn from_the_top(model: &mut Model) -> Vec<Effect> {
    let browser = &mut model.browser;
    (browser.cursor, browser.first, browser.total) = (0, 0, None);
    browser.rows.clear();
    ask(model)
}

/// Takes the answer to a question; late ones are left.
pub(super) fn window(model: &mut Model, window: Window) -> Vec<Effect> {
    let browser = &mut model.browser;
    if window.question != browser.question {
        return Vec::new();
    }
    match window.total {
        Ok(total) => {
            browser.total = Some(total);
            browser.trouble = None;
            browser.first = window.first;
            browser.rows = window.rows;
            browser.cursor = browser.cursor.min(total.saturating_sub(1));
        }
        Err(why) => {
            browser.total = Some(0);
            browser.rows.clear();
            browser.trouble = Some(why);
        }
    }
    // Somebody may have gone elsewhere since the question was asked.
    let missed =
        browser.total.is_some_and(|total| total > 0) && browser.selected().is_none() && !browser.rows.is_empty();
    if missed { ask(model) } else { Vec::new() }
}

/// Moves the selected line; asks for more where the window ends.
pub(super) fn moved(model: &mut Model, by: i64) -> Vec<Effect> {
    let page = u64::from(regions::body(model).height).max(10);
    let browser = &mut model.browser;
    let last = browser.total.unwrap_or(0).saturating_sub(1);
    browser.cursor = browser.cursor.saturating_add_signed(by).min(last);
    let end = browser.first + browser.rows.len() as u64;
    let needs = |line: u64| line < browser.first || (line >= end && line <= last);
    let (above, below) = (browser.cursor.saturating_sub(page), (browser.cursor + page).min(last));
    match needs(above) || needs(below) || needs(browser.cursor) {
        true => ask(model),
        false => Vec::new(),
    }
}

pub(super) fn clicked(model: &mut Model, line: u16) -> Vec<Effect> {
    let top = regions::list_top(model);
    let by = (top + u64::from(line)) as i64 - model.browser.cursor as i64;
    moved(model, by)
}

pub(super) fn perform(model: &mut Model, command: Command) -> Vec<Effect> {
    match command {
        Command::FilterText => {
            model.dialog = Some(Dialog::Find(model.browser.filter.text.clone().into()));
            Vec::new()
        }
        Command::FilterStore => {
            let stores: Vec<StoreId> = model.setting.stores.iter().map(|(store, _)| store.clone()).collect();
            model.browser.filter.store = following(&stores, model.browser.filter.store.take());
            from_the_top(model)
        }
        Command::FilterVerdict => {
            let verdicts: Vec<Verdict> = Verdict::ALL.into_iter().filter(|verdict| verdict.is_difference()).collect();
            model.browser.filter.verdict = following(&verdicts, model.browser.filter.verdict);
            from_the_top(model)
        }
        Command::FilterChange => {
            let changes = [Change::Insert, Change::Update, Change::Delete];
            model.browser.filter.change = following(&changes, model.browser.filter.change);
            from_the_top(model)
        }
        Command::FilterNone => {
            let fate = model.browser.filter.fate;
            model.browser.filter = Filter { fate, ..Filter::default() };
            from_the_top(model)
        }
        Command::Sort => {
            let orders = SortBy::ALL;
            let at = orders.iter().position(|by| *by == model.browser.sort.by).unwrap_or(0);
            model.browser.sort.by = orders[(at + 1) % orders.len()];
            from_the_top(model)
        }
        Command::SortReverse => {
            model.browser.sort.descending = !model.browser.sort.descending;
            from_the_top(model)
        }
        Command::Mark => mark(model),
        Command::Decide(choice) => decide(model, choice),
        Command::DecideAll => decide_all(model),
        Command::Decisions => {
            model.dialog = Some(Dialog::Decisions(model.state.decisions.len().saturating_sub(1)));
            Vec::new()
        }
        _ => Vec::new(),
    }
}

/// The one after, or none after the last.
fn following<T: Clone + PartialEq>(all: &[T], now: Option<T>) -> Option<T> {
    match now {
        None => all.first().cloned(),
        Some(now) => all.iter().skip_while(|one| **one != now).nth(1).cloned(),
    }
}

fn name_of(row: &BrowseRow) -> (StoreId, String) {
    (row.store.clone(), row.key_json.clone())
}

fn mark(model: &mut Model) -> Vec<Effect> {
    let Some(row) = model.browser.selected() else { return Vec::new() };
    let name = name_of(row);
    if !model.browser.marked.remove(&name) {
        model.browser.marked.insert(name);
    }
    moved(model, 1)
}

/// Decides on the marked items, or on the selected one, or on the one that is open.
fn decide(model: &mut Model, choice: Choice) -> Vec<Effect> {
    if let Some(refused) = refused_to_watcher(model) {
        return refused;
    }
    let picked: Vec<(StoreId, String)> = match (model.screen, &model.item) {
        (Screen::Item, Some(item)) => vec![name_of(&item.row)],
        _ if !model.browser.marked.is_empty() => model.browser.marked.iter().cloned().collect(),
        _ => model.browser.selected().map(name_of).into_iter().collect(),
    };
    if picked.is_empty() {
        model.say(Tone::Plain, "no item is selected");
        return Vec::new();
    }
    model.browser.marked.clear();
    vec![Effect::Decide(Picked::Items(picked), choice)]
}

fn decide_all(model: &mut Model) -> Vec<Effect> {
    if let Some(refused) = refused_to_watcher(model) {
        return refused;
    }
    if model.screen != Screen::Held {
        model.say(Tone::Plain, "held items are decided on screen 3");
        return Vec::new();
    }
    match model.browser.total {
        Some(total) if total > 0 => model.dialog = Some(Dialog::DecideAll(total)),
        _ => model.say(Tone::Plain, "nothing is held here"),
    }
    Vec::new()
}

/// Opens the selected item.
pub(super) fn open(model: &mut Model) -> Vec<Effect> {
    let Some(row) = model.browser.selected().cloned() else { return Vec::new() };
    let from = model.screen;
    model.item = Some(OpenItem { row: row.clone(), sides: None, revealed: false, scroll: 0, from });
    model.screen = Screen::Item;
    vec![Effect::Look(Box::new(row))]
}

/// Takes an item's contents.
pub(super) fn sides(model: &mut Model, store: &StoreId, key: &str, sides: Result<ItemSides, String>) -> Vec<Effect> {
    if let Some(item) = &mut model.item
        && item.row.store == *store
        && item.row.key_json == key
    {
        item.sides = Some(sides);
    }
    Vec::new()
}

pub(super) fn reveal(model: &mut Model) -> Vec<Effect> {
    if let Some(item) = &mut model.item {
        item.revealed = !item.revealed;
    }
    Vec::new()
}
