//! Discovery: what both Regions hold, which resources belong together, and the profile that says so.
//!
//! The services are asked in `aws`; which resource is whose counterpart is decided in `pair`, and the profile is written
//! in `write`, both pure. What evidence does not settle becomes a question: it is asked, or it stays in the profile as a
//! comment, and a service that could not be listed is named there. Nothing is guessed and nothing is left out silently.
//!
//! It reads control planes only: no item, object or row is looked at, and nothing is changed.

pub mod aws;
mod found;
mod names;
mod pair;
mod settle;
mod write;

pub use found::{Bucket, Database, DatabaseForm};
pub use found::{Engine, Found, Gap, Place, Resource, ResourceKind, Restore, SideFound, Survey, Table, WeightedRecord};
pub use pair::{Alone, Candidate, Evidence, Pair, Pairing, Question, RecordPair, RecordQuestion};
pub use settle::{Asker, settle};
pub use write::{Written, profile_text, store_names};
