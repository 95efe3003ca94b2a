//! What lies over the screen.

use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Clear, Paragraph};
use tui_input::Input;

use super::text::{fit, one_line, paragraph};
use crate::guide::Gate;
use crate::report::{count, number, time};
use crate::tui::keymap::{BINDINGS, Scope};
use crate::tui::state::{Confirm, Dialog, Model};

/// The widest dialog, in columns.
const WIDEST: u16 = 96;

pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, dialog: &Dialog) {
    match dialog {
        Dialog::Confirm(confirm) => confirming(frame, model, confirm),
        Dialog::Stages => stages(frame, model),
        Dialog::Help(line) => help(frame, model, *line),
        Dialog::Palette(input, at) => palette(frame, model, input, *at),
        Dialog::Find(input) => find(frame, model, input),
        Dialog::Checkpoint(input) => checkpoint(frame, model, input),
        Dialog::DecideAll(items) => decide_all(frame, model, *items),
        Dialog::Decisions(at) => decisions(frame, model, *at),
        Dialog::Trouble(trouble) => {
            let title = format!("{} did not come to its end (Esc closes)", trouble.action.name());
            told(frame, model, (&title, &trouble.lines), model.theme.bad());
        }
        Dialog::Told(title, lines) => {
            told(frame, model, (&format!("{title} (Esc closes)"), lines), model.theme.accent());
        }
    }
}

fn width(model: &Model) -> u16 {
    model.size.0.saturating_sub(4).min(WIDEST)
}

/// A box in the middle; gives the room within.
fn window(frame: &mut Frame<'_>, model: &Model, title: &str, height: u16, style: Style) -> Rect {
    let width = width(model);
    let height = (height + 2).min(model.size.1.saturating_sub(2));
    let area = Rect::new((model.size.0 - width) / 2, (model.size.1 - height) / 2, width, height);
    let border = if model.theme.unicode { BorderType::Rounded } else { BorderType::Plain };
    let mut block = Block::bordered().border_type(border).border_style(style).title(format!(" {title} "));
    if !model.theme.unicode {
        block = block.border_set(ASCII);
    }
    frame.render_widget(Clear, area);
    frame.render_widget(&block, area);
    block.inner(area)
}

const ASCII: ratatui::symbols::border::Set<'static> = ratatui::symbols::border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

fn inner_width(model: &Model) -> u16 {
    width(model).saturating_sub(2)
}

/// A line to type into, with the cursor at its place.
fn typing(frame: &mut Frame<'_>, row: Rect, lead: &str, input: &Input) {
    let room = row.width.saturating_sub(lead.chars().count() as u16 + 1);
    let scroll = input.visual_scroll(usize::from(room));
    let shown: String = input.value().chars().skip(scroll).take(usize::from(room)).collect();
    frame.render_widget(Paragraph::new(format!("{lead}{shown}")), row);
    let column = row.x + lead.chars().count() as u16 + input.visual_cursor().saturating_sub(scroll) as u16;
    frame.set_cursor_position(Position::new(column.min(row.right().saturating_sub(1)), row.y));
}

fn confirming(frame: &mut Frame<'_>, model: &Model, confirm: &Confirm) {
    let theme = model.theme;
    let mut lines: Vec<Line<'static>> =
        confirm.lines.iter().flat_map(|line| paragraph(line, 0, inner_width(model), Style::new())).collect();
    lines.push(Line::default());
    lines.extend(confirm.wrong.iter().flat_map(|wrong| paragraph(wrong, 0, inner_width(model), theme.bad())));
    lines.extend(paragraph(
        &format!("Type {} {}, then Enter. Esc: nothing is done.", confirm.wanted, confirm.purpose),
        0,
        inner_width(model),
        theme.warning(),
    ));
    let inner = window(frame, model, &confirm.title, lines.len() as u16 + 1, theme.warning());
    // The line to type into is always there, whatever has no room.
    let text = Rect { height: inner.height.saturating_sub(1), ..inner };
    frame.render_widget(Paragraph::new(lines), text);
    typing(frame, Rect { y: inner.bottom().saturating_sub(1), height: 1, ..inner }, "> ", &confirm.input);
}

fn stages(frame: &mut Frame<'_>, model: &Model) {
    let theme = model.theme;
    let mut lines: Vec<Line<'static>> = Vec::new();
    for (stage, gate) in model.stages() {
        let (sign, why, style) = match gate {
            Gate::Done => (theme.done(), "behind".to_owned(), theme.good()),
            Gate::Open => (theme.open(), "open".to_owned(), Style::new()),
            Gate::Person(why) => (theme.person(), why, theme.warning()),
            Gate::Closed(why) => (theme.closed(), format!("closed: {why}"), theme.dim()),
        };
        lines.extend(paragraph(&format!("{sign} {:<9} {why}", stage.word()), 0, inner_width(model), style));
    }
    let inner = window(frame, model, "Stages (Esc closes)", lines.len() as u16, theme.accent());
    frame.render_widget(Paragraph::new(lines), inner);
}

fn help_lines(model: &Model) -> Vec<Line<'static>> {
    let theme = model.theme;
    let mut lines = vec![
        Line::raw("failback brings the primary up to what dr did, proves it, and returns the customers."),
        Line::raw("Everything here is a command too: failback --help. Stopping or losing the line loses nothing."),
    ];
    let scopes = [
        (Scope::All, "Everywhere"),
        (Scope::Lists, "In lists and texts"),
        (Scope::Browser, "Among differences (2) and held items (3)"),
        (Scope::Items, "Deciding"),
        (Scope::Item, "With one item"),
        (Scope::Replay, "While replaying (5)"),
    ];
    for (scope, title) in scopes {
        lines.push(Line::styled(title, theme.strong()));
        for binding in BINDINGS.iter().filter(|binding| binding.scope == scope) {
            let keys = binding.keys.iter().map(|key| key.name()).collect::<Vec<_>>().join(" ");
            lines.extend(paragraph(&format!("{:<15} {}", keys, binding.words), 2, inner_width(model), Style::new()));
        }
    }
    lines
}

