//! Bringing customers back: staged shifts of a weighted Route 53 pair, each one proved, watched and revocable.
//!
//! [`next_move`] decides and is pure; [`Cutover`] acts on a [`TrafficDial`] and tells every event before and after it
//! happens. Shifting needs a [`crate::verify::ParityProof`]; retreating never needs one. DNS moves customers and fences
//! nobody: that writers to dr are stopped is the certificate's business.

mod command;
mod dial;
mod error;
mod event;
mod health;
mod memory;
mod next_move;
mod route53;
mod runner;

pub use command::run_in_group;
pub use dial::{ChangeId, ChangeStatus, TrafficDial, Weights};
pub use error::{CutoverError, CutoverErrorKind};
pub use event::{CutoverEnd, CutoverEvent, Observer};
pub use health::{CommandProbe, HealthCheckProbe, HealthProbe, Probed, UrlProbe, probe_of};
pub use memory::MemoryDial;
pub use next_move::{Health, Move, Propagation, Share, Situation, UNKNOWN_CHANGE_SECONDS, next_move};
pub use route53::{Route53, Route53Dial, Weighted, Zone};
pub use runner::{Cutover, Sleep, TokioSleep};
