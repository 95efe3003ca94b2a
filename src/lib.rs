//! Brings an AWS system home after a regional disaster.
pub mod cli;
pub mod compare;
pub mod cutover;
pub mod diff;
pub mod digest;
pub mod drill;
pub mod journal;
pub mod model;
pub mod plan;
pub mod profile;
pub mod replay;
pub mod report;
pub mod session;
pub mod store;
pub mod verify;
