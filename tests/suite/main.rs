//! The one integration binary.

mod dynamodb;
mod peers;
