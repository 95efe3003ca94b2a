//! Writes a report of a session at any stage, in any format: for the command, and for the screen.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use crate::compare::Comparison;
use crate::diff::DeltaLine;
use crate::journal::Journal;
use crate::model::{StoreId, Timestamp};
use crate::profile::Profile;
use crate::report::{
    DeltaTable, Disclosure, KEPT_LISTED_MAX, ReportContext, ValueDisplay, disclose, html, json, junit, markdown,
};
use crate::session::{Exhibits, Fates, SessionError, SessionState, ValuesWanted, delta_file, newest_kept};

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportForm {
    /// One self-contained page, for managers and the archive.
    Html,
    /// Markdown, for people.
    Markdown,
    /// JSON, for programs.
    Json,
    /// JUnit's XML: every store is a test case, for CI.
    Junit,
    /// Every difference on a line, with what became of it.
    Csv,
}

impl ReportForm {
    /// What the name of such a file ends with.
    pub fn extension(self) -> &'static str {
        match self {
            ReportForm::Html => "html",
            ReportForm::Markdown => "md",
            ReportForm::Json => "json",
            ReportForm::Junit => "xml",
            ReportForm::Csv => "csv",
        }
    }
}

/// What a report is about.
pub struct Subject<'a> {
    /// The session's journal.
    pub journal: &'a Journal,
    /// The profile.
    pub profile: &'a Profile,
    /// The profile's file, for the commands that the report names.
    pub profile_file: &'a Path,
    /// Only these stores, in the table of differences; empty for all.
    pub stores: &'a [String],
    /// Now.
    pub now: Timestamp,
}

/// Why there is no report, or only a part of it.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The session cannot be read.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// What was to be written to took no more.
    #[error("cannot write the report")]
    Write(#[source] io::Error),
    /// A delta file is missing or not what was compared.
    #[error("the delta of store {store} in {} {why}", path.display())]
    Delta {
        /// The store.
        store: StoreId,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// Writes a report to `out`; a table of differences is streamed, the others are made in memory.
///
/// # Errors
///
/// [`ReportError`]; what was written before is then no report.
pub fn write_report(
    form: ReportForm,
    subject: &Subject<'_>,
    disclosure: Disclosure,
    out: &mut dyn Write,
) -> Result<(), ReportError> {
    let state = SessionState::of(subject.journal).map_err(SessionError::from)?;
    if form == ReportForm::Csv {
        return write_delta(subject, &state, disclosure, out);
    }
    let text = text_of(form, subject, state, disclosure)?;
    out.write_all(text.as_bytes()).map_err(ReportError::Write)
}

fn text_of(
    form: ReportForm,
    subject: &Subject<'_>,
    mut state: SessionState,
    disclosure: Disclosure,
) -> Result<String, ReportError> {
    let Subject { journal, profile, profile_file, stores: _, now } = subject;
    let kept = newest_kept(journal, KEPT_LISTED_MAX)?;
    let wanted = match disclosure.values {
        ValueDisplay::Shown => ValuesWanted::Yes,
        ValueDisplay::Masked => ValuesWanted::No,
    };
    let exhibits = Exhibits::read(journal, profile, &state, [&kept.held, &kept.accepted], wanted)?;
    let file = profile_file.display().to_string();
    let context = ReportContext::of(profile, &file, journal.folder(), *now, kept);
    let mut context = context.with_exhibits(exhibits, disclosure);
    disclose(&mut state, &mut context);
    Ok(match form {
        ReportForm::Html => html(&state, &context),
        ReportForm::Json => format!("{}\n", json(&state, &context)),
        ReportForm::Junit => {
            junit(&state, &context).map_err(|error| ReportError::Write(io::Error::other(error)))? + "\n"
        }
        ReportForm::Markdown | ReportForm::Csv => markdown(&state, &context),
    })
}

/// Streams the newest delta of every chosen store.
fn write_delta(
    subject: &Subject<'_>,
    state: &SessionState,
    disclosure: Disclosure,
    out: &mut dyn Write,
) -> Result<(), ReportError> {
    let fates = Fates::read(subject.journal)?;
    let mut table = DeltaTable::new(out, disclosure).map_err(unwritten)?;
    for (store, (_, comparison)) in state.newest_comparisons() {
        if subject.stores.is_empty() || subject.stores.contains(&store.0) {
            let path = delta_file(subject.journal.folder(), comparison);
            write_store(&mut table, &fates, &path, comparison)?;
        }
    }
    table.end().map_err(unwritten)
}

fn write_store<W: Write>(
    table: &mut DeltaTable<W>,
    fates: &Fates<'_>,
    path: &Path,
    comparison: &Comparison,
) -> Result<(), ReportError> {
    let store = &comparison.store;
    let unreadable = |why: String| ReportError::Delta { store: store.clone(), path: path.to_owned(), why };
    let file = File::open(path).map_err(|error| unreadable(format!("cannot be read: {error}")))?;
    let mut lines = 0;
    for line in BufReader::new(file).lines() {
        let line = line.map_err(|error| unreadable(format!("cannot be read: {error}")))?;
        let line: DeltaLine =
            serde_json::from_str(&line).map_err(|error| unreadable(format!("is damaged: {error}")))?;
        let key = line.key().map_err(|error| unreadable(format!("is damaged: {error}")))?;
        table.add(&line, &fates.of(&line, &key)?).map_err(unwritten)?;
        lines += 1;
    }
    let counted = comparison.verdicts.differing();
    match lines == counted {
        true => Ok(()),
        false => Err(unreadable(format!("has {lines} lines, and the comparison counted {counted}"))),
    }
}

fn unwritten(error: csv::Error) -> ReportError {
    ReportError::Write(match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    })
}
