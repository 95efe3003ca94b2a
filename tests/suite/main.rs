//! The one integration binary.

mod canonical;
mod peers;
mod profile;
