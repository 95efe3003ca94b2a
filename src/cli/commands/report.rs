//! `failback report`.

use std::fs::{File, Permissions};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::NamedTempFile;

use super::{Ended, load, printed, session_folder};
use crate::cli::SystemClock;
use crate::cli::args::{Global, ReportFormat, ReportOptions};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::tell;
use crate::compare::Comparison;
use crate::diff::DeltaLine;
use crate::journal::Journal;
use crate::model::Clock;
use crate::profile::Profile;
use crate::report::{
    DeltaTable, Disclosure, KEPT_LISTED_MAX, KeyDisplay, ReportContext, ValueDisplay, disclose, html, json, junit,
    markdown,
};
use crate::session::{Exhibits, Fates, SessionState, ValuesWanted, delta_file, newest_kept};

pub fn run(path: &Path, options: &ReportOptions, global: &Global) -> Ended {
    let format = format_of(options, global)?;
    let (profile, _) = load(path)?;
    require_known_stores(&profile, global)?;
    let folder = session_folder(&profile, global);
    let journal = Journal::read_only(&folder, Arc::new(SystemClock))?;
    let state = SessionState::of(&journal)?;
    let mut output = Output::open(options)?;
    match format {
        ReportFormat::Csv => match write_delta(&mut output, &journal, &state, disclosure(options), global) {
            Err(failure) if failure.exit == Exit::Done => return Ok(Exit::Done),
            written => written?,
        },
        format => {
            let text = text(format, &journal, state, (&profile, path, &folder), disclosure(options))?;
            output.write(text.as_bytes())?;
        }
    }
    output.end(global)?;
    Ok(Exit::Done)
}

fn format_of(options: &ReportOptions, global: &Global) -> Result<ReportFormat, Failure> {
    let format = match (options.format, global.json) {
        (None, true) => ReportFormat::Json,
        (Some(format), true) if format != ReportFormat::Json => {
            let error = "--json and another --format ask for two things";
            return Err(Failure::hinted(Exit::Usage, error, "leave one of them out"));
        }
        (format, _) => format.unwrap_or(ReportFormat::Md),
    };
    if format != ReportFormat::Csv && !global.stores.is_empty() {
        let error = "a report is about the whole session, so --store goes with --format csv only";
        return Err(Failure::hinted(Exit::Usage, error, "leave --store out; every store has its part of the report"));
    }
    if format == ReportFormat::Csv && options.show_values {
        let error = "a delta holds keys and digests, so --format csv has no values to show";
        return Err(Failure::hinted(Exit::Usage, error, "leave --show-values out, or use --format html"));
    }
    Ok(format)
}

fn require_known_stores(profile: &Profile, global: &Global) -> Result<(), Failure> {
    let known = |name: &&String| !profile.stores.iter().any(|store| store.name == **name);
    match global.stores.iter().find(known) {
        None => Ok(()),
        Some(name) => {
            let known = profile.stores.iter().map(|store| store.name.as_str()).collect::<Vec<_>>().join(", ");
            Err(Failure::plain(Exit::Usage, format!("the profile has no store {name}; it has {known}")))
        }
    }
}

fn disclosure(options: &ReportOptions) -> Disclosure {
    Disclosure {
        keys: if options.mask_keys { KeyDisplay::Masked } else { KeyDisplay::Shown },
        values: if options.show_values { ValueDisplay::Shown } else { ValueDisplay::Masked },
    }
}

fn text(
    format: ReportFormat,
    journal: &Journal,
    mut state: SessionState,
    (profile, file, folder): (&Profile, &Path, &Path),
    disclosure: Disclosure,
) -> Result<String, Failure> {
    let kept = newest_kept(journal, KEPT_LISTED_MAX)?;
    let wanted = match disclosure.values {
        ValueDisplay::Shown => ValuesWanted::Yes,
        ValueDisplay::Masked => ValuesWanted::No,
    };
    let exhibits = Exhibits::read(journal, profile, &state, [&kept.held, &kept.accepted], wanted)?;
    let file = file.display().to_string();
    let context = ReportContext::of(profile, &file, folder, SystemClock.now(), kept);
    let mut context = context.with_exhibits(exhibits, disclosure);
    disclose(&mut state, &mut context);
    Ok(match format {
        ReportFormat::Html => html(&state, &context),
        ReportFormat::Json => format!("{}\n", json(&state, &context)),
        ReportFormat::Junit => junit(&state, &context).map_err(|error| Failure::plain(Exit::Incomplete, error))? + "\n",
        ReportFormat::Md | ReportFormat::Csv => markdown(&state, &context),
    })
}

