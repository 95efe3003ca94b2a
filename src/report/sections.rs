//! The sections of the markdown report, each left out where it has nothing to say.

use std::fmt::Write;

use serde_json::Value as Json;

use super::standing::{Proof, Standing, step_word, steps_of, undo_proved};
use super::verdict::{customers_words, unverified_stores};
use super::words::{StepWords, code, count, duration, exit_meaning, number, plain, step_words, time, time_or_unknown};
use super::{Disclosure, ReportContext, ValueDisplay};
use crate::compare::{BaseSummary, Comparison, LostWrite, LostWrites, Reads};
use crate::model::{StoreId, Timestamp, Verdict};
use crate::plan::Kept;
use crate::session::{RefusedStep, SessionState};
use crate::store::Level;
use crate::verify::FenceKind;

/// Keys listed of held items, accepted differences and differences; files have all of them.
pub(super) const KEYS_LISTED_MAX: usize = 20;

/// Commands and cutover steps listed, the newest ones; the journal has all of them.
const EVENTS_LISTED_MAX: usize = 200;

/// Hexadecimal digits of a root that a person compares.
const ROOT_DIGITS: usize = 12;

pub(super) fn line(text: &mut String, words: impl AsRef<str>) {
    writeln!(text, "{}", words.as_ref()).expect("writing to a string does not fail");
}

pub(super) fn preflight(text: &mut String, state: &SessionState) {
    let Some(findings) = &state.findings else { return };
    line(text, "\n## Preflight\n");
    if findings.is_empty() {
        return line(text, "Nothing found.");
    }
    for finding in findings {
        let level = match finding.level {
            Level::Blocker => "**blocker**",
            Level::Warning => "warning",
            Level::Note => "note",
        };
        let hint = finding.hint.as_ref().map(|hint| format!(" ({})", plain(hint))).unwrap_or_default();
        line(text, format!("- {level}: {}: {}{hint}", plain(&finding.subject), plain(&finding.what)));
    }
}

pub(super) fn stores(text: &mut String, state: &SessionState) {
    let newest = state.newest_comparisons();
    if newest.is_empty() {
        return;
    }
    line(text, "\n## Stores, as last read\n");
    line(text, "| store | kind | primary items | dr items | primary root | dr root | differ | read by | until |");
    line(text, "|---|---|--:|--:|---|---|--:|---|---|");
    for (store, (by, comparison)) in newest {
        let Comparison { primary, dr, verdicts, kind, .. } = comparison;
        let root = |root: &crate::model::Digest| root.to_string().chars().take(ROOT_DIGITS).collect::<String>();
        let same = if primary.root == dr.root { "same" } else { &root(&dr.root) };
        let until = time(super::standing::read_until(comparison));
        let (items, differ) = ([primary.items, dr.items].map(number), number(verdicts.differing()));
        let [ours, theirs] = items;
        let (store, root) = (plain(&store.0), root(&primary.root));
        line(text, format!("| {store} | {kind} | {ours} | {theirs} | {root} | {same} | {differ} | {by} | {until} |"));
    }
    for (store, (_, comparison)) in state.newest_comparisons() {
        let name = plain(&store.0);
        if let Some(why) = &comparison.forecast {
            line(text, format!("\n{name} is only a forecast, never parity: {}.", plain(why)));
        }
        if let Some(counts) = &comparison.replication {
            line(text, format!("\n{name} by the status of its replication: {}.", counts.sentence()));
        }
        if let Some(spelling) = comparison.spelling() {
            line(text, format!("\n{name}: {spelling}."));
        }
        if let Some(reads) = &comparison.reads {
            line(text, format!("\nReading {name} {}.", reads_words(reads)));
        }
        lost_writes(text, &name, lost_of(state, store));
    }
}

/// What reading took, against the forecast, in words.
pub(super) fn reads_words(reads: &Reads) -> String {
    let forecast = reads.forecast.map_or("unknown".to_owned(), number);
    format!("took {} read units (forecast {forecast})", number(reads.units))
}

/// The writes that a global table lost, as the last diff found them: a verification looks at no change logs.
pub(super) fn lost_of<'a>(state: &'a SessionState, store: &StoreId) -> Option<&'a LostWrites> {
    state.comparisons.get(store)?.lost_writes.as_ref().filter(|lost| lost.total > 0)
}

