//! The guided session on a terminal: what an operator at 3 a.m. looks at, over SSH.
//!
//! Messages come in (keys, time, the session's events), `update` changes the model and
//! asks for effects, `view` draws the model. Those three are pure. The edge reads the terminal, carries the
//! effects out through the same session methods as the commands, and follows the session's journal, which a second person
//! looking on follows too. Nothing is decided here that a script could not decide, and nothing is kept here that the
//! session's folder does not hold.

mod desk;
mod keymap;
mod message;
mod run;
mod setting;
mod state;
mod terminal;
mod theme;
mod update;
mod view;
mod work;

pub use run::{Ending, Guest, Seat, WatchError, run, watch};
pub use terminal::{Taken, TerminalError};
pub use work::Judge;
