//! `failback report`.

mod iac;

use std::fs::Permissions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::NamedTempFile;

use super::{Ended, load, printed, session_folder};
use crate::cli::SystemClock;
use crate::cli::args::{Global, ReportFormat, ReportOptions};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::tell;
use crate::guide::{ReportError, ReportForm, Subject, write_report};
use crate::journal::Journal;
use crate::model::Clock;
use crate::profile::Profile;
use crate::report::{Disclosure, KeyDisplay, ValueDisplay};

pub fn run(path: &Path, options: &ReportOptions, global: &Global) -> Ended {
    if let Some(folder) = &options.iac {
        return iac::write(path, folder, global);
    }
    let format = format_of(options, global)?;
    let (profile, _) = load(path)?;
    require_known_stores(&profile, global)?;
    let folder = session_folder(&profile, global);
    let journal = Journal::read_only(&folder, Arc::new(SystemClock))?;
    let mut output = Output::open(options)?;
    let subject = Subject {
        journal: &journal,
        profile: &profile,
        profile_file: path,
        stores: &global.stores,
        now: SystemClock.now(),
    };
    match write_report(form_of(format), &subject, disclosure(options), output.writer()) {
        // A reader of stdout that has gone away (`| head`) is no failure.
        Err(ReportError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Exit::Done),
        Err(ReportError::Write(error)) => return Err(unwritten(options, error)),
        written => written?,
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

fn form_of(format: ReportFormat) -> ReportForm {
    match format {
        ReportFormat::Html => ReportForm::Html,
        ReportFormat::Md => ReportForm::Markdown,
        ReportFormat::Json => ReportForm::Json,
        ReportFormat::Junit => ReportForm::Junit,
        ReportFormat::Csv => ReportForm::Csv,
    }
}

fn unwritten(options: &ReportOptions, error: io::Error) -> Failure {
    match &options.output {
        Some(path) => unwritable(path, error),
        None => {
            let error = format!("cannot write the report: {error}");
            Failure::hinted(Exit::Incomplete, error, "make room, then run failback report again")
        }
    }
}

impl From<ReportError> for Failure {
    fn from(error: ReportError) -> Failure {
        match error {
            ReportError::Session(error) => error.into(),
            error @ ReportError::Delta { .. } => {
                let hint = "run failback diff, which writes it anew, and then the report";
                Failure::hinted(Exit::Incomplete, error, hint)
            }
            error @ ReportError::Write(_) => Failure::plain(Exit::Incomplete, error),
        }
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
