//! `failback report`.

use std::path::Path;
use std::sync::Arc;

use super::{Ended, load, session_folder};
use crate::cli::args::{Global, ReportFormat};
use crate::cli::exit::Exit;
use crate::cli::{SystemClock, commands::print};
use crate::journal::Journal;
use crate::model::Clock;
use crate::report::{KEPT_LISTED_MAX, ReportContext, json, markdown};
use crate::session::{SessionState, newest_kept};

pub fn run(path: &Path, format: ReportFormat, global: &Global) -> Ended {
    let (profile, _) = load(path)?;
    let folder = session_folder(&profile, global);
    let journal = Journal::read_only(&folder, Arc::new(SystemClock))?;
    let state = SessionState::of(&journal)?;
    let file = path.display().to_string();
    let kept = newest_kept(&journal, KEPT_LISTED_MAX)?;
    let context = ReportContext::of(&profile, &file, &folder, SystemClock.now(), kept);
    let as_json = global.json || format == ReportFormat::Json;
    let asked = Global { json: as_json, ..global.clone() };
    print(&asked, || json(&state, &context), || markdown(&state, &context))?;
    Ok(Exit::Done)
}
