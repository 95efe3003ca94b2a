//! What is on every screen: the title, the stages, the next step, the tabs, the last lines.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::regions;
use super::text::fit;
use crate::guide::{Gate, Next, Stage};
use crate::report::duration;
use crate::session::Action;
use crate::tui::keymap::{BINDINGS, Command, Scope, scopes};
use crate::tui::state::{Model, Screen, Tone};
use crate::tui::update::parent;

/// From this width on stages stand apart.
const WIDE: u16 = 100;

pub(super) fn draw(frame: &mut Frame<'_>, model: &Model) {
    let area = frame.area();
    let row = |y: u16| Rect::new(0, y, area.width, 1);
    frame.render_widget(Paragraph::new(title(model)), row(0));
    frame.render_widget(Paragraph::new(stepper(model)), row(1));
    frame.render_widget(Paragraph::new(next(model)), row(2));
    frame.render_widget(Paragraph::new(tabs(model)), row(3));
    let below = regions::body(model).bottom();
    let narrator = regions::narrator_lines(model);
    if narrator > 0 {
        let told = Rect::new(0, below, area.width, narrator);
        frame.render_widget(Paragraph::new(narrated(model, usize::from(narrator))), told);
    }
    frame.render_widget(Paragraph::new(notice(model)), row(area.height - 2));
    frame.render_widget(Paragraph::new(keys(model)), row(area.height - 1));
}

fn title(model: &Model) -> Line<'static> {
    let setting = &model.setting;
    let theme = model.theme;
    let clock = model.now.strftime("%H:%M:%SZ").to_string();
    let mode = match (setting.watching, setting.drill) {
        (true, _) => " LOOKING ON, read-only",
        (false, true) => " DRILL",
        (false, false) => "",
    };
    let left = format!(
        "failback {}  dr {} {} primary {}{mode}",
        setting.profile,
        setting.dr_region,
        theme.towards(),
        setting.primary_region
    );
    let since = setting.disaster_at.map(|at| format!("T0+{}", duration(elapsed(model, at)))).unwrap_or_default();
    let right = format!("{since}  {clock}");
    let room = usize::from(model.size.0).saturating_sub(right.chars().count() + 1);
    Line::styled(format!("{} {right}", fit(&left, room, theme.sign("…", "~"))), theme.selected())
}

fn elapsed(model: &Model, at: crate::model::Timestamp) -> u64 {
    u64::try_from(model.now.as_second() - at.as_second()).unwrap_or(0)
}

/// The stage that an action belongs to.
fn stage_of(model: &Model, action: Action) -> Stage {
    let passes = model.state.replays.len();
    match action {
        Action::Check => Stage::Check,
        Action::Checkpoint | Action::Diff | Action::Report => Stage::Diff,
        Action::Plan if passes > 0 => Stage::CatchUp,
        Action::Plan => Stage::Plan,
        Action::Replay if passes > 0 => Stage::CatchUp,
        Action::DryRun | Action::Replay | Action::Undo => Stage::Replay,
        Action::FinalPass => Stage::Freeze,
        Action::Verify if crate::report::Standing::of(&model.state).cutover_done => Stage::Soak,
        Action::Verify | Action::FreezeAndVerify | Action::VerifyUndone => Stage::Verify,
        Action::Cutover | Action::Retreat => Stage::Cutover,
    }
}

/// Where we are: the stage that is under way, or the one that is next.
fn here(model: &Model) -> Option<Stage> {
    if let Some(running) = &model.running {
        return Some(stage_of(model, running.action));
    }
    match model.advice().next {
        Next::Do(action) => Some(stage_of(model, action)),
        Next::Decide => Some(Stage::Plan),
        Next::Nothing => None,
    }
}

fn stepper(model: &Model) -> Line<'static> {
    let theme = model.theme;
    let here = here(model);
    let wide = model.size.0 >= WIDE;
    let mut spans = Vec::new();
    for (stage, gate) in model.stages() {
        let is_here = here == Some(stage);
        let (sign, style) = match gate {
            Gate::Person(_) => (theme.person(), theme.warning()),
            _ if is_here => (theme.here(), theme.accent().patch(theme.strong())),
            Gate::Done => (theme.done(), theme.good()),
            Gate::Open => (theme.open(), Style::new()),
            Gate::Closed(_) => (theme.closed(), theme.dim()),
        };
        if !spans.is_empty() {
            let between = if wide { format!(" {} ", theme.then()) } else { " ".to_owned() };
            spans.push(Span::styled(between, theme.dim()));
        }
        let style = if is_here { style.patch(theme.selected()) } else { style };
        spans.push(Span::styled(format!("{sign}{}", stage.word()), style));
    }
    Line::from(spans)
}