pub(super) fn help_lines_max(model: &Model) -> u16 {
    (help_lines(model).len() as u16).saturating_sub(model.size.1.saturating_sub(4))
}

fn help(frame: &mut Frame<'_>, model: &Model, line: u16) {
    let lines = help_lines(model);
    let title = "Keys (Down for more, Esc closes)";
    let inner = window(frame, model, title, lines.len() as u16, model.theme.accent());
    frame.render_widget(Paragraph::new(lines).scroll((line, 0)), inner);
}

fn palette(frame: &mut Frame<'_>, model: &Model, input: &Input, at: usize) {
    let theme = model.theme;
    let offered = model.offered(input.value());
    let rows = model.size.1.saturating_sub(8).clamp(4, 16);
    let inner = window(frame, model, "Commands (type to find, Enter does it)", rows + 1, theme.accent());
    let list = Rect { y: inner.y + 1, height: inner.height.saturating_sub(1), ..inner };
    let first = (at + 1).saturating_sub(usize::from(list.height));
    let lines: Vec<Line<'static>> = offered
        .iter()
        .enumerate()
        .skip(first)
        .take(usize::from(list.height))
        .map(|(index, (_, words))| {
            let line = Line::raw(fit(words, usize::from(list.width), theme.sign("…", "~")));
            if index == at { line.style(theme.selected()) } else { line }
        })
        .collect();
    frame.render_widget(Paragraph::new(lines), list);
    typing(frame, Rect { height: 1, ..inner }, ": ", input);
}

fn find(frame: &mut Frame<'_>, model: &Model, input: &Input) {
    let inner = window(frame, model, "Only keys that contain (Enter, Esc)", 1, model.theme.accent());
    typing(frame, inner, "/ ", input);
}

fn checkpoint(frame: &mut Frame<'_>, model: &Model, input: &Input) {
    let words = "Both sides are read; while they are in step, what they hold is kept under this name, as the base of a \
                 later failback. Nothing is written to them. Enter begins, Esc leaves it.";
    let lines = paragraph(words, 0, inner_width(model), Style::new());
    let inner = window(frame, model, "Name of the checkpoint", lines.len() as u16 + 1, model.theme.accent());
    frame.render_widget(Paragraph::new(lines), Rect { height: inner.height.saturating_sub(1), ..inner });
    typing(frame, Rect { y: inner.bottom().saturating_sub(1), height: 1, ..inner }, "> ", input);
}

fn decide_all(frame: &mut Frame<'_>, model: &Model, items: u64) {
    let theme = model.theme;
    let lines = vec![
        Line::raw(format!("{} are shown by this filter. Undecided ones are decided:", count(items, "held item"))),
        Line::default(),
        Line::from(vec![Span::styled("d ", theme.strong()), Span::raw("dr's contents go to the primary")]),
        Line::from(vec![
            Span::styled("p ", theme.strong()),
            Span::raw("the primary's contents stay, accepted differences"),
        ]),
        Line::from(vec![
            Span::styled("b ", theme.strong()),
            Span::raw("dr's go to the primary, both are kept in a file"),
        ]),
        Line::default(),
        Line::styled("Nothing is written yet: the next plan shows it. t takes decisions back. Esc: none.", theme.dim()),
    ];
    let inner = window(frame, model, "Decide about all of them", lines.len() as u16, theme.warning());
    frame.render_widget(Paragraph::new(lines), inner);
}

fn decisions(frame: &mut Frame<'_>, model: &Model, at: usize) {
    let theme = model.theme;
    let room = usize::from(model.size.1.saturating_sub(8)).max(3);
    let all = &model.state.decisions;
    let inner_width = usize::from(inner_width(model));
    let first = (at + 1).saturating_sub(room);
    let mut lines: Vec<Line<'static>> = Vec::new();
    for (index, decision) in all.iter().enumerate().skip(first).take(room) {
        let taken = match &decision.taken_back {
            Some((_, by)) => format!("  TAKEN BACK by {by}"),
            None => String::new(),
        };
        let text = format!(
            "{:>3} {} {:<8} {} ({}) by {}{taken}",
            decision.number,
            time(decision.at),
            decision.choice,
            one_line(&decision.scope),
            number(decision.items),
            decision.by
        );
        let line = Line::raw(fit(&text, inner_width, theme.sign("…", "~")));
        lines.push(if index == at { line.style(theme.selected()) } else { line });
    }
    if lines.is_empty() {
        lines.push(Line::styled("nothing was decided yet", theme.dim()));
    }
    let title = "Decisions (t takes one back, Esc closes)";
    let inner = window(frame, model, title, lines.len() as u16, theme.accent());
    frame.render_widget(Paragraph::new(lines), inner);
}

fn told(frame: &mut Frame<'_>, model: &Model, (title, lines): (&str, &[String]), style: Style) {
    let lines: Vec<Line<'static>> =
        lines.iter().flat_map(|line| paragraph(&one_line(line), 0, inner_width(model), Style::new())).collect();
    let inner = window(frame, model, title, lines.len() as u16, style);
    frame.render_widget(Paragraph::new(lines), inner);
}
