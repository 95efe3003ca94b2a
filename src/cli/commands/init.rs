//! `failback init`.

mod ask;

use std::io::{IsTerminal, Write};
use std::path::Path;

use serde_json::{Value as Json, json};
use tempfile::NamedTempFile;

use self::ask::Terminal;
use super::{Ended, print};
use crate::cli::args::{Global, InitArguments};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::tell;
use crate::discover::aws::{Filter, survey};
use crate::discover::{Pairing, Survey, Written, profile_text, settle};
use crate::profile::{Profile, SideProfile};

pub async fn run(arguments: InitArguments, global: &Global) -> Ended {
    if arguments.schema {
        super::emit(format!("{:#}\n", crate::profile::schema()).as_bytes())?;
        return Ok(Exit::Done);
    }
    let (name, primary, dr) = sides(&arguments)?;
    refuse_to_overwrite(&arguments.output, global)?;
    if !global.quiet {
        tell(&format!("asking {} and {} what they hold", primary.region, dr.region));
    }
    let filter = Filter { include: arguments.include.clone(), exclude: arguments.exclude.clone() };
    let survey = survey(&primary, &dr, &filter).await;
    let mut pairing = Pairing::of(&survey);
    let is_attended = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if is_attended && !global.yes {
        settle(&mut pairing, &mut Terminal).map_err(|error| Failure::plain(Exit::Incomplete, error))?;
    }
    let written = profile_text(&name, (&primary, &dr), &survey, &pairing);
    require_readable(&written, &arguments.output)?;
    write(&arguments.output, &written.text, global)?;
    let exit = exit_of(&survey, &pairing, &written);
    print(
        global,
        || document(&arguments.output, &survey, &pairing, &written, exit),
        || text(&arguments.output, &survey, &pairing, &written),
    )?;
    Ok(exit)
}

/// How the sides are reached, held to the profile's own rules: a profile that states no more than the arguments is read.
fn sides(arguments: &InitArguments) -> Result<(String, SideProfile, SideProfile), Failure> {
    let mut document = toml::Table::new();
    document.insert("name".into(), arguments.name.clone().into());
    let reached = [
        ("primary", &arguments.primary, &arguments.primary_profile, &arguments.primary_role_arn),
        ("dr", &arguments.dr, &arguments.dr_profile, &arguments.dr_role_arn),
    ];
    for (side, region, aws_profile, role_arn) in reached {
        let mut fields = toml::Table::new();
        let given = [
            ("region", region),
            ("aws_profile", aws_profile),
            ("role_arn", role_arn),
            ("endpoint_url", &arguments.endpoint_url),
        ];
        fields.extend(given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?.into()))));
        document.insert(side.into(), fields.into());
    }
    let stand_in = "\n[[store]]\nname = \"a\"\nkind = \"memory\"\nprimary = { name = \"a\" }\ndr = { name = \"b\" }\n";
    let text = format!("{document}{stand_in}");
    let profile =
        Profile::parse(&text, "arguments of init", &|_| None).map_err(|error| Failure::plain(Exit::Usage, error))?;
    let Profile { name, primary, dr, .. } = profile;
    if primary.region == dr.region {
        let error = format!("both sides are in {}: a failback is between two Regions", primary.region);
        return Err(Failure::hinted(Exit::Usage, error, "give two Regions with --primary and --dr"));
    }
    Ok((name, primary, dr))
}

fn refuse_to_overwrite(path: &Path, global: &Global) -> Result<(), Failure> {
    match path.try_exists() {
        Ok(false) => Ok(()),
        Ok(true) if global.yes => Ok(()),
        Ok(true) => {
            let error = format!("{} is there already; nothing was changed", path.display());
            Err(Failure::hinted(Exit::Usage, error, "name another file with -o, or add --yes to replace it"))
        }
        Err(error) => Err(unwritable(path, error)),
    }
}

fn unwritable(path: &Path, error: std::io::Error) -> Failure {
    let hint = "name a folder that is there and may be written, with room on its disk";
    Failure::hinted(Exit::Usage, format!("cannot write {}: {error}", path.display()), hint)
}

