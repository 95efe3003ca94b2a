//! One error for all stores, sorted by what an operator can do about it.

use std::error::Error;
use std::fmt;

/// What went wrong, by what can be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No such table, bucket or database: the profile names something that is not there.
    Missing,
    /// The credentials are wrong or lack a permission.
    Denied,
    /// The endpoint does not answer.
    Unreachable,
    /// The service asks to slow down and kept asking.
    Throttled,
    /// An item or reply that cannot be understood, such as an unknown type or a damaged body.
    Unreadable,
    /// The resource is not in a state to be used, or is not what the profile says.
    Unfit,
    /// The local machine: disk, memory or files.
    Local,
    /// Anything else.
    Other,
}

impl ErrorKind {
    /// Whether trying again may help.
    pub fn is_transient(self) -> bool {
        matches!(self, ErrorKind::Unreachable | ErrorKind::Throttled)
    }
}

/// A failed store operation.
///
/// Display says what failed; [`Error::source`] carries the rest. Neither holds contents or secrets.
pub struct StoreError {
    /// What can be done about it.
    pub kind: ErrorKind,
    what: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl StoreError {
    /// An error without a cause of its own; `what` is lowercase and names the resource.
    pub fn new(kind: ErrorKind, what: impl Into<String>) -> StoreError {
        StoreError { kind, what: what.into(), source: None }
    }

    /// An error with its cause.
    pub fn caused(
        kind: ErrorKind,
        what: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> StoreError {
        StoreError { kind, what: what.into(), source: Some(source.into()) }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl fmt::Debug for StoreError {
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

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}
