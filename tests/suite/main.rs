//! The one integration binary.

mod conformance;
mod drill;
mod peers;