/// A profile that this program itself would not read is never written.
fn require_readable(written: &Written, path: &Path) -> Result<(), Failure> {
    if written.stores.iter().all(Option::is_none) {
        return Ok(());
    }
    let file = path.display().to_string();
    Profile::parse(&written.text, &file, &|_| None).map(drop).map_err(|error| {
        let hint = "leave the resources it names out with --exclude; nothing was written";
        Failure::hinted(Exit::Incomplete, error, hint)
    })
}

/// Writes the file whole or not at all.
fn write(path: &Path, text: &str, global: &Global) -> Result<(), Failure> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let whole = || -> std::io::Result<()> {
        let mut draft = NamedTempFile::new_in(folder)?;
        draft.write_all(text.as_bytes())?;
        draft.as_file().sync_all()?;
        let kept = if global.yes { draft.persist(path) } else { draft.persist_noclobber(path) };
        kept.map(drop).map_err(|error| error.error)
    };
    whole().map_err(|error| unwritable(path, error))
}

fn exit_of(survey: &Survey, pairing: &Pairing, written: &Written) -> Exit {
    if !survey.gaps.is_empty() {
        Exit::Incomplete
    } else if pairing.is_open() || written.stores.iter().all(Option::is_none) {
        Exit::Undecided
    } else {
        Exit::Done
    }
}

fn document(path: &Path, survey: &Survey, pairing: &Pairing, written: &Written, exit: Exit) -> Json {
    let pairs: Vec<Json> = pairing
        .pairs
        .iter()
        .zip(&written.stores)
        .map(|(pair, store)| {
            json!({
                "store": store, "kind": pair.primary.kind(), "primary": pair.primary.name, "dr": pair.dr.name,
                "evidence": pair.evidence, "asides": pair.asides, "passed_over": pair.also,
            })
        })
        .collect();
    json!({
        "format": 1, "command": "init", "file": path.display().to_string(), "found": {
            "primary": survey.primary, "dr": survey.dr, "restores": survey.restores, "records": survey.records,
        },
        "pairs": pairs, "questions": pairing.questions,
        "records": pairing.records, "record_questions": pairing.record_questions,
        "unpaired": { "primary": pairing.primary_alone, "dr": pairing.dr_alone },
        "not_listed": survey.gaps, "exit_code": exit as u8,
    })
}

fn text(path: &Path, survey: &Survey, pairing: &Pairing, written: &Written) -> String {
    let mut text = String::new();
    for (pair, store) in pairing.pairs.iter().zip(&written.stores) {
        let store = store.as_deref().unwrap_or("(commented out)");
        let (primary, dr) = (&pair.primary.name, &pair.dr.name);
        text += &format!("{store}: {} {primary} <- {dr} ({})\n", pair.primary.kind().word(), pair.evidence.words());
    }
    if let [pair] = pairing.records.as_slice() {
        text += &format!("customers return by {} {}\n", pair.primary.record_type, pair.primary.name);
    }
    for question in &pairing.questions {
        let names: Vec<&str> = question.candidates.iter().map(|candidate| candidate.dr.name.as_str()).collect();
        let (word, name) = (question.primary.kind().word(), &question.primary.name);
        text += &format!("OPEN: {word} {name} may be {} in dr\n", names.join(" or "));
    }
    let open_records =
        pairing.record_questions.len() + if pairing.records.len() > 1 { pairing.records.len() } else { 0 };
    if open_records > 0 {
        text += &format!("OPEN: {open_records} weighted records: which of them shift customers, and which way\n");
    }
    for gap in &survey.gaps {
        let side = gap.side.map_or(String::new(), |side| format!(" of {side}"));
        text += &format!("NOT LISTED: {}{side}: {}\n", gap.what, gap.why);
    }
    let alone = (pairing.primary_alone.len(), pairing.dr_alone.len());
    if alone != (0, 0) {
        text += &format!("without a counterpart: {} in the primary, {} in dr, named in the file\n", alone.0, alone.1);
    }
    let file = path.display();
    text += &match written.stores.iter().flatten().count() {
        0 => format!("written: {file}, without any store: uncomment or add one, then run failback check {file}\n"),
        count => format!("written: {file} with {count} stores; read it, then run failback check {file}\n"),
    };
    text
}
