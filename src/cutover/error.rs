//! One error for the whole cutover, sorted by what an operator can do about it.

use std::error::Error;
use std::fmt;

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
pub struct CutoverError {
    /// What can be done about it.
    pub kind: CutoverErrorKind,
    what: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl CutoverError {
    /// An error without a cause of its own; `what` is lowercase and names the record.
    pub fn new(kind: CutoverErrorKind, what: impl Into<String>) -> CutoverError {
        CutoverError { kind, what: what.into(), source: None }
    }

    /// An error with its cause.
    pub fn caused(
        kind: CutoverErrorKind,
        what: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> CutoverError {
        CutoverError { kind, what: what.into(), source: Some(source.into()) }
    }
}

impl From<StoreError> for CutoverError {
    fn from(error: StoreError) -> CutoverError {
        let what = error.to_string();
        let kind = CutoverErrorKind::Service(error.kind);
        // The cause is what the store error wraps: its own text is already said.
        CutoverError { kind, what, source: error.source().map(|cause| cause.to_string().into()) }
    }
}

impl fmt::Display for CutoverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl fmt::Debug for CutoverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.what)?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl Error for CutoverError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}
