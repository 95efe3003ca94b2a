//! The one integration binary.

mod canonical;
mod conformance;
mod cutover;
mod drill;
mod dynamodb;
mod layering;
mod peers;
mod postgres;
mod postgres_writes;
mod profile;
mod resume;
mod s3;
mod truth;
mod twisted;
