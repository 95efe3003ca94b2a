//! The three-way comparison: a merge join of sorted buckets, and the verdict on each key. Pure.

mod classify;
mod delta;
mod join;

pub use classify::{BaseFacts, BaseState, Facts, classify};
pub use delta::{DeltaError, DeltaLine, VerdictCounts};
pub use join::{Candidate, JoinedBucket, join};
