//! What must be typed before something is changed, and what is said before.

use tui_input::Input;

use crate::cutover::UNKNOWN_CHANGE_SECONDS;
use crate::guide::{Gate, Stage};
use crate::plan::Allowances;
use crate::report::{Customers, Standing, bytes, count, duration, number, steps_in_all};
use crate::session::{Action, PlanSummary};
use crate::tui::message::Effect;
use crate::tui::state::{Confirm, CutoverSetting, Model};

/// The confirmation that an action needs; `None` where it changes nothing. An error says why it cannot begin at all.
pub(super) fn of(model: &Model, action: Action) -> Result<Option<Confirm>, String> {
    Ok(match action {
        Action::Check | Action::Diff | Action::DryRun | Action::Verify | Action::VerifyUndone | Action::Report => None,
        Action::Plan => limits(model),
        Action::Replay => Some(replay(model)?),
        Action::FinalPass | Action::FreezeAndVerify => Some(freeze(model, action)?),
        Action::Cutover => Some(cutover(model)?),
        Action::Undo => Some(undo(model)?),
        Action::Retreat => Some(retreat(&Standing::of(&model.state))),
        Action::Checkpoint => return Err("failback checkpoint PROFILE --name NAME makes one, in calm times".into()),
    })
}

fn confirm(title: impl Into<String>, wanted: impl Into<String>, purpose: impl Into<String>) -> Confirm {
    Confirm {
        title: title.into(),
        lines: Vec::new(),
        wanted: wanted.into(),
        purpose: purpose.into(),
        input: Input::default(),
        wrong: None,
        then: Vec::new(),
    }
}

fn newest_plan(model: &Model) -> Option<&PlanSummary> {
    model.state.plans.last().map(|(_, _, summary)| summary)
}

/// A plan whose steps are all held because a limit was passed: planned anew only with the limit's number typed.
fn limits(model: &Model) -> Option<Confirm> {
    let plan = newest_plan(model)?;
    let hit: Vec<String> = plan
        .stores
        .iter()
        .flat_map(|store| store.limits.iter().map(|limit| format!("{}: {limit}", store.store)))
        .collect();
    if hit.is_empty() {
        return None;
    }
    let held: u64 = plan.stores.iter().filter(|store| !store.limits.is_empty()).map(|store| store.counts.held).sum();
    let mut asked = confirm("Plan beyond the limits", number(held), format!("to allow {}", count(held, "held step")));
    asked.lines = vec!["The newest plan is held because it passes limits of the profile:".into()];
    asked.lines.extend(hit.iter().map(|line| format!("  {line}")));
    asked
        .lines
        .push("Typing the number allows all of this for this session; the plan is made anew and shown first.".into());
    asked.lines.push("Esc leaves the limits as they are.".into());
    asked.then = vec![Effect::Allow(allowances(&hit), hit), Effect::Run(Action::Plan)];
    Some(asked)
}

/// The flags that the limits' words name.
fn allowances(hit: &[String]) -> Allowances {
    let names = |flag: &str| hit.iter().any(|line| line.contains(flag));
    Allowances {
        deletes: names("--allow-deletes"),
        overwrites: names("--allow-overwrites"),
        empty_dr: names("--allow-empty-dr"),
        everything: names("--allow-everything"),
        base_age: names("--accept-base-age"),
    }
}

fn replay(model: &Model) -> Result<Confirm, String> {
    let plan = newest_plan(model).ok_or("there is no plan yet")?;
    let steps = steps_in_all(&model.state);
    if steps.planned == 0 {
        return Err("the plan has nothing to write".into());
    }
    let sum = |of: fn(&crate::plan::PlanCounts) -> u64| plan.stores.iter().map(|store| of(&store.counts)).sum::<u64>();
    let (inserts, updates, deletes) = (sum(|c| c.inserts), sum(|c| c.updates), sum(|c| c.deletes));
    let (wanted, purpose) = match deletes {
        0 => (number(steps.planned), format!("to write {}", count(steps.planned, "item"))),
        _ => (number(deletes), format!("to delete {} and write {}", count(deletes, "item"), number(inserts + updates))),
    };
    let mut asked = confirm("Replay into the primary", wanted, purpose);
    asked.lines = vec![
        format!(
            "{} inserted, {} overwritten, {} deleted on the primary; {}.",
            number(inserts),
            number(updates),
            number(deletes),
            bytes(sum(|c| c.bytes))
        ),
        "Every write is guarded: what changed since the plan is refused, not overwritten.".into(),
        "What was there before is kept first; u (undo) puts it back.".into(),
    ];
    if model.undecided > 0 {
        asked.lines.push(format!("{} held for a person are left as they are.", count(model.undecided, "item")));
    }
    asked.then = vec![Effect::Run(Action::Replay)];
    Ok(asked)
}

