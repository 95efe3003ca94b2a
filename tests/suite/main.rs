//! The one integration binary.

mod conformance;
mod canonical;
mod dynamodb;
mod peers;
mod profile;
mod s3;
