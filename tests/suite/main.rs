//! The one integration binary.

mod canonical;
mod conformance;
mod dynamodb;
mod layering;
mod peers;
mod profile;
mod resume;
mod s3;
mod truth;
mod twisted;
