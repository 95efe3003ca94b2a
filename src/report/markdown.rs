//! The report as a person reads it at four in the morning: the answer first, then what it rests on.

use std::fmt::Write;

use super::decisions;
use super::sections;
use super::standing::Standing;
use super::verdict::next_step;
use super::words::{code, duration, plain, time, time_or_unknown};
use super::{ReportContext, verdict};
use crate::session::SessionState;

/// The report in markdown.
pub fn markdown(state: &SessionState, context: &ReportContext) -> String {
    let mut text = String::new();
    head(&mut text, state, context);
    sections::preflight(&mut text, state);
    sections::stores(&mut text, state);
    sections::first_seen(&mut text, state);
    sections::steps(&mut text, state);
    sections::kept(&mut text, state, context);
    decisions::decisions(&mut text, state);
    sections::bases(&mut text, state, context);
    sections::proof(&mut text, state, context);
    sections::not_checked(&mut text, state, context);
    sections::cutover(&mut text, state);
    sections::undo(&mut text, state);
    sections::commands(&mut text, state);
    sections::disclosure(&mut text, context);
    text
}

fn head(text: &mut String, state: &SessionState, context: &ReportContext) {
    let answer = verdict(state, context);
    let can = match (Standing::of(state).cutover_done, answer.can_cut_over) {
        (true, _) => "It is done",
        (false, true) => "Yes",
        (false, false) => "No",
    };
    let (action, why) = next_step(state, context);
    let command = action.command_line();
    let command = match context.profile_file.is_empty() {
        true => command.to_owned(),
        false => command.replace("PROFILE", &context.profile_file),
    };
    let mut line = |words: String| writeln!(text, "{words}").expect("writing to a string does not fail");
    line(format!("# Failback of {}\n", plain(&context.profile)));
    line(format!("**{}**\n", plain(&answer.sentence)));
    line(format!("- Can we cut over? **{can}.**"));
    line(format!("- What would we lose? {}", answer.loss));
    line(format!("- Next: {}: {}.", code(&command), why));
    if state.unread > 0 {
        line(format!(
            "- **This report may lack something:** {} of the journal could not be read by this version.",
            super::words::count(state.unread, "event")
        ));
    }
    line(format!("\n| | |\n|---|---|\n| Report made | {} |", time(context.generated_at)));
    line(format!("| Disaster (T0) | {} |", time_or_unknown(context.disaster_at)));
    line(format!("| What dr held at failover (Tb) | {} |", time_or_unknown(context.tb())));
    let began = match (state.began_at, state.last_at) {
        (Some(began), Some(last)) => {
            let took = u64::try_from(last.as_second() - began.as_second()).unwrap_or(0);
            format!("{} to {} ({})", time(began), time(last), duration(took))
        }
        _ => "not begun".into(),
    };
    line(format!("| Session | {began} |"));
    line(format!("| Session folder | {} |", code(&context.session)));
}