/// Streams the newest delta of every chosen store.
fn write_delta(
    output: &mut Output,
    journal: &Journal,
    state: &SessionState,
    disclosure: Disclosure,
    global: &Global,
) -> Result<(), Failure> {
    let fates = Fates::read(journal)?;
    let mut table = DeltaTable::new(output.writer(), disclosure).map_err(broken)?;
    for (store, (_, comparison)) in state.newest_comparisons() {
        if global.stores.is_empty() || global.stores.contains(&store.0) {
            let path = delta_file(journal.folder(), comparison);
            write_store(&mut table, &fates, &path, comparison)?;
        }
    }
    table.end().map_err(broken)
}

fn write_store<W: Write>(
    table: &mut DeltaTable<W>,
    fates: &Fates<'_>,
    path: &Path,
    comparison: &Comparison,
) -> Result<(), Failure> {
    let unreadable = |why: String| {
        let error = format!("the delta of store {} in {} {why}", comparison.store, path.display());
        Failure::hinted(Exit::Incomplete, error, "run failback diff, which writes it anew, and then the report")
    };
    let file = File::open(path).map_err(|error| unreadable(format!("cannot be read: {error}")))?;
    let mut lines = 0;
    for line in BufReader::new(file).lines() {
        let line = line.map_err(|error| unreadable(format!("cannot be read: {error}")))?;
        let line: DeltaLine =
            serde_json::from_str(&line).map_err(|error| unreadable(format!("is damaged: {error}")))?;
        let key = line.key().map_err(|error| unreadable(format!("is damaged: {error}")))?;
        table.add(&line, &fates.of(&line, &key)?).map_err(broken)?;
        lines += 1;
    }
    let counted = comparison.verdicts.differing();
    match lines == counted {
        true => Ok(()),
        false => Err(unreadable(format!("has {lines} lines, and the comparison counted {counted}"))),
    }
}

/// A reader of stdout that has gone away (`| head`) is no failure.
fn broken(error: csv::Error) -> Failure {
    match error.into_kind() {
        csv::ErrorKind::Io(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            Failure::plain(Exit::Done, error)
        }
        csv::ErrorKind::Io(error) => {
            let error = format!("cannot write the table: {error}");
            Failure::hinted(Exit::Incomplete, error, "make room, then run failback report again")
        }
        other => Failure::plain(Exit::Incomplete, format!("{other:?}")),
    }
}

/// Where the report goes: stdout, or a file that appears when it is whole.
enum Output {
    Stdout(BufWriter<std::io::Stdout>),
    File(PathBuf, BufWriter<NamedTempFile>),
}

impl Output {
    fn open(options: &ReportOptions) -> Result<Output, Failure> {
        let Some(path) = &options.output else { return Ok(Output::Stdout(BufWriter::new(std::io::stdout()))) };
        // With contents it is its owner's alone; else it is like any other file.
        let mode = if options.show_values { 0o600 } else { 0o666 };
        let beside = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
        let draft = tempfile::Builder::new().permissions(Permissions::from_mode(mode)).tempfile_in(beside);
        let draft = draft.map_err(|error| unwritable(path, error))?;
        Ok(Output::File(path.clone(), BufWriter::new(draft)))
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Output::Stdout(stdout) => stdout,
            Output::File(_, draft) => draft,
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self {
            Output::Stdout(stdout) => printed(stdout.write_all(bytes)),
            Output::File(path, draft) => draft.write_all(bytes).map_err(|error| unwritable(path, error)),
        }
    }

    fn end(self, global: &Global) -> Result<(), Failure> {
        match self {
            Output::Stdout(mut stdout) => {
                printed(stdout.flush())?;
            }
            Output::File(path, draft) => {
                let draft = draft.into_inner().map_err(|error| unwritable(&path, error.into_error()))?;
                draft.persist(&path).map_err(|error| unwritable(&path, error.error))?;
                if !global.quiet {
                    tell(&format!("report written to {}", path.display()));
                }
            }
        }
        Ok(())
    }
}

fn unwritable(path: &Path, error: std::io::Error) -> Failure {
    Failure::plain(Exit::Usage, format!("cannot write {}: {error}", path.display()))
}
