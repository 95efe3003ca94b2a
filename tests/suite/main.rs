//! The one integration binary.

mod canonical;
mod conformance;
mod cutover;
mod dynamodb;
mod drill;
mod peers;
mod profile;
mod s3;
mod postgres;
mod postgres_writes;
