//! Freeze, verification and certificate.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::stores::task_words;
use super::text::{fit, heading, one_line, paragraph};
use crate::report::{Proof, Standing, count, duration, number, time};
use crate::session::StoreVerification;
use crate::tui::state::Model;
use crate::verify::FenceKind;

pub(super) fn lines(model: &Model, width: u16) -> Vec<Line<'static>> {
    let mut lines = freeze(model, width);
    lines.push(Line::default());
    lines.extend(under_way(model));
    lines.extend(verdict(model, width));
    for found in model.state.verified.iter().flat_map(|(_, _, stores)| stores) {
        lines.extend(store(model, found, width));
    }
    lines.push(Line::default());
    lines.extend(certificate(model, width));
    lines
}

fn freeze(model: &Model, width: u16) -> Vec<Line<'static>> {
    let theme = model.theme;
    let mut lines = vec![heading("Writers in dr", theme.strong())];
    match &model.state.fence {
        Some(fence) => {
            let kind = match fence.kind {
                FenceKind::NegativeWriteTest => "proved by a write that was refused",
                FenceKind::Quiet => "proved by reading dr unchanged",
                FenceKind::None => "NOT PROVED",
            };
            let at = fence.at.map_or_else(|| "at an unknown time".to_owned(), |at| format!("at {}", time(at)));
            let (sign, style) = match fence.kind {
                FenceKind::None => (theme.failed(), theme.bad()),
                _ => (theme.done(), theme.good()),
            };
            lines.extend(paragraph(&format!("{sign} stopped, {kind} {at}: {}", fence.detail), 2, width, style));
        }
        None => {
            lines.extend(paragraph(
                &format!("{} not stopped, as far as this session knows", theme.open()),
                2,
                width,
                Style::new(),
            ));
            let command =
                model.setting.freeze.clone().unwrap_or_else(|| "none in the profile: stop them yourself".into());
            lines.extend(paragraph(&format!("command: {command}"), 4, width, theme.dim()));
            lines.extend(paragraph(&format!("proof: {}", model.setting.fence), 4, width, theme.dim()));
        }
    }
    for line in model.printed.iter().rev().take(4).rev() {
        lines.push(Line::styled(
            format!("    | {}", fit(&one_line(line), usize::from(width).saturating_sub(6), "")),
            theme.dim(),
        ));
    }
    lines
}

fn under_way(model: &Model) -> Vec<Line<'static>> {
    if model.running.is_none() {
        return Vec::new();
    }
    let tasks = model.tasks.iter().filter(|task| !task.ended);
    tasks.map(|task| Line::styled(format!("  {}", task_words(model, task)), model.theme.accent())).collect()
}

fn verdict(model: &Model, width: u16) -> Vec<Line<'static>> {
    let theme = model.theme;
    let (words, style) = match Standing::of(&model.state).proof {
        Proof::Never => {
            ("Not verified yet: verify reads both sides anew and shares nothing with diff.".to_owned(), theme.dim())
        }
        Proof::Differs => (format!("{} NOT AT PARITY", theme.failed()), theme.bad()),
        Proof::Overtaken(why) => (format!("{} NOT PROVEN ANY MORE: {why}", theme.person()), theme.warning()),
        Proof::Parity => (format!("{} AT PARITY", theme.done()), theme.good()),
    };
    paragraph(&words, 0, width, style)
}

fn store(model: &Model, found: &StoreVerification, width: u16) -> Vec<Line<'static>> {
    let theme = model.theme;
    let (sign, style) = if found.at_parity { (theme.done(), theme.good()) } else { (theme.failed(), theme.bad()) };
    let comparison = &found.comparison;
    let root = |root: &crate::model::Digest| root.to_string()[..12].to_owned();
    let mut lines = vec![Line::from(vec![
        Span::styled(format!("{sign} {}", fit(&comparison.store.0, 12, theme.sign("…", "~"))), style),
        Span::raw(format!(
            " primary {} {}  dr {} {}",
            number(comparison.primary.items),
            root(&comparison.primary.root),
            number(comparison.dr.items),
            root(&comparison.dr.root)
        )),
    ])];
    if found.accepted > 0 {
        let words =
            format!("{} accepted by policy or decision, named in the certificate", count(found.accepted, "difference"));
        lines.extend(paragraph(&words, 4, width, Style::new()));
    }
    if found.unaccepted > 0 {
        lines.extend(paragraph(
            &format!("{} nobody accepted:", count(found.unaccepted, "difference")),
            4,
            width,
            theme.bad(),
        ));
        for listed in found.listed.iter().take(5) {
            lines.push(Line::raw(format!(
                "      {}",
                fit(&one_line(&listed.to_string()), usize::from(width).saturating_sub(6), theme.sign("…", "~"))
            )));
        }
    }
    for behind in &found.counters_behind {
        lines.extend(paragraph(&format!("counter behind dr: {behind}"), 4, width, theme.warning()));
    }
    lines
}

fn certificate(model: &Model, width: u16) -> Vec<Line<'static>> {
    let theme = model.theme;
    let mut lines = vec![heading("Certificate", theme.strong())];
    let Some(file) = &model.state.certificate else {
        lines.extend(paragraph("none; a cutover cannot begin without one", 2, width, theme.dim()));
        return lines;
    };
    lines.extend(paragraph(file, 2, width, Style::new()));
    let read_until = model.state.verified.iter().flat_map(|(_, _, stores)| stores);
    let read_until = read_until.map(|found| found.comparison.read_until()).max();
    let age = read_until.map_or(0, |at| u64::try_from(model.now.as_second() - at.as_second()).unwrap_or(0));
    if let Some(cutover) = &model.setting.cutover {
        let limit = cutover.certificate_age_seconds_max;
        let words = format!("{} old; a cutover may begin until it is {} old", duration(age), duration(limit));
        lines.extend(paragraph(&words, 2, width, if age > limit { theme.bad() } else { Style::new() }));
    }
    let limits = model.state.newest_comparisons().into_values().flat_map(|(_, comparison)| &comparison.not_checked);
    lines.push(Line::styled("  What it does not speak for:", theme.warning()));
    for what in limits {
        lines.extend(paragraph(&format!("- {what}"), 4, width, theme.dim()));
    }
    let rest = "- what the profile does not name; the fitness of the primary's compute, network and permissions";
    lines.extend(paragraph(rest, 4, width, theme.dim()));
    lines
}