/// The writes that a global table lost, by their keys.
fn lost_writes(text: &mut String, name: &str, lost: Option<&LostWrites>) {
    let Some(lost) = lost else { return };
    line(text, format!("\n{}:\n", lost_words(name, lost)));
    for LostWrite { key, side, at, written: _, is_certain } in lost.listed.iter().take(KEYS_LISTED_MAX) {
        let at = at.map_or("an unknown time".to_owned(), time);
        let doubt = if *is_certain { "" } else { " (not certain)" };
        line(text, format!("- {} on {side} at {at}{doubt}", code(&key.to_string())));
    }
    let listed = lost.listed.len().min(KEYS_LISTED_MAX) as u64;
    if lost.total > listed {
        line(text, format!("- and {} more", number(lost.total - listed)));
    }
}

/// What became of the writes that a global table lost, in words.
pub(super) fn lost_words(name: &str, lost: &LostWrites) -> String {
    format!("The global table {name} lost {} to newer ones of the other Region", count(lost.total, "write"))
}

pub(super) fn first_seen(text: &mut String, state: &SessionState) {
    if state.first_comparisons.is_empty() {
        return;
    }
    line(text, "\n## What the disaster left, as first seen\n");
    let names = Verdict::ALL.map(|verdict| verdict.to_string());
    line(text, format!("| store | {} |", names.join(" | ")));
    line(text, format!("|---{}|", "|--:".repeat(names.len())));
    for (store, comparison) in &state.first_comparisons {
        let numbers: Vec<String> = comparison.verdicts.words().into_iter().map(|(_, items)| number(items)).collect();
        line(text, format!("| {} | {} |", plain(&store.0), numbers.join(" | ")));
    }
    line(text, "\nEvery difference of the last diff, one JSON object a line:\n");
    for (store, comparison) in &state.comparisons {
        line(text, format!("- {}: {}", plain(&store.0), code(&comparison.delta.display().to_string())));
    }
}

