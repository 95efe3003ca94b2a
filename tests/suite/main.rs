//! The one integration binary.

mod canonical;
mod conformance;
mod cutover;
mod drill;
mod dynamodb;
mod peers;
mod postgres;
mod profile;
mod s3;
mod layering;
mod peers;
mod postgres;
mod profile;
mod resume;
mod s3;
mod truth;
mod twisted;
