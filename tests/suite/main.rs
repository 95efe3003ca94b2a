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
