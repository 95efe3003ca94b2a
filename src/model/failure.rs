//! An error with a kind that says what can be done about it.

use std::error::Error;
use std::fmt;

/// A failed operation.
///
/// Display says what failed; [`Error::source`] carries the rest. Neither holds contents or secrets.
pub struct Failure<K> {
    /// What can be done about it.
    pub kind: K,
    what: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl<K> Failure<K> {
    /// An error without a cause of its own; `what` is lowercase and names the resource.
    pub fn new(kind: K, what: impl Into<String>) -> Failure<K> {
        Failure { kind, what: what.into(), source: None }
    }

    /// An error with its cause.
    pub fn caused(kind: K, what: impl Into<String>, source: impl Into<Box<dyn Error + Send + Sync>>) -> Failure<K> {
        Failure { kind, what: what.into(), source: Some(source.into()) }
    }

    /// The same failure, sorted by another kind.
    pub fn sorted<L>(self, sort: impl FnOnce(K) -> L) -> Failure<L> {
        Failure { kind: sort(self.kind), what: self.what, source: self.source }
    }
}

impl<K> fmt::Display for Failure<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl<K: fmt::Debug> fmt::Debug for Failure<K> {
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

impl<K: fmt::Debug> Error for Failure<K> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}
