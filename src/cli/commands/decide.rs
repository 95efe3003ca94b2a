//! `failback decide`.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::{Ended, open, print};
use crate::cli::args::{ChoiceWord, DecideOptions, Global, RuleOptions};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{number, table};
use crate::model::{Change, StoreId, Verdict};
use crate::plan::{Allowances, Rule, Rulings};
use crate::session::{Choice, DecideOutcome, Exits, Picked, Session, SessionState};

pub async fn run(profile: &Path, options: &DecideOptions, global: &Global) -> Ended {
    let choice = options.choice.map(|word| match word {
        ChoiceWord::Dr => Choice::Dr,
        ChoiceWord::Primary => Choice::Primary,
        ChoiceWord::Both => Choice::Both,
    });
    let session = open(profile, global, Allowances::default(), Rulings::new())?;
    let by = options.by.clone().unwrap_or_else(operator);
    if let Some(choice) = choice {
        let picked = picked(&session, options, global)?;
        let outcome = session.decide(&picked, choice, &by).await?;
        print(global, || document(&session, &outcome), || text(&outcome))?;
        return Ok(outcome.exit());
    }
    if let Some(taken) = options.take_back {
        session.take_back(taken, &by)?;
        let undecided = session.undecided()?;
        let document = || json!({"format": 1, "command": "decide", "taken_back": taken, "undecided": undecided});
        print(global, document, || format!("decision {taken} is taken back; next: failback plan\n"))?;
        return Ok(exit_of(undecided));
    }
    let (state, undecided) = (session.state()?, session.undecided()?);
    print(global, || list_document(&session, &state, undecided), || list_text(&state, undecided))?;
    Ok(exit_of(undecided))
}

fn exit_of(undecided: u64) -> Exit {
    if undecided > 0 { Exit::Undecided } else { Exit::Done }
}

/// Who runs this, where nobody is named.
fn operator() -> String {
    let uid = nix::unistd::getuid();
    let known = nix::unistd::User::from_uid(uid).ok().flatten().map(|user| user.name);
    let user = known.unwrap_or_else(|| format!("uid {uid}"));
    match nix::sys::utsname::uname() {
        Ok(machine) => format!("{user}@{}", machine.nodename().to_string_lossy()),
        Err(_) => user,
    }
}

fn picked(session: &Session, options: &DecideOptions, global: &Global) -> Result<Picked, Failure> {
    let RuleOptions { verdict, change, containing } = &options.rule;
    if !options.keys.is_empty() {
        let store = StoreId(only_store(session, global)?);
        let item = |key: &String| Ok((store.clone(), key_text(key)?));
        return Ok(Picked::Items(options.keys.iter().map(item).collect::<Result<_, Failure>>()?));
    }
    if let Some(file) = &options.file {
        return Ok(Picked::Items(read_items(file)?));
    }
    if !options.all && verdict.is_none() && change.is_none() && containing.is_none() {
        let error = "which held items is not said";
        let hint = "name them with --key or --file, by --verdict, --change or --containing, or take --all";
        return Err(Failure::hinted(Exit::Usage, error, hint));
    }
    Ok(Picked::Rule(Rule {
        store: None,
        verdict: verdict.as_deref().and_then(Verdict::named),
        change: change.as_deref().and_then(Change::named),
        text: containing.clone(),
    }))
}

/// The store that a key without one is of.
fn only_store(session: &Session, global: &Global) -> Result<String, Failure> {
    match (global.stores.as_slice(), session.profile().stores.as_slice()) {
        ([named], _) => Ok(named.clone()),
        ([], [only]) => Ok(only.name.clone()),
        _ => Err(Failure::hinted(
            Exit::Usage,
            "of which store the key is, is not said",
            "name one store with --store NAME",
        )),
    }
}

fn key_text(key: &str) -> Result<String, Failure> {
    let parsed: Result<Json, _> = serde_json::from_str(key);
    parsed.map(|key| key.to_string()).map_err(|error| {
        let hint = "a key is an object as in held.ndjson, for example {\"order_id\":{\"S\":\"o-17\"}}";
        Failure::hinted(Exit::Usage, format!("--key {key}: not JSON: {error}"), hint)
    })
}

/// A line may have more than these, as those of held.ndjson do.
#[derive(Deserialize)]
struct ItemLine {
    store: String,
    key: Json,
}

fn read_items(path: &Path) -> Result<Vec<(StoreId, String)>, Failure> {
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::plain(Exit::Usage, format!("cannot read items {name}: {error}")))?;
    let mut items = Vec::new();
    for (line, text) in text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        let item: ItemLine = serde_json::from_str(text).map_err(|error| {
            let hint = "a line is {\"store\": \"..\", \"key\": {..}}, as in held.ndjson";
            Failure::hinted(Exit::Usage, format!("{name}:{}: not an item: {error}", line + 1), hint)
        })?;
        items.push((StoreId(item.store), item.key.to_string()));
    }
    if items.is_empty() {
        return Err(Failure::plain(Exit::Usage, format!("{name} names no item")));
    }
    Ok(items)
}

fn document(session: &Session, outcome: &DecideOutcome) -> Json {
    let DecideOutcome { number, choice, items, changed, file, undecided } = outcome;
    json!({
        "format": 1, "command": "decide", "profile": session.profile().name, "decision": number, "choice": choice,
        "items": items, "changed": changed, "file": file, "undecided": undecided,
    })
}

fn text(outcome: &DecideOutcome) -> String {
    let DecideOutcome { number: decision, choice, items, changed, file, undecided } = outcome;
    let mut text = format!("decision {decision} on {} items: {}\n", number(*items), choice.consequence());
    if let Some(file) = file {
        text += &format!("both sides' contents: {}\n", file.display());
    }
    if *changed > 0 {
        text +=
            &format!("{} items changed since the plan and were left out: plan anew to see them\n", number(*changed));
    }
    text + &match undecided {
        0 => "nothing is left to decide; next: failback plan\n".to_owned(),
        left => format!("{} held items are left to decide\n", number(*left)),
    }
}

fn list_document(session: &Session, state: &SessionState, undecided: u64) -> Json {
    let allowed =
        |(at, by, what): &(crate::model::Timestamp, String, Vec<String>)| json!({"at": at, "by": by, "what": what});
    json!({
        "format": 1, "command": "decide", "profile": session.profile().name, "decisions": state.decisions,
        "allowed": state.allowed.iter().map(allowed).collect::<Vec<_>>(), "undecided": undecided,
    })
}

fn list_text(state: &SessionState, undecided: u64) -> String {
    let header = ["decision", "at", "by", "choice", "on", "items", "taken back"];
    let rows = state.decisions.iter().map(|made| {
        let taken = made.taken_back.as_ref().map(|(at, by)| format!("{at} by {by}")).unwrap_or_default();
        let (number, items) = (made.number.to_string(), number(made.items));
        vec![number, made.at.to_string(), made.by.clone(), made.choice.clone(), made.scope.clone(), items, taken]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let mut text = if rows.is_empty() { "no decisions\n".to_owned() } else { table(&header, &rows) };
    for (at, by, what) in &state.allowed {
        text += &format!("{at} {by} allowed: {}\n", what.join("; "));
    }
    text + &format!("{} held items are left to decide\n", number(undecided))
}