pub(super) fn steps(text: &mut String, state: &SessionState) {
    if let Some((at, plan, summary)) = state.plans.last() {
        let id: String = plan.to_string().chars().take(ROOT_DIGITS).collect();
        line(text, format!("\n## Newest plan, {id} of {}\n", time(*at)));
        line(text, "| store | inserts | updates | deletes | done | refused | stale | open | held | accepted |");
        line(text, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
        for planned in &summary.stores {
            let (counts, steps) = (planned.counts, steps_of(state, &planned.store));
            let done = [steps.done, steps.refused, steps.stale, steps.open, counts.held, counts.accepted];
            let cells: Vec<String> =
                [counts.inserts, counts.updates, counts.deletes].into_iter().chain(done).map(number).collect();
            line(text, format!("| {} | {} |", plain(&planned.store.0), cells.join(" | ")));
        }
        for planned in summary.stores.iter().filter(|planned| !planned.limits.is_empty()) {
            let why = plain(&planned.limits.join("; "));
            line(text, format!("\nAll steps of {} are held: {why}.", plain(&planned.store.0)));
        }
        if !state.replays.iter().any(|(_, replayed, _)| replayed == plan) {
            line(text, "\nNo replay of this plan has ended yet.");
        }
    }
    if state.done + state.refused + state.stale > 0 {
        let [passes, plans] = [state.replays.len(), state.plans.len()].map(|len| len as u64);
        line(
            text,
            format!(
                "\nWhole session: {} done, {} refused and {} stale, in {} ended ({} made).",
                count(state.done, "step"),
                number(state.refused),
                number(state.stale),
                if passes == 1 { "1 pass that".into() } else { format!("{} passes that", number(passes)) },
                count(plans, "plan"),
            ),
        );
    }
    replay_findings(text, state);
}

fn replay_findings(text: &mut String, state: &SessionState) {
    for pass in state.replays.last().iter().flat_map(|(_, _, stores)| stores) {
        for finding in &pass.run.findings {
            line(text, format!("- {}: {}", plain(&finding.subject), plain(&finding.what)));
        }
        let (spent, forecast) = (&pass.run.spent, &pass.forecast);
        if !spent.is_nothing() {
            let [writes, reads] = [spent.write_units, spent.read_units].map(number);
            let [writes_forecast, reads_forecast] = [forecast.write_units, forecast.read_units].map(number);
            let took = format!(
                "took {writes} write units (forecast {writes_forecast}) and {reads} read units ({reads_forecast})"
            );
            line(text, format!("- {}: {took}, {}", plain(&pass.store.0), count(spent.throttled, "throttled write")));
        }
        let raised = pass.run.counters.len() as u64;
        if raised > 0 {
            line(text, format!("- {}: {} of the primary raised", plain(&pass.store.0), count(raised, "counter")));
        }
    }
}

pub(super) fn kept(text: &mut String, state: &SessionState, context: &ReportContext) {
    let sum = |of: fn(&crate::plan::PlanCounts) -> u64| {
        state
            .plans
            .last()
            .map_or(0, |(_, _, summary)| summary.stores.iter().map(|store| of(&store.counts)).sum::<u64>())
    };
    let held = sum(|counts| counts.held);
    let accepted = sum(|counts| counts.accepted);
    if held > 0 {
        line(text, format!("\n## Held for a person: {}\n", count(held, "item")));
        line(text, "Not written. Decide, change the policy in the profile, and plan again.\n");
        list_kept(text, context, held, &context.held, context.held_file.as_deref());
    }
    refused(text, context);
    if accepted > 0 {
        line(text, format!("\n## Accepted differences: {}\n", count(accepted, "item")));
        line(text, "The primary keeps what it has; dr's version is not carried over.\n");
        list_kept(text, context, accepted, &context.accepted, context.accepted_file.as_deref());
    }
    let differing = || state.verified.iter().flat_map(|(_, _, stores)| stores).flat_map(|store| &store.listed);
    let unaccepted: u64 = state.verified.iter().flat_map(|(_, _, stores)| stores).map(|store| store.unaccepted).sum();
    if unaccepted > 0 {
        line(text, format!("\n## Differences that the last verification found: {}\n", count(unaccepted, "item")));
        for json in differing().take(KEYS_LISTED_MAX) {
            let store = json.get("store").and_then(Json::as_str).unwrap_or("unknown store");
            let key = json.get("key").map_or_else(String::new, Json::to_string);
            let change = json.get("change").and_then(Json::as_str).unwrap_or("difference");
            line(text, format!("- {} {}: {}", plain(store), code(&key), plain(change)));
        }
        let rest = unaccepted.saturating_sub(differing().take(KEYS_LISTED_MAX).count() as u64);
        more(text, rest, None);
        for store in state.verified.iter().flat_map(|(_, _, stores)| stores).filter(|store| store.unaccepted > 0) {
            let name = plain(&store.comparison.store.0);
            line(text, format!("- all of {name}: {}", code(&store.comparison.delta.display().to_string())));
        }
    }
}

fn refused(text: &mut String, context: &ReportContext) {
    let exhibits = &context.exhibits;
    if exhibits.refused_total == 0 {
        return;
    }
    line(text, format!("\n## Refused: {}\n", count(exhibits.refused_total, "write")));
    line(text, "The primary held something else than was planned, or would not take it. Nothing was overwritten.\n");
    let listed = &exhibits.refused[..exhibits.refused.len().min(KEYS_LISTED_MAX)];
    for RefusedStep { store, key, verdict, change, reason } in listed {
        let (told, reason) = (code(&key.to_string()), plain(reason));
        line(text, format!("- {} {told}: {} {change}: {reason}", plain(&store.0), plain(verdict)));
        value(text, context, store, key);
    }
    let rest = exhibits.refused_total.saturating_sub(listed.len() as u64);
    if rest > 0 {
        line(text, format!("- and {} more: `failback report PROFILE --format csv`", number(rest)));
    }
}

/// The newest image of an item of the primary, where values are shown.
fn value(text: &mut String, context: &ReportContext, store: &StoreId, key: &Json) {
    if context.disclosure.values == ValueDisplay::Masked {
        return;
    }
    let told = match context.exhibits.values.get(&(store.clone(), key.to_string())) {
        None => "none kept".into(),
        Some(None) => "no item".into(),
        Some(Some(value)) => code(&value.to_string()),
    };
    line(text, format!("  - the primary's kept value: {told}"));
}

fn list_kept(text: &mut String, context: &ReportContext, total: u64, kept: &[Kept], file: Option<&str>) {
    let listed = &kept[..kept.len().min(KEYS_LISTED_MAX)];
    for kept in listed {
        let Kept { store, key, verdict, change, reason, primary: _, dr: _, canonical_key: _, decision: _ } = kept;
        let reason = plain(reason);
        line(text, format!("- {} {}: {verdict} {change}: {reason}", plain(&store.0), code(&key.to_string())));
        value(text, context, store, key);
    }
    more(text, total.saturating_sub(listed.len() as u64), file);
}

fn more(text: &mut String, rest: u64, file: Option<&str>) {
    match (rest, file) {
        (0, None) => {}
        (0, Some(file)) => line(text, format!("- file: {}", code(file))),
        (rest, None) => line(text, format!("- and {} more", number(rest))),
        (rest, Some(file)) => line(text, format!("- and {} more in {}", number(rest), code(file))),
    }
}

pub(super) fn bases(text: &mut String, state: &SessionState, context: &ReportContext) {
    if state.comparisons.is_empty() {
        return;
    }
    line(text, "\n## Base of the verdicts\n");
    for (store, comparison) in &state.comparisons {
        let words = match &comparison.base {
            None => "none: nothing tells which side changed, so differences are unattributed".to_owned(),
            Some(base) => base_words(base, context.tb()),
        };
        line(text, format!("- {}: {words}", plain(&store.0)));
    }
}

/// A base in words, with its age against Tb.
pub(super) fn base_words(base: &BaseSummary, tb: Option<Timestamp>) -> String {
    let BaseSummary { kind, items, as_of } = base;
    let start = format!("{}, {}, of {}", plain(kind), count(*items, "item"), time_or_unknown(*as_of));
    let age = match (as_of, tb) {
        (Some(as_of), Some(tb)) => tb.as_second() - as_of.as_second(),
        (None, _) => return format!("{start}: its age against Tb cannot be told"),
        (_, None) => return format!("{start}: the profile has no disaster_at to judge its age by"),
    };
    let apart = duration(age.unsigned_abs());
    match age {
        0 => format!("{start}: the very instant of Tb"),
        1.. => format!("{start}: {apart} older than Tb; what changed and changed back in between looks untouched"),
        _ => format!("{start}: {apart} YOUNGER than Tb; what dr never had may look unchanged"),
    }
}

pub(super) fn proof(text: &mut String, state: &SessionState, context: &ReportContext) {
    if state.verified.is_none() && state.fence.is_none() {
        return;
    }
    line(text, "\n## Proof\n");
    if let Some((at, parity, stores)) = &state.verified {
        let found = if *parity { "parity" } else { "differences" };
        line(text, format!("- Verified at {}: {found}, {} read anew", time(*at), count(stores.len() as u64, "store")));
        for store in stores {
            let name = plain(&store.comparison.store.0);
            let word = if store.at_parity { "at parity" } else { "NOT at parity" };
            let (accepted, rest) = (number(store.accepted), number(store.unaccepted));
            line(text, format!("  - {name}: {word}, {accepted} accepted, {rest} not accepted"));
            if !store.counters_behind.is_empty() {
                line(text, format!("    - counters behind: {}", plain(&store.counters_behind.join(", "))));
            }
        }
    }
    if let Proof::Overtaken(why) = Standing::of(state).proof {
        line(text, format!("- **No longer worth anything:** {why}"));
    }
    match (&state.certificate, &state.verified) {
        (Some(path), Some((at, _, _))) => {
            let age = u64::try_from(context.generated_at.as_second() - at.as_second()).map(duration);
            let age = age.unwrap_or_else(|_| "less than no time: a clock is wrong".into());
            line(text, format!("- Certificate: {} (age {age}; a cutover refuses one that is too old)", code(path)));
        }
        (Some(path), None) => line(text, format!("- Certificate: {}", code(path))),
        (None, _) => line(text, "- Certificate: none"),
    }
    fence(text, state);
}

fn fence(text: &mut String, state: &SessionState) {
    let Some(fence) = &state.fence else {
        return line(
            text,
            match state.certificate {
                Some(_) => {
                    "- Writers to dr: no freeze was run by this session; the certificate names the proof it rests on"
                }
                None => "- Writers to dr: not known to be stopped",
            },
        );
    };
    let kind = match fence.kind {
        FenceKind::NegativeWriteTest => "stopped, a write was tried and failed",
        FenceKind::Quiet => "quiet, dr was read unchanged for a time",
        FenceKind::None => "NOT known to be stopped",
    };
    line(text, format!("- Writers to dr: {kind}, at {}: {}", time_or_unknown(fence.at), plain(&fence.detail)));
}

pub(super) fn not_checked(text: &mut String, state: &SessionState, context: &ReportContext) {
    line(text, "\n## Not checked\n");
    let missing = unverified_stores(state, context);
    for store in missing {
        line(text, format!("- store {}: not verified", plain(&store)));
    }
    for (store, (_, comparison)) in state.newest_comparisons() {
        for what in &comparison.not_checked {
            line(text, format!("- {}: {}", plain(&store.0), plain(what)));
        }
    }
    line(text, "- anything that the profile does not name: other tables, buckets, databases, queues and caches");
    line(text, "- the fitness of the primary's compute, network and permissions");
}

pub(super) fn cutover(text: &mut String, state: &SessionState) {
    if state.traffic.is_empty() {
        return;
    }
    line(text, "\n## Cutover\n");
    line(text, format!("Now: {}.\n", customers_words(&Standing::of(state))));
    line(text, "| at | step | primary |\n|---|---|--:|");
    let skipped = earlier(text, state.traffic.len());
    for (at, share, step) in state.traffic.iter().skip(skipped) {
        let share = share.map(|share| share.to_string()).unwrap_or_default();
        line(text, format!("| {} | {} | {share} |", time(*at), told_step(step)));
    }
}

fn told_step(step: &Json) -> String {
    let Some(StepWords { words, detail, grave }) = step_words(step) else {
        return format!("unknown step {}", code(step_word(step)));
    };
    let words = if grave { format!("**{words}**") } else { words };
    if detail.is_empty() { words } else { format!("{words}: {}", plain(&detail)) }
}

/// Says what a bounded table leaves out.
fn earlier(text: &mut String, len: usize) -> usize {
    let skipped = len.saturating_sub(EVENTS_LISTED_MAX);
    if skipped > 0 {
        line(text, format!("| | {} earlier, in the journal | |", number(skipped as u64)));
    }
    skipped
}

pub(super) fn undo(text: &mut String, state: &SessionState) {
    if state.done + state.undone + state.undo_refused == 0 {
        return;
    }
    line(text, "\n## Undo\n");
    if state.undone + state.undo_refused == 0 {
        let why = "`failback undo` restores what the primary held before, each item guarded by what was written.";
        return line(text, format!("Not used. {why}"));
    }
    let standing = Standing::of(state);
    let at = standing.undone_at.map(|at| format!(" at {}", time(at))).unwrap_or_default();
    let (undone, refused) = (count(state.undone, "item"), number(state.undo_refused));
    line(
        text,
        format!("Begun{at}: {undone} restored, {refused} left as found because they had changed since the replay."),
    );
    line(
        text,
        match (standing.undone, undo_proved(state, &standing)) {
            (_, true) => "Proved: every root is what it was before the first write of this session.",
            (true, false) => "Not proved yet: `failback verify --undone` compares every root with what it was.",
            (false, false) => "Replayed again since.",
        },
    );
}

pub(super) fn commands(text: &mut String, state: &SessionState) {
    if state.commands.is_empty() {
        return;
    }
    line(text, "\n## Commands\n");
    line(text, "| begun | command | exit |\n|---|---|---|");
    let skipped = earlier(text, state.commands.len());
    for (name, at, exit) in state.commands.iter().skip(skipped) {
        let exit = exit.map_or_else(
            || "no end recorded: killed, or still running".into(),
            |exit| format!("{exit}: {}", exit_meaning(exit)),
        );
        line(text, format!("| {} | {} | {exit} |", time(*at), plain(name)));
    }
}

/// What was chosen of keys and values, where it is not the default.
pub(super) fn disclosure(text: &mut String, context: &ReportContext) {
    if context.disclosure == Disclosure::default() {
        return;
    }
    line(text, "\n## About this report\n");
    line(text, format!("- {}", plain(context.disclosure.keys_words())));
    line(text, format!("- {}", plain(context.disclosure.values_words())));
}
