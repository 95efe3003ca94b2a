//! The control plane around the data: how Aurora global clusters go home, in which settings both sides differ, and which
//! resources are restored copies of others.
//!
//! RDS and AWS Backup are asked in `aws`; what their answers mean, and the commands that would put things right, is decided
//! in the other modules, which are pure. Nothing here changes anything, with one exception that is asked for by name: the
//! copy of a snapshot that would expire ([`rescue_snapshots`]). What cannot be asked is told, and never counts as fine.

mod aws;
mod global;
mod guide;
pub mod iac;
mod lag;
mod restored;
mod security;
mod settings;

pub use aws::{
    DatabaseSides, Looked, RescuedSnapshot, SnapshotState, look_at_databases, look_at_restores, rescue_snapshots,
};
pub use guide::{Guide, GuideStep, StepState};
pub use restored::{Adopted, AdoptedKind, Named, Origin, Present};
