//! The three-way comparison: a merge join of sorted buckets, and the verdict on each key. Pure.

mod classify;
mod delta;
mod hours;
mod join;
mod meaning;
mod replication;
mod sample;

pub use classify::{BaseFacts, BaseState, Facts, classify};
pub use delta::{DeltaError, DeltaLine, VerdictCounts};
pub use hours::{HOURS_AFTER_MAX, HOURS_BEFORE_MAX, HourCounts};
pub use join::{Candidate, JoinedBucket, join};
pub use meaning::differ_in_spelling;
pub use replication::{NOT_REPLICATED, Replication, ReplicationCounts};
pub use sample::share_at_most;
