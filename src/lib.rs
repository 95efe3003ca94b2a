//! Brings an AWS system home after a regional disaster.
pub mod compare;
pub mod diff;
pub mod cutover;
pub mod digest;
pub mod journal;
pub mod model;
pub mod plan;
pub mod profile;
pub mod replay;
pub mod store;
pub mod verify;
