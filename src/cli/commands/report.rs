//! `failback report`.

use std::path::Path;
use std::sync::Arc;

use super::{Ended, load, session_folder};
use crate::cli::args::{Global, ReportFormat};
use crate::cli::exit::Exit;
use crate::cli::{SystemClock, commands::print};
use crate::journal::Journal;
use crate::model::Clock;
use crate::report::{ReportContext, json, markdown};
use crate::session::SessionState;

pub fn run(profile: &Path, format: ReportFormat, global: &Global) -> Ended {
    let (profile, _) = load(profile)?;
    let folder = session_folder(&profile, global);
    let journal = Journal::read_only(&folder, Arc::new(SystemClock))?;
    let state = SessionState::fold(&journal.events()?);
    let context = ReportContext {
        profile: profile.name.clone(),
        disaster_at: profile.disaster_at,
        dr_as_of: profile.dr_as_of,
        generated_at: SystemClock.now(),
        session: folder.display().to_string(),
    };
    let as_json = global.json || format == ReportFormat::Json;
    let asked = Global { json: as_json, ..global.clone() };
    print(&asked, || json(&state, &context), || markdown(&state, &context));
    Ok(Exit::Done)
}
