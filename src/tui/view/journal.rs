//! All that happened, newest last.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

use super::text::{fit, one_line};
use crate::tui::state::{EVENTS_KEPT, Model, Screen};

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let theme = model.theme;
    let height = usize::from(area.height.saturating_sub(1)).max(1);
    let at = model.line(Screen::Journal);
    let first = (at + 1).saturating_sub(height).min(model.events.len().saturating_sub(height));
    let mut lines: Vec<Line<'static>> = Vec::new();
    for (index, (when, words)) in model.events.iter().enumerate().skip(first).take(height) {
        let text = format!("{}  {}", when.strftime("%m-%d %H:%M:%SZ"), one_line(words));
        let line = Line::raw(fit(&text, usize::from(area.width), theme.sign("…", "~")));
        lines.push(if index == at { line.style(theme.selected()) } else { line });
    }
    if lines.is_empty() {
        lines.push(Line::styled("nothing has happened yet", theme.dim()));
    }
    frame.render_widget(Paragraph::new(lines), Rect { height: area.height - 1, ..area });
    let foot =
        format!("the last {EVENTS_KEPT} events, single writes left out; all of them are in {}", model.setting.folder);
    let last = Rect { y: area.bottom() - 1, height: 1, ..area };
    frame.render_widget(
        Paragraph::new(Line::styled(fit(&foot, usize::from(area.width), theme.sign("…", "~")), theme.dim())),
        last,
    );
}
