//! Brings an AWS system home after a regional disaster.
pub mod compare;
pub mod diff;
pub mod digest;
pub mod model;
pub mod profile;
pub mod store;
