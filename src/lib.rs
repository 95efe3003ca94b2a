//! Brings an AWS system home after a regional disaster.
pub mod cutover;
pub mod digest;
pub mod model;
pub mod profile;
pub mod store;
pub mod verify;
