//! Draws the screen from the model: pure.

mod browser;
mod cutover;
mod dialogs;
mod frame;
mod item;
mod journal;
mod plan;
pub mod regions;
mod replay;
mod stores;
#[cfg(test)]
pub(super) mod tests;
mod text;
mod verify;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

use super::state::{Model, Screen};

pub use text::event_words;

/// The smallest terminal that shows everything; below it a line says so.
pub const SMALLEST: (u16, u16) = (60, 16);

/// Draws everything.
pub fn draw(frame: &mut Frame<'_>, model: &Model) {
    let area = frame.area();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        let words = format!("{}x{} is too small: at least {}x{}", area.width, area.height, SMALLEST.0, SMALLEST.1);
        frame.render_widget(Paragraph::new(words), area);
        return;
    }
    frame::draw(frame, model);
    let body = regions::body(model);
    match model.screen {
        Screen::Stores => stores::draw(frame, body, model),
        Screen::Delta | Screen::Held => browser::draw(frame, body, model),
        Screen::Item => item::draw(frame, body, model),
        Screen::Journal => journal::draw(frame, body, model),
        screen => page(frame, body, model, lines(model, screen, body.width)),
    }
    if let Some(dialog) = &model.dialog {
        dialogs::draw(frame, model, dialog);
    }
}

/// The lines of a screen that is a text.
fn lines(model: &Model, screen: Screen, width: u16) -> Vec<Line<'static>> {
    match screen {
        Screen::Store => stores::details(model, width),
        Screen::Plan => plan::lines(model, width),
        Screen::Replay => replay::lines(model, width),
        Screen::Verify => verify::lines(model, width),
        Screen::Cutover => cutover::lines(model, width),
        Screen::Stores | Screen::Delta | Screen::Held | Screen::Item | Screen::Journal => Vec::new(),
    }
}

/// The last line that a text can begin with, plus one.
pub fn text_lines(model: &Model, screen: Screen) -> usize {
    let body = regions::body(model);
    let lines = lines(model, screen, body.width).len();
    (lines + 1).saturating_sub(usize::from(body.height))
}

/// The last line that the help can begin with.
pub fn help_lines_max(model: &Model) -> u16 {
    dialogs::help_lines_max(model)
}

/// A text, from its first shown line on; says where there is more.
fn page(frame: &mut Frame<'_>, area: Rect, model: &Model, lines: Vec<Line<'static>>) {
    let height = usize::from(area.height);
    let first = model.line(model.screen).min(lines.len().saturating_sub(height));
    let more = lines.len().saturating_sub(first + height);
    let mut shown: Vec<Line<'static>> = lines.into_iter().skip(first).take(height).collect();
    if more > 0 && height > 1 {
        shown.truncate(height - 1);
        shown.push(Line::styled(
            format!("{} {} more lines (Down)", model.theme.sign("↓", "v"), more + 1),
            model.theme.dim(),
        ));
    }
    frame.render_widget(Paragraph::new(shown), area);
}
