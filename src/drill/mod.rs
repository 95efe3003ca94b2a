//! The drill: a rehearsal on two simulated Regions.
//!
//! [`sandbox`] starts the servers and ends them, whatever happens to the drill. [`story`] plants a disaster whose truth it
//! knows and judges what became of it. [`Drill`] does the whole job in between through the session, the same code as the real
//! commands; nothing here reads a verdict or writes the primary on the session's behalf.

mod run;
pub mod sandbox;
pub mod story;

pub use run::{Drill, DrillError, Narrator, Scene, Stage};
