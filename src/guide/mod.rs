//! Leads a session from one action to the next, by what has happened so far.
//!
//! [`course`] decides and is pure; [`lead`] carries out, through the same methods as the single commands, so that a session
//! can be led, driven by hand, or both in turn. Nothing is decided here that a person must decide.

mod advice;
mod companion;
mod course;
mod lead;
mod perform;
mod reports;
mod stages;

pub use advice::{Advice, Next, advise};
pub use companion::Companion;
pub use course::{Course, Means, Progress, course};
pub use lead::{Led, Listener, lead};
pub use perform::{Performed, Teller, Told, perform};
pub use reports::{ReportError, ReportForm, Subject, write_report};
pub use stages::{Gate, Stage, stages};
