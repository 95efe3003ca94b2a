//! The one integration binary.

mod conformance;
mod canonical;
mod dynamodb;
mod cutover;
mod peers;
mod profile;
mod s3;
