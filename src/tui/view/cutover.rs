//! The dial: where customers are, and on their way to.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::text::{event_words, fit, heading, one_line, paragraph};
use crate::cutover::CutoverEvent;
use crate::guide::{Gate, Stage};
use crate::journal::Event;
use crate::model::{Percent, Timestamp};
use crate::report::{Customers, Standing, duration};
use crate::session::Action;
use crate::tui::state::{CutoverSetting, Model};

/// Probes in the curve.
const PROBES_SHOWN: usize = 40;

/// What the steps so far come to.
struct Dial {
    share: Option<Percent>,
    route53: String,
    /// Until when answers from before the last change may be cached.
    cached_until: Option<Timestamp>,
    /// Since when this stage is watched.
    watched_since: Option<Timestamp>,
    probes: Vec<bool>,
    last_probe: Option<String>,
}

fn dial(model: &Model) -> Dial {
    let mut dial = Dial {
        share: None,
        route53: "no change made by this session".into(),
        cached_until: None,
        watched_since: None,
        probes: Vec::new(),
        last_probe: None,
    };
    for (at, share, step) in &model.state.traffic {
        let Ok(event) = serde_json::from_value::<CutoverEvent>(step.clone()) else { continue };
        match event {
            CutoverEvent::ShiftIntended { to, .. } => dial.route53 = format!("asking for {to}"),
            CutoverEvent::Shifted { to, change } => {
                dial.share = Some(to);
                let id = change.map_or("id not known".to_owned(), |change| change.to_string());
                dial.route53 = format!("PENDING, change {id}");
                (dial.cached_until, dial.watched_since) = (None, None);
            }
            CutoverEvent::Insync { ttl_seconds, .. } => {
                dial.route53 = "INSYNC: all DNS servers answer with the new weights".into();
                let seconds = i64::try_from(ttl_seconds).unwrap_or(i64::MAX / 2);
                dial.cached_until = Timestamp::from_second(at.as_second().saturating_add(seconds)).ok();
            }
            CutoverEvent::TtlWaited { .. } => (dial.cached_until, dial.watched_since) = (None, Some(*at)),
            CutoverEvent::Health { ok, detail } => {
                dial.probes.push(ok);
                dial.last_probe = Some(detail);
            }
            CutoverEvent::RetreatIntended { .. } => dial.route53 = "giving everything back to dr".into(),
            CutoverEvent::Retreated { change, .. } => {
                dial.share = share.or(Some(Percent::ZERO));
                let id =
                    change.map_or("nothing had to be changed, or its id is not known".to_owned(), |id| id.to_string());
                dial.route53 = format!("retreated, change {id}");
                (dial.cached_until, dial.watched_since) = (None, None);
            }
            CutoverEvent::Drifted { reason } => dial.route53 = format!("CHANGED BY SOMEBODY ELSE: {reason}"),
            CutoverEvent::Stopped { reason } => dial.route53 = format!("stopped: {reason}"),
            CutoverEvent::Done => dial.watched_since = None,
        }
    }
    dial
}

pub(super) fn lines(model: &Model, width: u16) -> Vec<Line<'static>> {
    let theme = model.theme;
    let Some(setting) = &model.setting.cutover else {
        let words = "The profile has no [cutover]: returning customers is up to you, after a certificate.";
        return paragraph(words, 0, width, theme.warning());
    };
    let dial = dial(model);
    let mut lines = vec![Line::styled(setting.record.clone(), theme.strong())];
    lines.extend(gate(model, width));
    lines.push(bar(model, &dial, width));
    lines.push(stages(model, setting, &dial));
    lines.push(Line::default());
    lines.extend(paragraph(&format!("Route 53  {}", dial.route53), 0, width, Style::new()));
    lines.push(waiting(model, setting, &dial));
    lines.extend(health(model, setting, &dial, width));
    lines.push(Line::default());
    lines.extend(point_of_no_return(model, width));
    lines.extend(steps(model, width));
    lines
}

fn gate(model: &Model, width: u16) -> Vec<Line<'static>> {
    let gate = model.stages().into_iter().find(|(stage, _)| *stage == Stage::Cutover).map(|(_, gate)| gate);
    match gate {
        Some(Gate::Closed(why) | Gate::Person(why)) => {
            paragraph(&format!("{} closed: {why}", model.theme.closed()), 0, width, model.theme.warning())
        }
        _ => Vec::new(),
    }
}

