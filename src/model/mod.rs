//! The words of the trade: keys, digests, leaves, values, sides and verdicts.
//!
//! Every other room speaks in these types. Nothing here does IO, reads a clock or knows a store; the canonical
//! encoding of values lives in [`crate::digest`].

mod clock;
mod decimal;
mod failure;
mod item;
mod leaf;
mod percent;
mod side;
mod value;
mod verdict;

pub use clock::{Clock, FixedClock, Timestamp};
pub use decimal::{Decimal, DecimalError};
pub use failure::Failure;
pub use item::{Evidence, Item};
pub use leaf::{Digest, DigestError, Key, Leaf};
pub use percent::{Percent, PercentError};
pub use side::{Identity, Side, StoreId, StoreKind};
pub use value::Value;
pub use verdict::{Change, Verdict};
