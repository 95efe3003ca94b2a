//! What a session came to, for people and for programs.
//!
//! Pure: everything is told by the [`SessionState`](crate::session::SessionState) and a [`ReportContext`]; nothing is read, asked or timed here. It works
//! on an empty and on a half-finished session. It shows keys and counts, and contents only where they were asked for. What it
//! cannot be sure of it says, and never counts as parity.

mod csv;
mod decisions;
mod disclosure;
mod html;
mod json;
mod junit;
mod markdown;
mod next;
mod sections;
mod standing;
mod store_standing;
#[cfg(test)]
pub(crate) mod tests;
mod verdict;
mod words;

pub use csv::{CSV_COLUMNS, DeltaTable};
pub use disclosure::{Disclosure, KeyDisplay, ValueDisplay, disclose};
pub use html::html;
pub use json::{KEPT_LISTED_MAX, REPORT_FORMAT, json};
pub use junit::junit;
pub use markdown::markdown;
pub use next::next_action;
pub use standing::{Customers, Proof, Standing, Steps, steps_in_all, steps_of};
pub use verdict::{VerdictSentence, verdict};
pub use words::{
    SAMPLE_MEANS, StepWords, bytes, check_sentences, count, duration, exit_meaning, how_read, number,
    profile_sentences, rescue_sentences, sample_sentences, step_words, time,
};

use std::path::Path;

use crate::model::Timestamp;
use crate::plan::Kept;
use crate::profile::Profile;
use crate::session::{Exhibits, NewestKept};

/// What a report needs beside the session's state.
#[derive(Debug, Clone, Default)]
pub struct ReportContext {
    /// The profile's name.
    pub profile: String,
    /// The profile's file, for the commands to type next.
    pub profile_file: String,
    /// The names of all stores of the profile: what was left out shows.
    pub stores: Vec<String>,
    /// T0, where the profile has it.
    pub disaster_at: Option<Timestamp>,
    /// Tb, where the profile has it apart from T0.
    pub dr_as_of: Option<Timestamp>,
    /// How old a certificate may be for a cutover, in seconds, where the profile has a cutover.
    pub certificate_age_seconds_max: Option<u64>,
    /// When the report is made.
    pub generated_at: Timestamp,
    /// The session folder.
    pub session: String,
    /// The newest plan's accepted differences; the report lists the first of them.
    pub accepted: Vec<Kept>,
    /// The newest plan's held items; the report lists the first of them.
    pub held: Vec<Kept>,
    /// The file of all accepted differences, where a plan wrote one.
    pub accepted_file: Option<String>,
    /// The file of all held items, where a plan wrote one.
    pub held_file: Option<String>,
    /// What was read for the report beside the state: refused steps, deltas, the certificate, values.
    pub exhibits: Exhibits,
    /// What is shown of keys and contents.
    pub disclosure: Disclosure,
}

impl ReportContext {
    /// The context of a session in `folder` whose profile was read from `file`.
    pub fn of(profile: &Profile, file: &str, folder: &Path, now: Timestamp, kept: NewestKept) -> ReportContext {
        let NewestKept { held, accepted } = kept;
        let beside = |name: &str| Some(folder.join(name).display().to_string());
        ReportContext {
            profile: profile.name.clone(),
            profile_file: file.to_owned(),
            stores: profile.stores.iter().map(|store| store.name.clone()).collect(),
            disaster_at: profile.disaster_at,
            dr_as_of: profile.dr_as_of,
            certificate_age_seconds_max: profile.cutover.as_ref().map(|cutover| cutover.certificate_age_seconds_max),
            generated_at: now,
            session: folder.display().to_string(),
            accepted_file: if accepted.is_empty() { None } else { beside("accepted.ndjson") },
            held_file: if held.is_empty() { None } else { beside("held.ndjson") },
            accepted,
            held,
            exhibits: Exhibits::default(),
            disclosure: Disclosure::default(),
        }
    }

    /// The same context with what was read for it; [`disclose`] then masks what shall not be shown.
    pub fn with_exhibits(self, exhibits: Exhibits, disclosure: Disclosure) -> ReportContext {
        ReportContext { exhibits, disclosure, ..self }
    }
}

impl ReportContext {
    /// Tb: what dr's data represented at failover.
    fn tb(&self) -> Option<Timestamp> {
        self.dr_as_of.or(self.disaster_at)
    }
}
