//! One error for the whole cutover, sorted by what an operator can do about it.

use crate::model::Failure;
use crate::store::{ErrorKind, StoreError};

/// What went wrong, by what can be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CutoverErrorKind {
    /// Somebody else changed the records: look at them before going on.
    Drifted,
    /// The records are not a pair that this can dial.
    Unfit,
    /// A change did not reach all DNS servers in time; what they serve is not known.
    NotInsync,
    /// The event could not be recorded, so the change was not made.
    NotRecorded,
    /// The health probe of the profile cannot be set up.
    Probe,
    /// Route 53 itself.
    Service(ErrorKind),
}

/// A cutover that cannot go on.
pub type CutoverError = Failure<CutoverErrorKind>;

impl From<StoreError> for CutoverError {
    fn from(error: StoreError) -> CutoverError {
        error.sorted(CutoverErrorKind::Service)
    }
}