fn bar(model: &Model, dial: &Dial, width: u16) -> Line<'static> {
    let theme = model.theme;
    let Some(share) = dial.share else {
        let words = match Standing::of(&model.state).customers {
            Customers::Unsure(..) => "where customers are is NOT KNOWN: check tells today's weights",
            _ => "this session moved no customers: check tells today's weights",
        };
        return Line::styled(words, theme.dim());
    };
    let share = share.get();
    let room = usize::from(width).saturating_sub(30).min(60);
    Line::from(vec![
        Span::raw(format!("dr {:>3}% ", 100 - share)),
        Span::styled(theme.bar(f64::from(share) / 100.0, room), theme.accent()),
        Span::styled(format!(" primary {share}%"), theme.strong()),
    ])
}

fn stages(model: &Model, setting: &CutoverSetting, dial: &Dial) -> Line<'static> {
    let theme = model.theme;
    let share = dial.share.map_or(0, Percent::get);
    let done = Standing::of(&model.state).cutover_done;
    let mut spans = vec![Span::styled("stages  ", theme.dim())];
    for stage in &setting.stages {
        let (sign, style) = match (*stage == share, *stage < share || done) {
            (_, true) => (theme.done(), theme.good()),
            (true, false) => (theme.here(), theme.accent()),
            (false, false) => (theme.open(), Style::new()),
        };
        spans.push(Span::styled(format!("{sign} {stage}%   "), style));
    }
    Line::from(spans)
}

/// The TTL's or the stage's countdown.
fn waiting(model: &Model, setting: &CutoverSetting, dial: &Dial) -> Line<'static> {
    let theme = model.theme;
    let until = |at: Timestamp| u64::try_from(at.as_second() - model.now.as_second()).unwrap_or(0);
    let cutting =
        model.running.as_ref().is_some_and(|running| running.action == Action::Cutover) || model.setting.watching;
    let words = match (dial.cached_until, dial.watched_since) {
        (Some(at), _) => format!("TTL       old answers leave caches in {}", duration(until(at))),
        (None, Some(since)) if cutting => {
            let watched = u64::try_from(model.now.as_second() - since.as_second()).unwrap_or(0);
            format!("watching  {} of {}", duration(watched.min(setting.hold_seconds)), duration(setting.hold_seconds))
        }
        _ => "TTL       nothing to wait for".into(),
    };
    Line::styled(words, theme.dim())
}

fn health(model: &Model, setting: &CutoverSetting, dial: &Dial, width: u16) -> Vec<Line<'static>> {
    let theme = model.theme;
    let Some(how) = &setting.health else {
        return paragraph("health    NOT judged: the profile has no [cutover] health", 0, width, theme.warning());
    };
    let shown = &dial.probes[dial.probes.len().saturating_sub(PROBES_SHOWN)..];
    let signs: String = shown.iter().map(|ok| if *ok { theme.sign("▇", "+") } else { theme.sign("▁", "x") }).collect();
    let last = match dial.probes.last() {
        None => "not probed yet".to_owned(),
        Some(true) => "healthy".into(),
        Some(false) => format!("NOT HEALTHY: {}", dial.last_probe.clone().unwrap_or_default()),
    };
    let style = if dial.probes.last() == Some(&false) { theme.bad() } else { theme.good() };
    vec![
        Line::from(vec![
            Span::styled("health    ", theme.dim()),
            Span::styled(signs, style),
            Span::styled(format!(" {last}"), style),
        ]),
        Line::styled(
            format!("          {}", fit(how, usize::from(width).saturating_sub(10), theme.sign("…", "~"))),
            theme.dim(),
        ),
    ]
}

fn point_of_no_return(model: &Model, width: u16) -> Vec<Line<'static>> {
    let theme = model.theme;
    let standing = Standing::of(&model.state);
    let words = match standing.customers {
        Customers::Shifted(at, share) if share > Percent::ZERO => format!(
            "PAST THE POINT OF NO RETURN if a customer wrote on the primary since {}: R still gives all traffic to dr, and \
             leaves those writes behind.",
            at.strftime("%H:%M:%SZ")
        ),
        Customers::Retreated(at, _) => format!("Customers went back to dr at {}: a new pass begins with diff.", at.strftime("%H:%M:%SZ")),
        _ => "Point of no return: the first customer's write on the primary. Until then R gives everything back without loss."
            .to_owned(),
    };
    paragraph(&words, 0, width, theme.warning())
}

fn steps(model: &Model, width: u16) -> Vec<Line<'static>> {
    let theme = model.theme;
    if model.state.traffic.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![Line::default(), heading("Steps, the newest first", theme.strong())];
    for (at, share, step) in model.state.traffic.iter().rev() {
        let event = Event::Traffic { share: *share, step: step.clone() };
        let words = format!("  {}  {}", at.strftime("%H:%M:%SZ"), one_line(&event_words(&event).unwrap_or_default()));
        lines.push(Line::raw(fit(&words, usize::from(width), theme.sign("…", "~"))));
    }
    lines
}
