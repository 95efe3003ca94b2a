//! The one integration binary.

mod cutover;
mod peers;
