//! The one integration binary.

mod conformance;
mod canonical;
mod peers;
mod profile;
mod s3;
