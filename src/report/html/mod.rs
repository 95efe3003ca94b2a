//! The report as one page for a manager: the answer in the first screenful, then what it rests on.
//!
//! One self-contained file without scripts: it can be mailed, archived and printed. Its policy forbids the browser to load
//! anything. Every chart has its numbers as text, and no meaning is carried by colour alone.

mod answer;
mod charts;
mod decisions;
mod kept;
mod parts;
mod proof;
mod stores;
mod timeline;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::ReportContext;
use crate::session::SessionState;

/// The page's style.
const STYLE: &str = include_str!("style.css");

/// Nothing may be loaded: what the page shows is in the page.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// The report as an HTML page.
pub fn html(state: &SessionState, context: &ReportContext) -> String {
    let page: Markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="color-scheme" content="light dark";
                meta name="generator" content={ "failback " (env!("CARGO_PKG_VERSION")) };
                title { "Failback of " (context.profile) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (answer::answer(state, context))
                main {
                    (stores::stores(state, context))
                    (charts::hours::section_of_hours(state))
                    (charts::weights::section_of_weights(state))
                    (kept::held(state, context))
                    (kept::refused(context))
                    (kept::differing(state))
                    (kept::accepted(state, context))
                    (decisions::decisions(state))
                    (timeline::forecasts(state))
                    (timeline::timeline(state))
                    (proof::certificate(state, context))
                    (proof::preflight(state))
                    (proof::not_checked(state, context))
                    (proof::about(context))
                }
            }
        }
    };
    page.into_string()
}