fn freeze(model: &Model, action: Action) -> Result<Confirm, String> {
    let Some(command) = &model.setting.freeze else {
        return Err("the profile has no [freeze]: stop dr's writers yourself, then verify".into());
    };
    let mut asked = confirm("Stop writes in dr", "freeze", "to stop dr's writers now");
    asked.lines = vec![
        "Customers cannot write from here until they are home, or until you open dr again.".into(),
        format!("Runs: {command}"),
        format!("Proof: {}", model.setting.fence),
    ];
    asked.lines.push(match action {
        Action::FinalPass => "Then what dr took since the last pass is planned and replayed, guarded as ever.".into(),
        _ => "Then both sides are read anew; at parity a certificate is issued.".to_owned(),
    });
    asked.then = vec![Effect::Run(action)];
    Ok(asked)
}

fn cutover(model: &Model) -> Result<Confirm, String> {
    let setting = model.setting.cutover.as_ref().ok_or("the profile has no [cutover]")?;
    let gate = model.stages().into_iter().find(|(stage, _)| *stage == Stage::Cutover).map(|(_, gate)| gate);
    if let Some(Gate::Closed(why) | Gate::Person(why)) = gate {
        return Err(why);
    }
    let first = setting.stages.first().copied().unwrap_or(100);
    let mut asked = confirm("Return customers", first.to_string(), format!("to begin with {first}% of the customers"));
    asked.lines = cutover_words(setting);
    asked.then = vec![Effect::Run(Action::Cutover)];
    Ok(asked)
}

fn cutover_words(setting: &CutoverSetting) -> Vec<String> {
    let stages = setting.stages.iter().map(|stage| format!("{stage}%")).collect::<Vec<_>>().join(", ");
    let watched = setting.health.as_ref().map_or("health is NOT judged".to_owned(), |how| format!("health: {how}"));
    vec![
        format!("{}: {stages}, each watched for {}; {watched}.", setting.record, duration(setting.hold_seconds)),
        format!("A change may take about {UNKNOWN_CHANGE_SECONDS} s to reach all DNS servers, then its TTL."),
        "First move write authority: the applications' configuration, jobs and queues must write to the primary.".into(),
        "R retreats at any time: one change gives everything back to dr.".into(),
        "POINT OF NO RETURN: the first write that a customer makes on the primary. After it a retreat leaves that write \
         behind, and going back is a new failback the other way."
            .into(),
    ]
}

/// Back to dr although no cutover is under way.
pub(super) fn retreat(standing: &Standing) -> Confirm {
    let mut asked = confirm("Retreat", "retreat", "to give all traffic to dr");
    asked.lines = match &standing.customers {
        Customers::Shifted(..) => vec![
            "Customers are home. What they wrote on the primary since then is NOT in dr: a retreat leaves those writes \
             behind. This is past the point of no return."
                .into(),
        ],
        _ => vec!["This session has moved no customers; the weights are set to dr only, whatever they are now.".into()],
    };
    asked.lines.push("The certificate is worth nothing afterwards: dr may take writes again.".into());
    asked.then = vec![Effect::Retreat];
    asked
}

fn undo(model: &Model) -> Result<Confirm, String> {
    let done = model.state.done;
    if model.state.replays.is_empty() && done == 0 {
        return Err("this session has written nothing".into());
    }
    let mut asked = confirm("Undo what was replayed", number(done), format!("to undo {}", count(done, "write")));
    asked.lines = vec![
        "Every item this session wrote is put back to what it was before.".into(),
        "What somebody changed since then is left alone, and told.".into(),
        "dr's business of the outage is then no longer on the primary, and no certificate holds.".into(),
    ];
    if let Customers::Shifted(_, share) = Standing::of(&model.state).customers {
        asked.lines.push(format!("CUSTOMERS ARE AT {share} ON THE PRIMARY: retreat first (R)."));
    }
    asked.then = vec![Effect::Run(Action::Undo)];
    Ok(asked)
}

/// Leaving while something is under way.
pub(super) fn leave(action: Action) -> Confirm {
    let mut asked = confirm("Leave", "leave", "to stop it and leave");
    asked.lines = vec![
        format!("{} is under way. Leaving stops it; nothing is lost.", action.name()),
        "failback run with the same profile goes on from there.".into(),
    ];
    if action == Action::Cutover {
        asked.lines.push("The weights stay as they are now, and nobody watches the primary's health.".into());
    }
    asked.then = vec![Effect::Leave];
    asked
}
