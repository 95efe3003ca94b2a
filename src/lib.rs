//! Brings an AWS system home after a regional disaster.
pub mod digest;
pub mod drill;
pub mod model;
pub mod profile;
pub mod store;
