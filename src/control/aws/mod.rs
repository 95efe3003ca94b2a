//! Asks RDS, AWS Backup, EC2 and, for the lag of a global cluster, the databases for what the pure modules judge.

mod databases;
mod ec2;
mod lag;
mod present;
mod restores;
mod snapshots;

pub use databases::{DatabaseSides, Looked, look_at_databases};
pub use restores::look_at_restores;
pub use snapshots::{RescuedSnapshot, SnapshotState, rescue_snapshots};

/// An error with its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |words, cause| format!("{words}: {cause}")).replace(['\n', '\r'], " ")
}
