//! The one integration binary.

mod peers;
mod s3;
