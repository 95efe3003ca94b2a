//! The drill: a rehearsal on two simulated Regions.
//!
//! [`sandbox`] starts the servers and ends them, whatever happens to the drill. [`story`] plants a disaster whose truth it
//! knows and judges what became of it. [`Drill`] stages the disaster; then either an operator does the job, with the drill as
//! companion ([`Staged`]), or nobody does and the drill leads it itself ([`Drill::run`]). Both go through the session, the same
//! code as the real commands; nothing here reads a verdict or writes the primary on the session's behalf.

mod companion;
mod rehearsal;
mod run;
pub mod sandbox;
mod staged;
pub mod story;

pub use run::{Drill, DrillError, Narrator, Scene, Stage, homecoming};
pub use staged::Staged;