/// What is under way, or the next safe action with its key.
fn next(model: &Model) -> Line<'static> {
    let theme = model.theme;
    let ellipsis = theme.sign("…", "~");
    let width = usize::from(model.size.0);
    if let Some(running) = &model.running {
        let word = if running.stopping { "stopping" } else { "under way" };
        let retreat = if model.setting.means.cutover { ", [R] retreats" } else { "" };
        let since = duration(elapsed(model, running.since));
        let text = format!("{word}: {} for {since}   [x] stops it{retreat}", running.action.name());
        return Line::styled(fit(&text, width, ellipsis), theme.accent());
    }
    if let Some((command, since)) = model.under_way_there() {
        let text = format!("under way there: {command} for {}", duration(elapsed(model, since)));
        return Line::styled(fit(&text, width, ellipsis), theme.accent());
    }
    let advice = model.advice();
    let (lead, style) = match advice.next {
        Next::Do(action) => (format!("[n] next: {}", action.name()), theme.accent().patch(theme.strong())),
        Next::Decide => ("[n] next: decide".to_owned(), theme.warning()),
        Next::Nothing => ("done".to_owned(), theme.good().patch(theme.strong())),
    };
    let lead = if model.setting.watching { lead.replace("[n] next", "next there") } else { lead };
    let room = width.saturating_sub(lead.chars().count() + 3);
    Line::from(vec![
        Span::styled(lead, style),
        Span::styled(format!(" {} {}", theme.sign("—", "-"), fit(&advice.why, room, ellipsis)), theme.dim()),
    ])
}

fn tabs(model: &Model) -> Line<'static> {
    let theme = model.theme;
    let at = parent(model);
    let spans = regions::tabs(model).into_iter().map(|(_, text, screen)| {
        let style = if screen == at { theme.selected() } else { Style::new() };
        let alarm = screen == Screen::Held && model.undecided > 0;
        Span::styled(text, if alarm && screen != at { theme.warning() } else { style })
    });
    Line::from(spans.collect::<Vec<_>>())
}

fn narrated(model: &Model, lines: usize) -> Vec<Line<'static>> {
    let theme = model.theme;
    let from = model.narrator.len().saturating_sub(lines);
    let width = usize::from(model.size.0).saturating_sub(3);
    let line = |text: &String| {
        Line::from(vec![
            Span::styled(theme.sign("❯ ", "> "), theme.accent()),
            Span::styled(fit(text, width, theme.sign("…", "~")), theme.accent()),
        ])
    };
    model.narrator[from..].iter().map(line).collect()
}

fn notice(model: &Model) -> Line<'static> {
    let theme = model.theme;
    let Some(notice) = &model.notice else { return Line::default() };
    let sign = match notice.tone {
        Tone::Good => theme.done(),
        Tone::Plain => theme.sign("·", "-"),
        Tone::Warning => theme.person(),
        Tone::Bad => theme.failed(),
    };
    let room = usize::from(model.size.0).saturating_sub(2);
    Line::styled(format!("{sign} {}", fit(&notice.words, room, theme.sign("…", "~"))), theme.tone(notice.tone))
}

/// The keys that matter here, as many as there is room for.
fn keys(model: &Model) -> Line<'static> {
    let theme = model.theme;
    let here = scopes(model.screen);
    let narrow_first = here.iter().rev();
    let mut spans: Vec<Span<'static>> = Vec::new();
    let mut used = 0;
    let always = [Command::Help, Command::Quit];
    let wanted = narrow_first
        .flat_map(|scope| BINDINGS.iter().filter(move |binding| binding.scope == *scope))
        .filter(|binding| !binding.short.is_empty() && shows(model, binding.command, binding.scope));
    let last: Vec<_> = BINDINGS.iter().filter(|binding| always.contains(&binding.command)).collect();
    let reserve: usize = last.iter().map(|binding| label(binding).chars().count()).sum();
    for binding in wanted.filter(|binding| !always.contains(&binding.command)).chain(last.iter().copied()) {
        let text = label(binding);
        let room =
            usize::from(model.size.0).saturating_sub(if always.contains(&binding.command) { 0 } else { reserve });
        if used + text.chars().count() > room {
            continue;
        }
        used += text.chars().count();
        let (key, word) = text.split_once(' ').unwrap_or((&text, ""));
        spans.push(Span::styled(key.to_owned(), theme.strong()));
        spans.push(Span::styled(format!(" {word}"), theme.dim()));
    }
    Line::from(spans)
}

fn label(binding: &crate::tui::keymap::Binding) -> String {
    let key = binding.keys.first().map(|key| key.name()).unwrap_or_default();
    format!("{key} {}  ", binding.short)
}

/// Whether a key can do something now.
fn shows(model: &Model, command: Command, scope: Scope) -> bool {
    let moves = model.setting.means.cutover && !model.state.traffic.is_empty();
    let cutting = model.running.as_ref().is_some_and(|running| running.action == Action::Cutover);
    match command {
        Command::Next => model.running.is_none() && !model.setting.watching,
        Command::Stop => model.running.is_some() && !model.setting.watching,
        Command::Retreat => (moves || cutting) && !model.setting.watching,
        Command::Open => matches!(model.screen, Screen::Stores | Screen::Delta | Screen::Held),
        Command::DecideAll => model.screen == Screen::Held && !model.setting.watching,
        Command::Decide(_) | Command::Mark => {
            scope != Scope::All && !model.setting.watching && model.screen != Screen::Delta
        }
        _ => true,
    }
}
