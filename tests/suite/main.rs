//! The one integration binary.

mod drill;
mod peers;
