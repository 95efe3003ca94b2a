//! Where things are on the screen: for drawing, and for the mouse.

use ratatui::layout::Rect;

use crate::tui::state::{Model, Screen};

/// Lines above the body: title, stages, next step, tabs.
pub const TOP: u16 = 4;
/// From this height on the narrator has three lines.
const TALL: u16 = 32;

/// Lines that the narrator of a drill has.
pub fn narrator_lines(model: &Model) -> u16 {
    match (model.setting.drill, model.size.1) {
        (false, _) => 0,
        (true, height) if height >= TALL => 3,
        (true, _) => 1,
    }
}

/// The part of the screen between the tabs and the last lines.
pub fn body(model: &Model) -> Rect {
    let (width, height) = model.size;
    let below = 2 + narrator_lines(model);
    Rect::new(0, TOP, width, height.saturating_sub(TOP + below))
}

/// The tab texts with the columns they begin at.
pub fn tabs(model: &Model) -> Vec<(u16, String, Screen)> {
    let mut column = 0;
    let wide = model.size.0 >= 100;
    Screen::TABS
        .into_iter()
        .enumerate()
        .map(|(at, screen)| {
            let text =
                if wide { format!(" {} {} ", at + 1, screen.word()) } else { format!("{} {} ", at + 1, screen.word()) };
            let begins = column;
            column += text.chars().count() as u16;
            (begins, text, screen)
        })
        .collect()
}

/// The tab at a place.
pub fn tab_at(model: &Model, column: u16, row: u16) -> Option<Screen> {
    let tabs = tabs(model);
    let found = tabs.into_iter().rev().find(|(begins, _, _)| *begins <= column);
    found
        .filter(|(begins, text, _)| row == TOP - 1 && column < begins + text.chars().count() as u16)
        .map(|(_, _, screen)| screen)
}

/// The line of a list at a row of the screen, counted from the first one shown.
pub fn list_line_at(model: &Model, row: u16) -> Option<u16> {
    let body = body(model);
    let first = body.y + 1;
    let at = row.checked_sub(first).filter(|_| row < body.bottom())?;
    Some(if model.screen == Screen::Stores { at / 2 } else { at })
}

/// Lines of differences that are shown at a time.
pub fn list_height(model: &Model) -> u16 {
    body(model).height.saturating_sub(2)
}

/// The first line of the list of differences that is shown: the selected one is always within.
pub fn list_top(model: &Model) -> u64 {
    let height = u64::from(list_height(model)).max(1);
    let browser = &model.browser;
    let last_top = browser.total.unwrap_or(0).saturating_sub(height);
    browser.cursor.saturating_sub(height / 2).min(last_top)
}
